"""Which decoder finds the right events? Each is fitted on the validation split of each run.

    python -m benchmarks.decoder_quality RUN... [--language RUN] [--picture FILE.png]

Runs named NAME-SEED are summarised by NAME: the mean of each figure on test, and the mean gain over
``threshold`` in the same run with a 95 % t interval. Existing scores in the output folder are
reused. ``--picture`` draws a recording of the first run, decoded by all of them. Writes
``decoder_quality.{csv,md}``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.measure import write_table
from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.data.annotations import Event
from sed_cli.data.sets import Recording, load_data
from sed_cli.reports import style
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.tasks.detection.running import probabilities_of, run_freely
from sed_cli.training.checkpoint import resolve_checkpoint

DECODERS = ("threshold", "hysteresis", "vote", "boxes", "semi_markov")
FIGURES = {
    "frame F1": ("frame", "f1"),
    "event F1": ("event", "f1"),
    "error rate of labels": ("syllable_error_rate", "rate"),
    "accuracy of bins": ("bin_accuracy", "accuracy"),
}


def main() -> None:
    """Score all decoders on all runs, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--decoders", default=",".join(DECODERS))
    parser.add_argument("--language", type=Path, help="a run on labels, for decoder language")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--recording", type=int, default=0, help="of the test split, in --picture")
    parser.add_argument("--start", type=float, default=0.0, help="start of the picture in seconds")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"))
    arguments = parser.parse_args()
    names = arguments.decoders.split(",") + ["language"] * (arguments.language is not None)
    rows: list[dict[str, object]] = []
    sets = dict.fromkeys(run.name.rpartition("-")[0] or run.name for run in arguments.runs)
    for name in sets:
        runs = [run for run in arguments.runs if name in (run.name, run.name.rpartition("-")[0])]
        scored = {decoder: _figures(runs, decoder, arguments) for decoder in names}
        for decoder, figures in scored.items():
            rows.append({"set": name, "decoder": decoder, "runs": len(runs)})
            for column, values in figures.items():
                rows[-1][column] = round(float(values.mean()), 4)
                gains = values - scored[names[0]][column]
                rows[-1][f"{column} gain"] = _gain(gains) if decoder != names[0] else ""
    print(write_table(arguments.output / "decoder_quality", "Decoders", rows))
    if arguments.picture is not None:
        _draw(arguments.runs[0], names, arguments)


def _folder(run: Path, decoder: str, arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.output / "decoder_quality" / f"{run.name}-{decoder}"
    return folder


def _figures(
    runs: Sequence[Path], decoder: str, arguments: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Figures on the test split, (runs,) each."""
    found: dict[str, list[float]] = {column: [] for column in FIGURES}
    for run in runs:
        folder = _folder(run, decoder, arguments)
        if not (folder / "metrics.json").is_file():
            settings = [f"checkpoint={run.resolve()}", f"evaluation.decoder={decoder}"]
            if decoder == "language":
                settings.append(f"evaluation.language={arguments.language.resolve()}")
            settings += ["evaluation.bootstrap=0", f"output_dir={folder.resolve()}"]
            if run_verb("eval", settings, Flags()):
                raise SystemExit(f"{run}: scoring the decoder {decoder} failed")
        metrics = json.loads((folder / "metrics.json").read_text())
        for column, (kind, figure) in FIGURES.items():
            found[column].append(metrics[kind][figure])
    return {column: np.array(values) for column, values in found.items()}


def _gain(differences: np.ndarray) -> str:
    mean = float(differences.mean())
    if len(differences) < 2:
        return f"{mean:+.4f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return f"{mean:+.4f} ± {half:.4f}"


def _draw(run: Path, names: Sequence[str], arguments: argparse.Namespace) -> None:
    """Draw the probabilities in a segment of a recording, its events, and those of each decoder."""
    trained = read_config(resolve_checkpoint(run))
    detector = load(run)
    data = load_data(trained.data, trained.feature, splits=["test"], classes=detector.classes)
    recording = data.splits["test"][arguments.recording]
    ((_, logits),) = run_freely(detector, [recording])
    probabilities = probabilities_of(logits)
    rows = {"annotated": list(recording.events)}
    for name in names:
        path = _folder(run, name, arguments) / "events.tsv"
        rows[name] = _events_in(path, recording)
    start_s, end_s = arguments.start, min(arguments.start + arguments.seconds, recording.duration_s)
    looks = {
        label: (style.CYCLE[n % len(style.CYCLE)], n >= len(style.CYCLE))
        for n, label in enumerate(detector.classes)
    }
    with style.applied():
        figure = style.new_figure(8.0, 0.36 * len(rows) + 2.4)
        curves, bars = figure.subplots(2, 1, sharex=True, height_ratios=(4, len(rows) + 1))
        first, last = (round(at_s / detector.hop_s) for at_s in (start_s, end_s))
        times_s = detector.hop_s * np.arange(first, last)
        _draw_curves(curves, times_s, probabilities[first:last], looks)
        _draw_rows(bars, rows, looks)
        bars.set_xlim(start_s, end_s)
        figure.set_layout_engine("constrained")
        style.save_png(figure, arguments.picture)


def _events_in(path: Path, recording: Recording) -> list[Event]:
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [
        Event(float(onset), float(offset), label)
        for name, onset, offset, label, *_ in lines
        if name == recording.name and onset
    ]


Looks = dict[str, tuple[str, bool]]  # colour of each class, and whether another shares it


def _draw_curves(axes: Any, times_s: np.ndarray, probabilities: np.ndarray, looks: Looks) -> None:
    for (label, (colour, is_again)), curve in zip(looks.items(), probabilities.T, strict=True):
        if curve.max() > 0.3:
            line = "--" if is_again else "-"
            axes.plot(times_s, curve, line, color=colour, lw=1.0, label=label)
    axes.set_ylabel("probability")
    axes.set_ylim(0.0, 1.0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.32), ncols=7, frameon=False)


def _draw_rows(axes: Any, rows: dict[str, list[Event]], looks: Looks) -> None:
    for place, events in enumerate(rows.values()):
        for event in events:
            colour, is_again = looks[event.label]
            axes.broken_barh(
                [(event.onset_s, event.offset_s - event.onset_s)],
                (place - 0.38, 0.76),
                facecolor=colour,
                edgecolor=style.PAPER,
                hatch="////" if is_again else None,
                linewidth=0.8,
            )
    axes.axhline(0.5, color=style.GREY, lw=0.8)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("time (s)")


if __name__ == "__main__":
    main()
