"""A data set as tables: readable at 80 columns, with more columns if there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sed_cli.data.annotations import Fault
from sed_cli.data.copies import Placed
from sed_cli.data.manifest import Clip
from sed_cli.data.statistics import ClassStatistics, SetStatistics, SplitStatistics, Spread
from sed_cli.reports.style import shortened
from sed_cli.system.text import and_more, counted, cut_short
from sed_cli.tasks.detection.inspection.audio import AudioKind

_LABEL = 18  # characters of a class before its middle is left out
_OVERLAPS = 7  # columns for 0, 1, 2, ... classes at a time; the last includes more
_UNEVEN = 10.0  # ratio to the rarest class that is worth a note
_COPIES = 10  # shown
_NAMED = 8  # classes in a note
_HEADINGS = {"validation": "valid."}


def print_set(console: Console, title: str, found: SetStatistics) -> None:
    """Print recordings, overlaps, classes, times and syntax of a data set, with notes on them."""
    splits = _splits(found)
    _print(console, title, [_overview(splits)])
    _print(console, "share of the time with so many classes active", [_overlaps(splits)])
    if found.overall.n_events:
        _print(console, "classes in each split", _class_tables(found))
        _print(console, "classes in time", _time_tables(found))
    if found.overall.syntax.n_transitions and len(found.classes) > 1:
        ends = "the recording"
        if found.sequence_gap_s is not None:
            ends += f" or a silence of more than {found.sequence_gap_s:g} s"
        heading = f"syntax in bits per event; a sequence ends with {ends}"
        _print(console, heading, _syntax_tables(found, splits))
    for note in notes(found):
        console.print(f"- {note}", highlight=False)
    console.print()


def print_audio(console: Console, kinds: Sequence[AudioKind], notes: Sequence[str] = ()) -> None:
    """Print the sample rates, channels and formats, and errors in headers."""
    table = _table()
    for heading in ("sample rate\nHz", "channels", "files", "h:mm:ss"):
        _add_number(table, heading)
    table.add_column("format")
    for kind in kinds:
        table.add_row(
            f"{kind.sample_rate:,}",
            str(kind.n_channels),
            f"{kind.n_files:,}",
            _clock(kind.seconds),
            kind.format,
        )
    _print(console, "audio files", [table])
    _print_lines(console, notes)


def print_notes(console: Console, heading: str, lines: Sequence[str]) -> None:
    """Print notes on reading, guesses and skipped items, one per line."""
    if lines:
        console.print(Text(heading, style="bold"))
        _print_lines(console, lines)
        console.print()


def print_copies(console: Console, copies: Sequence[Sequence[Placed[Clip]]]) -> None:
    """Print files that occur in more than one split; if there are many, only some of them."""
    if copies:
        files = counted(len(copies), "file")
        _warn(console, f"{files} in two splits: the model would be tested on training data")
        lines = [", ".join(f"{one.name} ({split})" for split, one in group) for group in copies]
        _print_lines(console, lines, _COPIES, " in data.json")
        console.print()


def print_near_copies(console: Console, found: Sequence[str]) -> None:
    """Print where the same sound occurs in two splits, or that it does not."""
    if not found:
        console.print("no sound occurs in two splits", highlight=False)
    else:
        sounds = counted(len(found), "sound")
        _warn(console, f"{sounds} in two splits: results on these will be optimistic")
    _print_lines(console, found, _COPIES)
    console.print()


def print_faults(console: Console, faults: Sequence[Fault], *, n_shown: int) -> None:
    """Print faults by file and line, each with its repair if the data are not refused."""
    if not faults:
        return
    _warn(console, f"{counted(len(faults), 'fault')} (and what data.strict=false does instead)")
    shown = sorted(faults, key=lambda fault: (str(fault.path), fault.line or 0))[:n_shown]
    for path, of_file in groupby(shown, key=lambda fault: fault.path):
        console.print(str(path), highlight=False, soft_wrap=True)
        repaired = ((one, f" ({one.repair})" if one.repair else "") for one in of_file)
        _print_lines(console, [f"{one.place_and_message}{repair}" for one, repair in repaired])
    _print_rest(console, len(faults), n_shown, " in faults.csv")


def _warn(console: Console, heading: str) -> None:
    console.print(Text(heading, style="bold red"))


def _print_lines(
    console: Console, lines: Sequence[str], n_shown: int | None = None, place: str = ""
) -> None:
    for line in lines[:n_shown]:
        console.print(Text(f"- {line}"), soft_wrap=True)
    if n_shown is not None:
        _print_rest(console, len(lines), n_shown, place)


def _print_rest(console: Console, n_all: int, n_shown: int, place: str) -> None:
    if rest := and_more(n_all, n_shown):
        console.print(f"{rest.strip()}{place}", highlight=False)


def notes(found: SetStatistics) -> list[str]:
    """Return the points that a reader of the tables should not miss, one sentence each."""
    return [*_notes_on_classes(found), *_notes_on_syntax(found)]


def _notes_on_classes(found: SetStatistics) -> Iterable[str]:
    for name, split in found.splits.items():
        if not split.n_files:
            yield f"{name} contains no recording"
        elif not split.n_events:
            yield f"{name} contains no event"
        elif split.missing:
            yield f"{name} contains no event of {cut_short(split.missing, _NAMED)}"
    counts = sorted((one.n_events, one.label) for one in found.overall.classes if one.n_events)
    if len(counts) > 1 and counts[-1][0] >= _UNEVEN * counts[0][0]:
        (fewest, rare), (most, frequent) = counts[0], counts[-1]
        yield (
            f"unbalanced: {most:,} events of {frequent}, {fewest:,} of {rare}, "
            f"{most / fewest:,.0f} to 1"
        )


def _notes_on_syntax(found: SetStatistics) -> Iterable[str]:
    syntax = found.overall.syntax
    if not syntax.n_transitions or len(found.classes) < 2:
        return
    if syntax.beyond_chance:
        yield (
            f"syntax: the class of an event reveals {syntax.gain_bits:.2f} of the "
            f"{syntax.next_bits:.2f} bits of the next one's "
            f"({_whole(syntax.gain_bits / syntax.next_bits)})"
        )
    else:
        yield (
            f"no syntax beyond chance: the class of an event reveals {syntax.gain_bits:.2f} bits "
            f"of the next one's, in shuffled order up to {syntax.chance_bits:.2f}"
        )
    overlapping = syntax.n_overlapping / syntax.n_transitions
    if overlapping >= 0.25:
        yield (
            f"{_whole(overlapping)} of the events begin before the last one has ended: "
            f"a mixture of sources hides the syntax of each"
        )
    simultaneous = syntax.n_simultaneous / syntax.n_transitions
    if simultaneous >= 0.05:
        yield f"{_whole(simultaneous)} of the events start together: their order is meaningless"


# -------------------------------------------------------------------------------- tables


def _overview(splits: dict[str, SplitStatistics]) -> Table:
    table = _table()
    table.add_column("split")
    for heading in (
        *("files", "without\nevents", "h:mm:ss", "a file\nmedian s"),
        *("classes", "events", "events\na minute"),
    ):
        _add_number(table, heading)
    for name, split in splits.items():
        table.add_row(
            name,
            f"{split.n_files:,}",
            f"{split.n_empty_files:,}",
            _clock(split.seconds),
            _seconds(None if split.file_s is None else split.file_s.median),
            f"{split.n_classes} of {len(split.classes)}",
            f"{split.n_events:,}",
            f"{60 * split.n_events / split.seconds:.1f}" if split.seconds else "-",
            style=_style(name),
        )
    return table


def _overlaps(splits: dict[str, SplitStatistics]) -> Table:
    highest = max(len(split.polyphony) for split in splits.values())
    table = _table()
    table.add_column("split")
    for number in range(min(highest, _OVERLAPS)):
        more = number == _OVERLAPS - 1 and highest > _OVERLAPS
        _add_number(table, f"{number} or more" if more else str(number))
    _add_number(table, "mean")
    for name, split in splits.items():
        shares = np.zeros(max(highest, _OVERLAPS))
        shares[: len(split.polyphony)] = split.polyphony
        shown = [*shares[: _OVERLAPS - 1], shares[_OVERLAPS - 1 :].sum()][:highest]
        table.add_row(
            name, *map(_percent, shown), f"{split.mean_polyphony:.2f}", style=_style(name)
        )
    return table


def _class_tables(found: SetStatistics) -> Iterable[Table]:
    """Yield the table of classes, each time with fewer columns."""
    splits = dict(found.splits)
    groups: list[tuple[str, Callable[[ClassStatistics], str | Text]]] = [
        ("events", lambda one: _count(one.n_events)),
        ("seconds", lambda one: _duration(one.seconds)),
        ("files", lambda one: _count(one.n_files)),
    ]
    total_s = found.overall.seconds
    for n_groups, with_all, room in ((3, True, 1), (3, True, 0), (3, False, 0), (2, False, 0)):
        table = _table(room)
        table.add_column("class", no_wrap=True)
        shown = {**splits, "all": found.overall} if with_all and len(splits) > 1 else splits
        for heading, _ in groups[:n_groups]:
            for name in shown:
                _add_number(table, f"{heading}\n{_HEADINGS.get(name, name)}")
        if with_all:
            _add_number(table, "share\nof time")
        for index, label in enumerate(found.classes):
            of_splits = [split.classes[index] for split in shown.values()]
            cells = [cell(one) for _, cell in groups[:n_groups] for one in of_splits]
            share = [_percent(found.overall.classes[index].seconds / total_s)] if with_all else []
            table.add_row(shortened(label, _LABEL), *cells, *share)
        yield table


def _time_tables(found: SetStatistics) -> Iterable[Table]:
    """Yield the table of durations, gaps and successors, each time with fewer successors."""
    for n_successors in (3, 2, 1, 0):
        table = _table()
        table.add_column("class", no_wrap=True)
        for quantity in ("duration, s", "gap, s"):
            for heading in (f"{quantity}\n5 %", "\nmedian", "\n95 %"):
                _add_number(table, heading)
        if n_successors:
            table.add_column("followed by", no_wrap=True)
        for index, one in enumerate(found.overall.classes):
            if not one.n_events:
                continue
            following = _successors(found, index, n_successors)
            table.add_row(
                shortened(one.label, _LABEL),
                *_three(one.duration_s),
                *_three(one.gap_s),
                *([following] if n_successors else []),
            )
        yield table


def _successors(found: SetStatistics, index: int, n_shown: int) -> str:
    counts = found.overall.syntax.counts[index]
    order = np.argsort(-counts, kind="stable")[:n_shown]
    return ", ".join(
        f"{shortened(found.classes[number], _LABEL)} {_whole(counts[number] / counts.sum())}"
        for number in order
        if counts[number]
    )


def _syntax_tables(found: SetStatistics, splits: dict[str, SplitStatistics]) -> Iterable[Table]:
    """Yield the table of entropies, first with the number of overlapping events, then without."""
    for full in (True, False):
        table = _table()
        table.add_column("split")
        for heading in ("sequences", "transitions", *(["overlapping"] if full else [])):
            _add_number(table, heading)
        for heading in ("log2 C", "H(next)", "H(next |\ncurrent)", "gain", "by chance\nup to"):
            _add_number(table, heading)
        for name, split in splits.items():
            syntax = split.syntax
            numbers = [syntax.n_sequences, syntax.n_transitions]
            bits = (
                np.log2(len(found.classes)),
                *(syntax.next_bits, syntax.conditional_bits),
                *(syntax.gain_bits, syntax.chance_bits),
            )
            table.add_row(
                name,
                *(f"{number:,}" for number in [*numbers, *[syntax.n_overlapping] * full]),
                *(f"{value:.2f}" if syntax.n_transitions else "-" for value in bits),
                style=_style(name),
            )
        yield table


# --------------------------------------------------------------------------- their parts


def _table(room: int = 1) -> Table:
    """Return a table without columns, to be separated by ``room`` characters."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, room, 0, 0), pad_edge=False)


