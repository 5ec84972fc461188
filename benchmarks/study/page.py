"""The study's page, figures and list of runs, made of its folders alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.study.figures import Point, Series, draw_gains
from benchmarks.study.plan import ABOUT, BASELINE, DECODED, SHARED
from benchmarks.study.prediction import Line, fit_line
from benchmarks.study.results import (
    FIGURES,
    LEARNT,
    Gain,
    Row,
    as_csv,
    differences,
    gain,
    read_rows,
    summary,
)
from sed_cli.config.files import meaning_of
from sed_cli.system.files import write_text

_HEADER = """# When does conditioning on the past help?
Made by `python -m benchmarks.study`; do not edit. Every figure is a mean over seeds, each of which
draws its own data and its own training. *Gain* is the mean difference to no feedback with tuned
thresholds, paired by seed, with the half-width of its 95 % t interval and, after the slash, that of
an interval that holds for all comparisons of the table together (Bonferroni). A gain in **bold**
leaves 0 out even so. The runs, each with its config hash, are in [{runs}]({runs}).

Scale `{scale}`: {about}. Unless a table says otherwise, the data are
generated soundscapes of one event at a time, SNR from -15 to 0 dB, 100 training recordings of 10 s.
"""

_QUESTIONS = {
    "syntax": "By the syntax of the data",
    "polyphony": "Up to three chains of events at once, by their syntax",
    "noise": "By the noise",
    "amount": "By the amount of training data",
    "ESC-10": "Recorded events, by their syntax",
    "birdsong": "Birdsong, as recorded and with its notes shuffled",
}
"""Heading of each, in the order of the page."""

_EXPECTED = """*Bits* is how much the class of an event tells about the class of the next one;
`sedtf data` prints it for any data set. A line through the gains of all seeds by their bits
predicts the gain over no feedback with tuned thresholds for a set of 0, 1 or 2 bits, on poor audio,
one event at a time. In brackets: the range in which one training on another data set falls, 19
times of 20. *Slope*: gain a bit, with its 95 % interval; if that includes 0, no effect of syntax is
shown.
"""

_LEARNT = """Means over seeds, with the half-width of their 95 % t interval
([what each figure means](evaluation.md#what-feedback-has-learnt)). *Exposure gap*: frame F1 with
the targets fed back minus that with the own output. *Fragments* and *merged*: 1 is best.
*Transitions*: bits between those found and those annotated, 0 is best. *Errors after an error*: how
much likelier an error is soon after another. *Updates*: to 90 % of the best validation F1, and how
long one takes (its share of validation included) on a machine that may have had other work.
"""

_LINES = [  # of the figures, and of what is predicted
    ("scheduled", "threshold"),
    (BASELINE, "semi_markov"),
    ("scheduled", "semi_markov"),
]
_PREDICTED = (0.0, 1.0, 2.0)  # bits


def write_page(output: Path, page: Path, scale: str, earlier: Path | None = None) -> None:
    """Write the page, beside it the list of runs and the figures.

    Args:
        output: folder of the study, or the list of runs that an earlier page left.
        page: Markdown file; figures go to ``images/`` beside it.
        scale: with which it was run.
        earlier: list of runs whose folders are gone, to be added.

    Raises:
        SystemExit: if no setting of the study is complete.
    """
    rows = read_rows(output, earlier)
    if not rows:
        raise SystemExit(f"{output}: no setting of the study is complete; run it first")
    runs = page.with_name(f"{page.stem}_runs.csv")
    parts = [
        _HEADER.format(runs=runs.name, scale=scale, about=ABOUT[scale]),
        *_predictions(rows, page),
    ]
    for question, heading in _QUESTIONS.items():
        parts += _by_setting(question, heading, rows, page)
    parts += [*_together(rows), *_methods(rows), *_learnt(rows)]
    write_text(page, "\n".join(parts).rstrip() + "\n")
    write_text(runs, as_csv(rows))


def _of_question(question: str, rows: Sequence[Row]) -> list[Row]:
    """Its rows, and those of the setting that it shares with another question."""
    own = [row for row in rows if row.question == question]
    name, *where = SHARED.get(question, ("", "", ""))
    shared = [row for row in rows if [row.question, row.setting] == where] if own else []
    if shared:  # its syntax is that of the others
        own = [replace(row, bits=shared[0].bits) for row in own]
    return own + [replace(row, question=question, setting=name) for row in shared]


def _order(row: Row) -> tuple[float, str]:
    """By the first number of the setting's name; names without one by themselves."""
    number = re.search(r"-?\d+(\.\d+)?", row.setting)
    return (float(number[0]) if number else 0.0, row.setting)


# ------------------------------------------------------------------------------- predictions


def _predictions(rows: Sequence[Row], page: Path) -> Iterable[str]:
    """What to expect of a data set by its bits of syntax, and the figure behind it."""
    kept = [row for row in rows if row.question == "syntax"]
    lines: dict[tuple[str, str, str], Line] = {}
    for method, decoder in _LINES:
        for heading in FIGURES:
            points = [
                (row.bits, difference)
                for row in kept
                if (row.method, row.decoder) == (method, decoder) and row.bits is not None
                for difference in differences(row, rows, heading)
            ]
            if len({x for x, _ in points}) > 1 and len(points) > 2:
                lines[method, decoder, heading] = fit_line(points)
    if not lines:
        return
    yield "## What to expect"
    yield _EXPECTED
    columns = ["method", "decoder", "gain in", *(f"at {x:g}" for x in _PREDICTED), "slope"]
    table = []
    for (method, decoder, heading), line in lines.items():
        cells = [method, decoder, heading]
        for x in _PREDICTED:
            mean, half = line.at(x)
            cells.append(f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})")
        table.append([*cells, f"{line.slope:+.3f} ± {line.half_slope:.3f}"])
    yield _table(columns, table)
    panels = {
        heading: {
            _named(*which): series
            for which in _LINES
            if (series := _points_by_bits(which, kept, heading))
        }
        for heading in ("frame F1", "event F1")
    }
    name = f"{page.stem}_gain_over_bits.png"
    draw_gains(panels, page.parent / "images" / name, "syntax in bits an event")
    yield f"\n![Gain over bits of syntax](images/{name})\n"


def _points_by_bits(which: tuple[str, str], rows: Sequence[Row], heading: str) -> Series:
    """A point for each set of generated data with one event at a time."""
    found = [
        Point(row.bits, "", gain(row, rows, heading, 1))
        for row in rows
        if (row.method, row.decoder) == which and row.bits is not None
    ]
    return sorted(found, key=lambda point: point.x)


def _named(method: str, decoder: str) -> str:
    return f"{method.replace('_', ' ')}, {decoder.replace('_', '-')}"


# ------------------------------------------------------------------- settings, methods, learning


def _by_setting(
    question: str,
    heading: str,
    rows: Sequence[Row],
    page: Path,
) -> Iterable[str]:
    """A table of the methods that meet in all settings of a question, and its figure."""
    kept = [row for row in _of_question(question, rows) if row.method in DECODED]
    if not kept:
        return
    yield f"## {heading}"
    n = sum(not _is_baseline(row) for row in kept)
    kept.sort(key=lambda row: (_order(row), -row.mean("event F1")))
    table = []
    for row in kept:
        bits = "" if row.bits is None else f"{row.bits:.2f}"
        cells = [row.setting, bits, row.method, row.decoder]
        table.append([*cells, str(len(row.seeds)), *_cells(row, kept, n)])
    yield _table(["data", "bits", "method", "decoder", "seeds", *_columns()], table)
    yield ""
    names = list(dict.fromkeys(row.setting for row in kept))
    if question == "syntax" or len(names) < 2:
        return
    panels = {}
    for of_panel in ("frame F1", "event F1"):
        panels[of_panel] = {
            _named(*which): [
                Point(names.index(row.setting), row.setting, gain(row, kept, of_panel, 1))
                for row in kept
                if (row.method, row.decoder) == which
            ]
            for which in _LINES
        }
    name = f"{page.stem}_{question.replace('-', '').lower()}.png"
    label = "strength of the syntax" if all(map(_is_number, names)) else ""
    draw_gains(panels, page.parent / "images" / name, label)
    yield f"![{heading}](images/{name})\n"


def _is_number(name: str) -> bool:
    """Whether a setting is named by the strength of its syntax alone."""
    return name.replace(".", "", 1).isdigit()


def _together(rows: Sequence[Row]) -> Iterable[str]:
    """Gains over the pairs of all settings, whatever their syntax."""
    table = []
    for method, decoder in _LINES:
        kept = [row for row in rows if (row.method, row.decoder) == (method, decoder)]
        if len(kept) < 2:
            continue
        cells = [method, decoder, str(len(kept)), str(sum(len(row.seeds) for row in kept))]
        for heading in FIGURES:
            found = [each for row in kept for each in differences(row, rows, heading)]
            cells.append(_words(summary(found, len(_LINES))))
        table.append(cells)
    if table:
        yield "## All settings together"
        yield (
            "Gains over the pairs of all settings and seeds, as if each were drawn by itself.\n"
            "Settings share their seeds: the intervals are rather too narrow.\n"
        )
        yield _table(["method", "decoder", "settings", "pairs", *FIGURES], table)
        yield ""


def _methods(rows: Sequence[Row]) -> Iterable[str]:
    """A table for each setting in which methods meet that do not meet in all settings."""
    for (question, setting), meeting in _meetings(rows):
        yield f"## Methods ({question}: {setting})"
        meeting.sort(key=lambda row: -row.mean("event F1"))
        table = [
            [
                row.method,
                meaning_of("experiment/study", row.method),
                str(len(row.seeds)),
                *_cells(row, meeting, len(meeting) - 1),
            ]
            for row in meeting
        ]
        yield _table(["method", "what it is", "seeds", *_columns()], table)
        yield ""


def _learnt(rows: Sequence[Row]) -> Iterable[str]:
    """What each model has learnt, and what decoders make of it."""
    known = [row for row in rows if row.scores.get("fragments")]
    if not known:
        return
    yield "## What is learnt"
    yield _LEARNT
    known.sort(key=lambda row: (row.question, _order(row), row.decoder, row.method))
    headings = [each for each in LEARNT if any(row.scores.get(each) for row in known)]
    lines = [
        [f"{row.question}: {row.setting}", row.method, row.decoder, *_diagnosed(row, headings)]
        for row in known
    ]
    yield _table(["data", "method", "decoder", *headings], lines)


def _diagnosed(row: Row, headings: Sequence[str]) -> Iterable[str]:
    for heading in headings:
        scores = row.scores.get(heading)
        if not scores:
            yield ""
            continue
        half = row.half(heading)
        digits = 0 if heading.startswith("updates") else 3
        spread = "" if math.isinf(half) else f" ± {half:.{digits}f}"
        yield f"{row.mean(heading):.{digits}f}{spread}"


def _meetings(rows: Sequence[Row]) -> Iterable[tuple[tuple[str, str], list[Row]]]:
    """Settings with more methods than all settings have, decoded by thresholds."""
    by_setting: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.decoder == "threshold":
            by_setting.setdefault((row.question, row.setting), []).append(row)
    for place, meeting in by_setting.items():
        if {row.method for row in meeting} - set(DECODED):
            yield place, meeting


def _is_baseline(row: Row) -> bool:
    return row.method == BASELINE and row.decoder == "threshold"


def _columns() -> list[str]:
    return [word for heading in FIGURES for word in (heading, "gain")]


def _cells(row: Row, rows: Sequence[Row], n_comparisons: int) -> list[str]:
    cells = []
    for heading in FIGURES:
        own = "" if _is_baseline(row) else _words(gain(row, rows, heading, n_comparisons))
        cells += [f"{row.mean(heading):.3f}", own]
    return cells


def _words(of_row: Gain) -> str:
    if math.isinf(of_row.half):
        return f"{of_row.mean:+.3f}"
    words = f"{of_row.mean:+.3f} ± {of_row.half:.3f} / {of_row.half_of_all:.3f}"
    return f"**{words}**" if of_row.is_certain else words


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
