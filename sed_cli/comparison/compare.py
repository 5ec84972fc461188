"""``sedtf compare``: runs joined over folds and seeds, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sed_cli.comparison.amounts import amount_of, curves_over_amounts
from sed_cli.comparison.figures import draw_comparison
from sed_cli.comparison.learning import COST, KIND, UPDATES, joined_over_folds
from sed_cli.comparison.runs import (
    MISSING,
    Configuration,
    Run,
    columns,
    differing,
    find_runs,
    group_runs,
)
from sed_cli.comparison.tables import print_comparison, write_tables
from sed_cli.config.provenance import RunRecord
from sed_cli.config.tools import CompareConfig
from sed_cli.errors import UserError
from sed_cli.metrics.detection import CONFIDENCE
from sed_cli.metrics.statistics import compare, summarise
from sed_cli.system.files import json_text, write_text
from sed_cli.tasks.package import TaskPackage
from sed_cli.tasks.registry import task_named
from sed_cli.tasks.scores import Layout

Figures = dict[str, dict[str, float | None]]
"""Scores by kind, then by name: ``f1``, ``er``, ``macro_f1`` and others."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A configuration with the scores of its runs, folds joined by their counts."""

    name: str
    columns: dict[str, str]
    runs: tuple[Run, ...]  # the runs that count
    by_seed: dict[int, Figures]
    n_references: dict[str | None, int]  # annotated events by fold


def compare_runs(config: CompareConfig, run_dir: Path) -> None:
    """Do the work of ``sedtf compare``."""
    with RunRecord(run_dir, "compare", config, seed=0):
        runs = find_runs(config.runs)
        comparison = make_comparison(runs, config.metric, config.baseline)
        write_text(run_dir / "comparison.json", json_text(comparison))
        write_tables(comparison, run_dir)
        draw_comparison(comparison, run_dir / "figures")
        if comparison["convergence"]:
            path = run_dir / "figures" / "convergence.png"
            _task_of(runs).draw_convergence(comparison, path)
        print_comparison(comparison, run_dir)


def make_comparison(
    runs: Sequence[Run], metric: str = "frame", baseline: str | None = None
) -> dict[str, Any]:
    """Join runs into the contents of ``comparison.json``: one row per configuration, best first.

    Args:
        runs: result of :func:`find_runs`; runs with trouble are listed, and are not fatal.
        metric: the kind by whose F1 rows are sorted.
        baseline: the row to compare the others with, or ``None``.

    Raises:
        UserError: if no run completed, or the baseline does not name exactly one row.
    """
    notes: list[str] = []
    task = _task_of(runs)
    layout = task.layout(metric)
    entries = _entries(runs, layout, notes)
    if not entries:
        reasons = "; ".join(f"{run.name}: {run.trouble}" for run in runs[:3])
        raise UserError(f"none of {len(runs)} runs can be compared: {reasons}")
    names = _names(entries)
    if layout.first.kind not in names:
        raise UserError(
            f"metric={layout.first.kind}: no run has it; expected one of {', '.join(names)}"
        )
    layout = layout.limited_to(names)
    base = None if baseline is None else _find_baseline(baseline, entries)
    rows = [_row(entry, base, names) for entry in entries]
    rows.sort(key=layout.rank)
    all_folds = {run.fold for entry in entries for run in entry.runs}
    comparison = {
        "metric": layout.first.kind,
        "principal": asdict(layout.first),
        "shown": [asdict(each) for each in layout.shown],
        "reported": [asdict(each) for each in layout.reported],
        "by_seed": [*layout.by_seed, UPDATES, COST],
        "learning_curves": layout.curves,
        "baseline": base.name if base else None,
        "level": CONFIDENCE,
        "columns": list(entries[0].columns),
        "differing": differing(group_runs(run for entry in entries for run in entry.runs)),
        "folds": sorted(fold for fold in all_folds if fold is not None),
        "n_runs": len(runs),
        "rows": rows,
        "convergence": task.convergence(rows),
        "left_out": [
            {"folder": run.name, "reason": run.trouble} for run in runs if run.trouble is not None
        ],
        "notes": notes + _unlike(entries, layout),
    }
    return {**comparison, "amounts": curves_over_amounts(comparison)}


def _task_of(runs: Sequence[Run]) -> TaskPackage:
    """The one task of the compared runs."""
    tasks = sorted({run.task for run in runs if run.trouble is None})
    if len(tasks) > 1:
        models = " and ".join(task_named(task).config.MODEL for task in tasks)
        raise UserError(f"{models} cannot be compared: name runs of one task")
    return task_named(next(iter(tasks), None))


# ------------------------------------------------------------------------- runs to entries


def _entries(runs: Sequence[Run], layout: Layout, notes: list[str]) -> list[Entry]:
    folds = {run.fold for run in runs if run.fold is not None}
    joined: list[tuple[Configuration, dict[int, dict[str | None, Run]]]] = []
    for configuration in group_runs(run for run in runs if run.trouble is None):
        complete = _by_seed(configuration, folds, notes)
        if complete:
            joined.append((configuration, complete))
    shown = columns([configuration for configuration, _ in joined])
    entries = []
    for index, (_, by_seed) in enumerate(joined):
        values = {key: options[index] for key, options in shown.items()}
        counted = tuple(run for by_fold in by_seed.values() for run in by_fold.values())
        entries.append(
            Entry(
                name=_name(values),
                columns=values,
                runs=counted,
                by_seed={seed: _join(list(by_fold.values())) for seed, by_fold in by_seed.items()},
                n_references={run.fold: run.scores[layout.counted].n_references for run in counted},
            )
        )
    return entries