def _add_number(table: Table, heading: str) -> None:
    table.add_column(heading, justify="right", no_wrap=True)


def _print(console: Console, heading: str, tables: Iterable[Table]) -> None:
    """Print the first of ``tables`` that fits the console, otherwise the last."""
    for table in tables:
        wide = console.options.update(max_width=10_000)
        if Measurement.get(console, wide, table).maximum <= console.width:
            break
    console.print(Text(heading, style="bold"))
    console.print(table)


def _splits(found: SetStatistics) -> dict[str, SplitStatistics]:
    """Return the rows of a table: the splits, and their total if there are several."""
    return {**found.splits, "all": found.overall} if len(found.splits) > 1 else dict(found.splits)


def _style(name: str) -> str | None:
    return "bold" if name == "all" else None


def _count(number: int) -> str | Text:
    return f"{number:,}" if number else Text("0", style="bold red")


def _percent(share: float) -> str:
    percent = 100 * share
    return "-" if not percent else "<0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def _clock(seconds: float) -> str:
    """Format hours, minutes and seconds; days are counted in hours."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:,}:{minutes % 60:02d}:{rest:02d}"


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 1000 else f"{seconds:.1f}"


def _seconds(value: float | None) -> str:
    """Format a time with three figures or more."""
    if value is None:
        return "-"
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _three(spread: Spread | None) -> list[str]:
    if spread is None:
        return ["-"] * 3
    return [_seconds(value) for value in (spread.p05, spread.median, spread.p95)]
