"""What does it cost to describe a data set, and how accurate are the entropies of its syntax?

Cost: an hour with 100,000 events of 50 classes, and 3,000 files of one second; each is written as a
data set, then listed, described and drawn. Accuracy: Markov chains of known entropy, for the
estimate, the raw counts and the correction of Miller and Madow 1955. Writes ``inspection.{csv,md}``
and ``entropies.{csv,md}``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.measure import Task, medians, options, write_table
from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.statistics import describe
from sed_cli.data.survey import survey
from sed_cli.data.syntax import corrected_log, entropies_bits, plain_log
from sed_cli.tasks.detection.inspection.figure import draw_set

Counts = NDArray[np.int64]


def main(arguments: argparse.Namespace) -> None:
    """Measure and write both tables."""
    with tempfile.TemporaryDirectory() as folder:
        rows = _costs(Path(folder), arguments)
    print(write_table(arguments.output / "inspection", "Describing a set", rows))
    title = "H(next | current): mean error in bits of 20 draws"
    print(write_table(arguments.output / "entropies", title, _errors()))


# ----------------------------------------------------------------------------------- cost


def _costs(folder: Path, arguments: argparse.Namespace) -> list[dict[str, object]]:
    sets = {
        "an hour, 100,000 events, 50 classes": (1, 3600.0, 100_000, 50),
        "3,000 files of a second, 6,000 events, 3 classes": (3_000, 1.0, 2, 3),
    }
    rows: list[dict[str, object]] = []
    for number, (name, sizes) in enumerate(sets.items()):
        root = folder / str(number)
        _write_set(root, *sizes)
        config = AnnotatedConfig(root=str(root), validation=None, test=None)
        manifest = survey(config)
        statistics = describe(manifest)
        tasks: dict[str, Task] = {
            "list": partial(survey, config),
            "describe": partial(describe, manifest),
            "draw": partial(draw_set, root / "set.png", name, statistics),
        }
        seconds = medians(
            tasks, repeats=arguments.repeats, budget=arguments.budget, clock=arguments.clock
        )
        rows.append({"set": name, **{f"{stage}, s": value for stage, value in seconds.items()}})
    return rows


def _write_set(root: Path, n_files: int, length_s: float, n_events: int, n_classes: int) -> None:
    random = np.random.default_rng(0)
    (root / "audio").mkdir(parents=True)
    table = {}
    for number in range(n_files):
        name = f"{number:04d}.wav"
        soundfile.write(root / "audio" / name, np.zeros(round(8000 * length_s)), 8000)
        onsets = random.uniform(0.0, 0.9 * length_s, n_events).round(4).tolist()
        labels = random.integers(n_classes, size=n_events).tolist()
        table[name] = sorted(
            {
                Event(onset, onset + 0.09 * length_s / (1 + 0.1 * length_s), f"class {label}")
                for onset, label in zip(onsets, labels, strict=True)
            }
        )
    write_annotations(root / "train.tsv", table)


# ---------------------------------------------------------------------------------- truth


def _miller_madow_log(counts: Counts) -> NDArray[np.float64]:
    """Terms that raise the entropy of counts (K,) by (K - 1) / 2N."""
    n_present = max(1, int((counts > 0).sum()))
    lowered: NDArray[np.float64] = (n_present - 1) / 2 / n_present / np.maximum(counts, 1)
    return plain_log(counts) - lowered


_ESTIMATES: dict[str, Callable[[Counts], NDArray[np.float64]]] = {
    "as counted": plain_log,
    "Miller, Madow": _miller_madow_log,
    "Grassberger": corrected_log,
}


def _errors() -> list[dict[str, object]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for n_classes, syntax in ((10, "strong"), (10, "none"), (50, "strong"), (50, "none")):
        transitions = np.full((n_classes, n_classes), 1 / n_classes)
        if syntax == "strong":
            peaked = random.dirichlet(np.full(n_classes, 0.1), size=n_classes)
            transitions = 0.98 * peaked + 0.02 * transitions
        share = np.linalg.matrix_power(transitions, 4096)[0]
        truth = -float(share @ (transitions * np.log2(transitions)).sum(axis=1))
        for n_events in (100, 300, 1000, 5000):
            drawn = [_draw_pairs(transitions, share, n_events, random) for _ in range(20)]
            errors = {
                name: float(
                    np.mean([entropies_bits(*each, n_classes, estimate)[1] for each in drawn])
                )
                - truth
                for name, estimate in _ESTIMATES.items()
            }
            chain = f"{n_classes} classes, syntax {syntax}"
            rows.append({"chain": chain, "H, bits": truth, "transitions": str(n_events), **errors})
    return rows


def _mean_bits(
    drawn: Sequence[tuple[Counts, Counts]],
    n_classes: int,
    logarithm: Callable[[Counts], NDArray[np.float64]],
) -> float:
    """H(next | current), averaged over draws."""
    return float(np.mean([entropies_bits(*each, n_classes, logarithm)[1] for each in drawn]))


def _draw_pairs(
    transitions: NDArray[np.float64],
    share: NDArray[np.float64],
    n_events: int,
    random: np.random.Generator,
) -> tuple[Counts, Counts]:
    """Current and following classes of a chain's transitions."""
    n_classes = len(transitions)
    cumulated = transitions.cumsum(axis=1)
    states = [int(random.choice(n_classes, p=share))]
    for uniform in random.random(n_events):
        following = min(int(np.searchsorted(cumulated[states[-1]], uniform)), n_classes - 1)
        states.append(following)
    chain = np.array(states, np.int64)
    return chain[:-1], chain[1:]


if __name__ == "__main__":
    main(options(__doc__ or ""))
