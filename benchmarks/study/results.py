"""What the study's folders hold: comparisons, bits of syntax, and intervals over all of a table."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.study.plan import BASELINE

LEVEL = 0.95

FIGURES = {
    "frame F1": ("frame", "f1"),
    "event F1": ("event", "f1"),
    "syllable error": ("syllable_error_rate", "rate"),
}
"""What is compared, by its heading: kind and name in ``metrics.json``."""

LEARNT = {
    "exposure gap": ("exposure_gap", "gap"),
    "fragments": ("fragmentation", "fragments"),
    "merged": ("fragmentation", "merged"),
    "transitions": ("transitions", "js_bits"),
    "errors after an error": ("errors_after_error", "excess"),
    "updates to 90 %": ("learning", "updates_to_90"),
    "s an update": ("learning", "update_s"),
}
"""What tells what a model has learnt, likewise; runs without ``evaluation.diagnostics`` lack it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method with a decoder in a setting.

    Args:
        question: table that the setting belongs to.
        setting: its name.
        method: option of ``experiment=study/``.
        decoder: of the events.
        runs: by seed: hash of the config, and commit if that is known.
        scores: by heading, then by seed.
        bits: of the next class that the class of an event tells, where they were measured.
    """

    question: str
    setting: str
    method: str
    decoder: str
    runs: dict[int, tuple[str, str]]
    scores: dict[str, dict[int, float]]
    bits: float | None = None

    @property
    def seeds(self) -> set[int]:
        """Those that were scored."""
        return set().union(*map(set, self.scores.values()))

    def mean(self, heading: str) -> float:
        """Over seeds."""
        return float(np.mean([*self.scores[heading].values()]))

    def half(self, heading: str) -> float:
        """Half of the 95 % t interval of the mean."""
        return _half([*self.scores[heading].values()], 1)


@dataclass(frozen=True)
class Gain:
    """Mean of paired differences; half of its interval, for one comparison and for all together."""

    mean: float
    half: float
    half_of_all: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval that allows for all comparisons leaves 0 out."""
        return abs(self.mean) > self.half_of_all


def read_rows(output: Path, earlier: Path | None = None) -> list[Row]:
    """Read all comparisons of the study's folder, or the list of runs that was made of them.

    Args:
        output: the folder, or the list.
        earlier: a list whose runs are added, unless ``output`` has them too.
    """
    rows = _listed(output) if output.is_file() else _compared(output)
    return rows if earlier is None else _joined(_listed(earlier), rows)


def _compared(output: Path) -> list[Row]:
    rows = []
    for path in sorted((output / "comparisons").glob("*/*/comparison.json")):
        comparison = json.loads(path.read_text(encoding="utf-8"))
        bits = _bits_of(path.parent.parent.name, path.parent.name, output)
        for row in comparison["rows"]:
            rows.append(_row(row, path.parent, bits))
    return rows


def _row(row: dict[str, Any], folder: Path, bits: float | None) -> Row:
    columns = row["columns"]
    scores = {
        heading: {int(seed): x for seed, x in of_kind["by_seed"].items() if x is not None}
        for heading, (kind, name) in (FIGURES | LEARNT).items()
        if (of_kind := row["scores"].get(kind, {}).get(name)) is not None
    }
    records = [
        json.loads((Path(run) / "run.json").read_text(encoding="utf-8")) for run in row["runs"]
    ]
    return Row(
        question=folder.parent.name,
        setting=folder.name,
        method=columns.get("experiment", BASELINE).removeprefix("study/"),  # alone: not a column
        decoder=columns.get("evaluation/decoder", "threshold"),
        runs={int(each["seed"]): (each["config_hash"], each["commit"] or "") for each in records},
        scores=scores,
        bits=bits,
    )