def _name(values: Mapping[str, str]) -> str:
    """Name a row by its columns, by the last part of their keys if that is unique."""
    last = Counter(key.rsplit(".", 1)[-1] for key in values)
    words = []
    for key, value in values.items():
        short = key.rsplit(".", 1)[-1]
        if value != MISSING:
            words.append(f"{short if last[short] == 1 else key}={value}")
    return ", ".join(words) or "all runs"


def _by_seed(
    configuration: Configuration, folds: set[str], notes: list[str]
) -> dict[int, dict[str | None, Run]]:
    """Runs by seed and fold: the latest of each, and only seeds with all folds."""
    found: dict[int, dict[str | None, Run]] = {}
    for run in sorted(configuration.runs, key=lambda run: run.started):
        of_seed = found.setdefault(run.seed, {})
        if run.fold in of_seed:
            notes.append(
                f"{of_seed[run.fold].name} and {run.name} have the same settings and seed: "
                f"the later one counts"
            )
        of_seed[run.fold] = run
    for seed, of_seed in list(found.items()):
        missing = sorted(folds - set(of_seed)) if None not in of_seed else []
        if missing:
            notes.append(
                f"seed {seed} of {next(iter(of_seed.values())).name} lacks fold "
                f"{', '.join(missing)}: left out, because sums over different folds are not "
                f"comparable"
            )
            del found[seed]
    return dict(sorted(found.items()))


def _join(runs: Sequence[Run]) -> Figures:
    """Metrics from counts summed over folds; means over folds for metrics without counts."""
    values: Figures = {}
    for kind in runs[0].scores:
        if all(kind in run.scores for run in runs):
            first, *others = (run.scores[kind] for run in runs)
            values[kind] = sum(others, start=first).figures()
    learning = joined_over_folds([run.learning for run in runs])
    return values if set(learning.values()) == {None} else {**values, KIND: learning}


def _names(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Names of all metrics by kind; an older run may lack some kinds."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        for of_seed in entry.by_seed.values():
            for kind, values in of_seed.items():
                names.setdefault(kind, list(values))
    return names


def _unlike(entries: Sequence[Entry], layout: Layout) -> list[str]:
    """Note if rows were scored on different data."""
    for fold in {fold for entry in entries for fold in entry.n_references}:
        counts = {entry.n_references[fold] for entry in entries if fold in entry.n_references}
        if len(counts) > 1:
            where = "" if fold is None else f" in fold {fold}"
            return [
                f"rows were scored on different {layout.items}: they have "
                f"{' or '.join(map(str, sorted(counts)))} {layout.references}{where}"
            ]
    return []


# -------------------------------------------------------------------------- entries to rows


def _find_baseline(words: str, entries: Sequence[Entry]) -> Entry:
    """Find the row named by ``KEY=VALUE``, ``VALUE``, several of them, or a run folder."""
    folder = Path(words).expanduser()
    if folder.is_dir():
        found = [e for e in entries if folder.resolve() in {r.folder.resolve() for r in e.runs}]
    else:
        wanted = words.replace(",", " ").split()
        found = [entry for entry in entries if entry.name == words] or [
            entry for entry in entries if all(_is_of(word, entry) for word in wanted)
        ]
    if len(found) != 1:
        said = "several rows" if found else "no row"
        names = "; ".join(entry.name for entry in found or entries)
        rows = f"expected one of {names}"
        if len(entries) == 1:
            rows = "there is a single row to compare; leave baseline out, or name more runs"
        raise UserError(f"baseline={words} matches {said}: {rows}")
    return found[0]


def _is_of(word: str, entry: Entry) -> bool:
    key, _, value = word.rpartition("=")
    return any(
        value == own and (not key or key in (name, name.rsplit(".", 1)[-1]))
        for name, own in entry.columns.items()
    )


def _row(entry: Entry, base: Entry | None, found: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    def by_seed(of: Entry, kind: str, name: str) -> dict[int, float | None]:
        return {seed: values.get(kind, {}).get(name) for seed, values in of.by_seed.items()}

    scores: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for kind, names in found.items():
        scores[kind], differences[kind] = {}, {}
        for name in names:
            own = by_seed(entry, kind, name)
            scores[kind][name] = {**asdict(summarise(own)), "by_seed": own}
            if base is not None and base is not entry:
                differences[kind][name] = asdict(compare(own, by_seed(base, kind, name)))
    return {
        "name": entry.name,
        "columns": entry.columns,
        "is_baseline": base is entry,
        "seeds": list(entry.by_seed),
        "runs": [run.name for run in entry.runs],
        "training": _training(entry),
        "scores": scores,
        "differences": differences if base is not None and base is not entry else None,
    }


def _training(entry: Entry) -> dict[str, Any]:
    """Amount of training audio of a row: in words, and in minutes, the mean over its runs."""
    minutes = [run.train_minutes for run in entry.runs if run.train_minutes is not None]
    return {
        "amount": amount_of(entry.runs[0].settings),
        "minutes": sum(minutes) / len(minutes) if minutes else None,
    }
