"""The study's page, figures and list of runs, made of its folders alone."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.study.figures import Point, draw_gains
from benchmarks.study.plan import BASELINE
from benchmarks.study.results import FIGURES, Gain, Row, baseline_of, bits_of, gain, read_rows
from sed_cli.config.files import meaning_of
from sed_cli.system.files import write_text

_HEADER = """# When does conditioning on the past help?
Made by `python -m benchmarks.study`; do not edit. Every figure is a mean over seeds, each of which
draws its own data and its own training. *Gain* is the mean difference to no feedback with tuned
thresholds, paired by seed, with the half-width of its 95 % t interval and, after the slash, that of
an interval that holds for all comparisons of the table together (Bonferroni). A gain in **bold**
leaves 0 out even so. The runs, each with its config hash, are in [{runs}]({runs}).
"""


def write_page(output: Path, page: Path) -> None:
    """Write the page, beside it the list of runs and the figures.

    Args:
        output: folder of the study.
        page: Markdown file; figures go to ``images/`` beside it.

    Raises:
        SystemExit: if no setting of the study is complete.
    """
    rows = read_rows(output)
    if not rows:
        raise SystemExit(f"{output}: no setting of the study is complete; run it first")
    runs = page.with_name(f"{page.stem}_runs.csv")
    parts = [_HEADER.format(runs=runs.name), *_syntax(rows, output, page), *_methods(rows)]
    parts += _decoders(rows)
    write_text(page, "\n".join(parts).rstrip() + "\n")
    write_text(runs, _list_of(rows))


def _syntax(rows: Sequence[Row], output: Path, page: Path) -> Iterable[str]:
    """Gain over bits of syntax: a table and a figure."""
    kept = [row for row in rows if row.decoder == "threshold"]
    points = []
    for row in kept:
        bits = bits_of(row.question, row.setting, output)
        if row.method == "scheduled" and bits is not None:
            points.append((row, bits))
    if not points:
        return
    yield "## Scheduled sampling, by the syntax of the data"
    yield (
        "*Bits* is how much the class of an event tells about the class of the next one\n"
        "(`sedtf data`), averaged over the data of the first seeds.\n"
    )
    table, gains = [], dict[str, list[Point]]()
    for row, bits in sorted(points, key=lambda point: (point[0].question, point[1])):
        cells = [f"{row.question}: {row.setting}", f"{bits:.2f}", str(len(row.seeds))]
        for heading in FIGURES:
            of_row = gain(row, kept, heading, len(points))
            gains.setdefault(heading, []).append((row, bits, of_row))
            cells += [_score(baseline_of(row, kept), heading), _words(of_row)]
        table.append(cells)
    columns = ["data", "bits", "seeds"]
    columns += [word for name in FIGURES for word in (f"{name} without", "gain")]
    yield _table(columns, table)
    path = page.parent / "images" / f"{page.stem}_gain_over_bits.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_gains({name: gains[name] for name in ("frame F1", "event F1")}, path)
    yield f"\n![Gain of scheduled sampling over bits of syntax](images/{path.name})\n"


def _methods(rows: Sequence[Row]) -> Iterable[str]:
    """A table for each setting in which more than the paper's method meets the baseline."""
    kept = [row for row in rows if row.decoder == "threshold"]
    by_setting: dict[tuple[str, str], list[Row]] = {}
    for row in kept:
        by_setting.setdefault((row.question, row.setting), []).append(row)
    for (question, setting), meeting in by_setting.items():
        if len(meeting) < 3:
            continue
        yield f"## Methods ({question}: {setting})"
        meeting.sort(key=lambda row: -row.mean("event F1"))
        table = [
            [
                row.method,
                meaning_of("experiment/study", row.method),
                str(len(row.seeds)),
                *_cells(row, kept, len(meeting) - 1),
            ]
            for row in meeting
        ]
        yield _table(["method", "what it is", "seeds", *_columns()], table)
        yield ""


def _decoders(rows: Sequence[Row]) -> Iterable[str]:
    kept = [row for row in rows if row.method in (BASELINE, "scheduled")]
    if not any(row.decoder != "threshold" for row in kept):
        return
    yield "## With decoders that know durations and syntax"
    n = sum(not _is_baseline(row) for row in kept)
    table = [
        [f"{row.question}: {row.setting}", row.method, row.decoder, *_cells(row, rows, n)]
        for row in sorted(kept, key=lambda row: (row.question, row.setting, -row.mean("event F1")))
    ]
    yield _table(["data", "method", "decoder", *_columns()], table)


def _is_baseline(row: Row) -> bool:
    return row.method == BASELINE and row.decoder == "threshold"


def _columns() -> list[str]:
    return [word for heading in FIGURES for word in (heading, "gain")]


def _cells(row: Row, rows: Sequence[Row], n_comparisons: int) -> list[str]:
    cells = []
    for heading in FIGURES:
        own = "" if _is_baseline(row) else _words(gain(row, rows, heading, n_comparisons))
        cells += [_score(row, heading), own]
    return cells


def _score(row: Row, heading: str) -> str:
    return f"{row.mean(heading):.3f}"


def _words(of_row: Gain) -> str:
    if math.isinf(of_row.half):
        return f"{of_row.mean:+.3f}"
    words = f"{of_row.mean:+.3f} ± {of_row.half:.3f} / {of_row.half_of_all:.3f}"
    return f"**{words}**" if of_row.is_certain else words


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _list_of(rows: Sequence[Row]) -> str:
    """A line for each run, as CSV: what it is, its hash, and what it scored."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ["question", "setting", "method", "decoder", "seed", "config_hash", "commit"]
    writer.writerow([*names, *FIGURES])
    for row in rows:
        for folder in row.runs:
            record = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
            seed = int(record["seed"])
            scores = [f"{row.scores[heading][seed]:.6f}" for heading in FIGURES]
            where = [row.question, row.setting, row.method, row.decoder, str(seed)]
            writer.writerow([*where, record["config_hash"], record["commit"] or "", *scores])
    return file.getvalue()