_PLACE = ["question", "setting", "bits", "method", "decoder"]
_RUN = ["seed", "config_hash", "commit"]


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each run: what it is, its hash, and what it scored."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    headings = [*FIGURES, *LEARNT]
    writer.writerow([*_PLACE, *_RUN, *headings])
    for row in rows:
        bits = "" if row.bits is None else f"{row.bits:.4f}"
        place = [row.question, row.setting, bits, row.method, row.decoder]
        for seed, run in sorted(row.runs.items()):
            values = [row.scores.get(heading, {}).get(seed) for heading in headings]
            words = ["" if value is None else f"{value:.6f}" for value in values]
            writer.writerow([*place, str(seed), *run, *words])
    return file.getvalue()


def _listed(path: Path) -> list[Row]:
    """Read what :func:`as_csv` wrote."""
    rows: dict[tuple[str, ...], Row] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            question, setting, bits, method, decoder = place = tuple(line[key] for key in _PLACE)
            row = rows.setdefault(
                place,
                Row(
                    question=question,
                    setting=setting,
                    method=method,
                    decoder=decoder,
                    runs={},
                    scores={},
                    bits=float(bits) if bits else None,
                ),
            )
            seed = int(line["seed"])
            row.runs[seed] = (line["config_hash"], line["commit"])
            for heading in (*FIGURES, *LEARNT):
                if line.get(heading):
                    row.scores.setdefault(heading, {})[seed] = float(line[heading])
    return [*rows.values()]


def _joined(older: Sequence[Row], newer: Sequence[Row]) -> list[Row]:
    """Rows of both; of a run in both, the newer one."""
    rows = {_place(row): row for row in older}
    for row in newer:
        if (known := rows.get(_place(row))) is not None:
            scores = {
                heading: known.scores.get(heading, {}) | row.scores.get(heading, {})
                for heading in (*FIGURES, *LEARNT)
                if heading in {*known.scores, *row.scores}
            }
            row = replace(row, runs=known.runs | row.runs, scores=scores)
        rows[_place(row)] = row
    return [*rows.values()]


def _place(row: Row) -> tuple[str, str, str, str]:
    return row.question, row.setting, row.method, row.decoder


def baseline_of(row: Row, rows: Sequence[Row]) -> Row:
    """No feedback with tuned thresholds in the same setting."""
    wanted = (row.question, row.setting, BASELINE, "threshold")
    for each in rows:
        if (each.question, each.setting, each.method, each.decoder) == wanted:
            return each
    raise SystemExit(f"{row.question}/{row.setting} has no runs of {BASELINE}: it is not complete")


def differences(row: Row, rows: Sequence[Row], heading: str) -> list[float]:
    """Of a row to the baseline, seed by seed."""
    own, other = row.scores[heading], baseline_of(row, rows).scores[heading]
    return [own[seed] - other[seed] for seed in sorted(set(own) & set(other))]


def gain(row: Row, rows: Sequence[Row], heading: str, n_comparisons: int) -> Gain:
    """Mean difference to the baseline, with t intervals (Bonferroni for all)."""
    return summary(differences(row, rows, heading), n_comparisons)


def summary(found: Sequence[float], n_comparisons: int) -> Gain:
    """Mean of differences, with its intervals."""
    return Gain(float(np.mean(found)), _half(found, 1), _half(found, max(n_comparisons, 1)))


def _half(values: Sequence[float], n_comparisons: int) -> float:
    """Half of a t interval of the mean that holds for that many at once."""
    if len(values) < 2:
        return math.inf
    quantile = float(stats.t.ppf(1 - (1 - LEVEL) / 2 / n_comparisons, len(values) - 1))
    return quantile * float(stats.sem(values))


def _bits_of(question: str, setting: str, output: Path) -> float | None:
    """Bits of the next class that the class of an event tells, mean over the sets measured."""
    found = []
    for path in sorted((output / "data" / question / setting).glob("*/data.json")):
        syntax = json.loads(path.read_text(encoding="utf-8"))["overall"]["syntax"]
        found.append(syntax["gain_bits"])
    return float(np.mean(found)) if found else None
