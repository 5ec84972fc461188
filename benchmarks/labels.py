"""How useful are weak, partial and no labels? Detectors trained on generated soundscapes.

Of 100 recordings of 10 s, either all have times, or every tenth; the others are left out, have
labels without times, or have none. In addition, in half of the recordings half of the classes are
left unannotated, with or without saying so. Recordings without labels are compared seed by seed,
also with the same augmentation.
Everything uses ``sedtf synth`` and ``sedtf train``; existing runs are not repeated.

    python -m benchmarks.labels --output DIR            # three seeds: an hour or two on two cores
    python -m benchmarks.labels --output DIR --seeds 1 --cases "10 % strong" "all strong"
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

UPDATES = 700
SYNTH = ("data.n_train=100", "data.n_validation=20", "data.n_test=40", "data.duration_s=10")
TRAIN = (
    *("data=annotated", "data.train.audio=audio/train", "data.validation.audio=audio/validation"),
    *("data.test.audio=audio/test", "data.leak_check=none", "trainer.epochs=100"),
    *("trainer.patience=100", "trainer.min_epoch_updates=40"),
)
STRONG = "data.train.annotations=strong.tsv"
WEAK = "data.train.weak=weak.tsv"
UNLABELLED = "data.train.unlabelled=audio/train"
MEAN = "trainer.unlabelled=mean_teacher"
EQUAL = ("augment=full", "sampler.batches_per_epoch=80", "trainer.min_epoch_updates=80")
CASES = {
    "all strong": (),
    "10 % strong": (STRONG,),
    "10 % strong, 90 % weak": (STRONG, WEAK),
    "the same, attention": (STRONG, WEAK, "model.clip_pooling=attention"),
    "10 % strong, 90 % unlabelled": (STRONG, UNLABELLED),
    "the same, one teacher": (STRONG, UNLABELLED, "trainer.teachers=1"),
    "the same, not mixed": (STRONG, UNLABELLED, "trainer.student_mixup=0"),
    "the same, mean teacher": (STRONG, UNLABELLED, MEAN),
    "10 % strong, augmented": (STRONG, *EQUAL),
    "90 % unlabelled, augmented": (STRONG, UNLABELLED, *EQUAL),
    "all strong, augmented": EQUAL,
    "half unannotated, said": ("data.train.annotations=half.tsv",),
    "half unannotated, not said": ("data.train.annotations=half_silent.tsv",),
}
GAPS = (("10 % strong", "all strong"), ("10 % strong, augmented", "all strong, augmented"))
METRICS = ("frame", "segment", "event")
EVENT = ("filename", "onset", "offset", "event_label")


def write_tables(root: Path) -> None:
    """Write the tables of the cases beside that of the training split."""
    with (root / "train.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = sorted({row["filename"] for row in rows})
    classes = sorted({row["event_label"] for row in rows if row["event_label"]})
    strong, half = set(names[::10]), set(names[::2])
    kept = classes[: len(classes) // 2]
    _write(root / "strong.tsv", EVENT, [row for row in rows if row["filename"] in strong])
    weak = []
    for name in names:
        if name not in strong:
            held = sorted({row["event_label"] for row in rows if row["filename"] == name} - {""})
            weak.append({"filename": name, "event_labels": ",".join(held)})
    _write(root / "weak.tsv", ("filename", "event_labels"), weak)
    cut = []
    for name in names:
        own = [row for row in rows if row["filename"] == name]
        if name in half:
            empty = dict.fromkeys(EVENT, "") | {"filename": name}
            own = [row for row in own if row["event_label"] in kept] or [empty]
            own = [row | {"annotated_classes": ",".join(kept)} for row in own]
        cut += own
    _write(root / "half.tsv", (*EVENT, "annotated_classes"), cut)
    _write(root / "half_silent.tsv", EVENT, cut)


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, columns, delimiter="\t", extrasaction="ignore", restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)


def _sedtf(log: Path, *arguments: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "sed_cli", *arguments]
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)


def _scores(run: Path) -> list[float]:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return [100 * metrics[kind]["f1"] for kind in METRICS]


def _print_gains(found: dict[str, list[list[float]]]) -> None:
    """Print what is gained in frame F1 over a tenth of the labels, seed by seed."""
    frame = {case: np.array(scores)[:, 0] for case, scores in found.items()}
    for least, most in GAPS:
        if not {least, most} <= frame.keys() or len(frame[least]) < 2:
            continue
        gap = frame[most] - frame[least]
        print(f"\nframe F1 above that of {least!r}, of {gap.mean():.1f} to {most!r}:")
        print("points by seed; share of the gap, 95 % interval over seeds")
        for case in frame:
            if case in (least, most) or ("augmented" in case) != ("augmented" in least):
                continue
            gains = frame[case] - frame[least]
            half = stats.sem(gains / gap) * stats.t.ppf(0.975, len(gains) - 1)
            share = np.mean(gains / gap)
            ends = f"{share:.0%} ({share - half:.0%} to {share + half:.0%})"
            print(f"{case:28s}", *(f"{each:5.1f}" for each in gains), f"  {ends}")


def main() -> None:
    """Train missing runs, and print F1 in per cent, one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--set", nargs="*", default=[], help="settings of all training runs")
    given = parser.parse_args()
    root = given.output / "soundscapes"
    if not (root / "train.tsv").is_file():
        _sedtf(given.output / "synth.log", "synth", *SYNTH, f"output_dir={root}")
    write_tables(root)
    found: dict[str, list[list[float]]] = {}
    for seed in range(given.seeds):
        for case in given.cases:
            run = given.output / "runs" / f"{case.replace(' %', '').replace(', ', ' ')} {seed}"
            run = run.with_name(run.name.replace(" ", "_"))
            if not (run / "metrics.json").is_file():
                own = (*TRAIN, f"trainer.max_updates={given.updates}", *CASES[case], *given.set)
                own = (*own, f"data.root={root}", f"seed={seed}")
                _sedtf(run.with_suffix(".log"), "train", *own, f"output_dir={run}")
            found.setdefault(case, []).append(_scores(run))
            print(f"seed {seed}, {case}:", *(f"{x:.1f}" for x in found[case][-1]), flush=True)
    print(f"\nF1 in %, mean and standard deviation over {given.seeds} seeds: {', '.join(METRICS)}")
    for case, scores in found.items():
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
        told = (f"{m:5.1f} ({s:.1f})" for m, s in zip(mean, spread, strict=True))
        print(f"{case:28s}", *told)
    _print_gains(found)


if __name__ == "__main__":
    main()
