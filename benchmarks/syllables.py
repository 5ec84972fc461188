"""How many syllables are wrong, by the amount of training song? As in the table of TweetyNet.

    python -m benchmarks.syllables FOLDER [--minutes 0.5 3 8] [--draws 5] [--with KEY=VALUE ...]

FOLDER is one bird's song with a table of events for each split (docs/annotations.md). For each
amount and draw, ``experiment=birdsong_syllables`` is trained on recordings drawn from the training
split, tuned on the validation split, and scored on the test split. Prints the mean over draws with
a 95 % t interval, and each draw. Trained runs in the output folder are reused. Writes
``syllables.{csv,md}``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.measure import write_table
from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags

FIGURES = {
    "syllable error": ("syllable_error_rate", "rate"),
    "accuracy of bins": ("bin_accuracy", "accuracy"),
    "frame F1": ("frame", "f1"),
}


def main() -> None:
    """Train all draws, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 3.0, 8.0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="number of the first draw")
    parser.add_argument("--with", dest="extra", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"))
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for minutes in arguments.minutes:
        draws = range(arguments.first, arguments.first + arguments.draws)
        runs = [_trained(minutes, draw, arguments) for draw in draws]
        rows.append(row_of(minutes, runs))
        print(write_table(arguments.output / "syllables", "Syllables", rows), flush=True)


def _trained(minutes: float, draw: int, arguments: argparse.Namespace) -> Path:
    """The folder of a draw's run, trained if it is not there yet."""
    folder: Path = arguments.output / "syllables" / f"{minutes:g}-{draw}"
    if (folder / "metrics.json").is_file():
        before = json.loads((folder / "spent.json").read_text()).get("with", arguments.extra)
        if before != arguments.extra:
            raise SystemExit(f"{folder}: trained --with {' '.join(before)}: name another --output")
        return folder
    settings = [
        "experiment=birdsong_syllables",
        f"data.root={arguments.folder.resolve()}",
        f"data.train_minutes={minutes:g}",
        f"data.train_seed={draw}",
        f"seed={draw}",
        "evaluation.bootstrap=0",
        *arguments.extra,
        f"output_dir={folder.resolve()}",
    ]
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    if run_verb("train", settings, Flags()):
        raise SystemExit(f"{minutes:g} minutes, draw {draw}: training failed")
    spent = {
        "wall_s": time.perf_counter() - start_s,
        "cpu_s": time.process_time() - start_cpu_s,
        "with": arguments.extra,
    }
    (folder / "spent.json").write_text(json.dumps(spent))
    return folder


def row_of(minutes: float, runs: list[Path]) -> dict[str, object]:
    """Mean, interval and single values of each figure."""
    metrics = [json.loads((run / "metrics.json").read_text()) for run in runs]
    spent = [json.loads((run / "spent.json").read_text()) for run in runs]
    song_s = [60 * json.loads((run / "run.json").read_text())["train_minutes"] for run in runs]
    row: dict[str, object] = {
        "train_minutes": minutes,
        "seconds of song": f"{min(song_s):.0f} to {max(song_s):.0f}",
        "draws": len(runs),
    }
    for name, (metric, figure) in FIGURES.items():
        values = np.array([each[metric][figure] for each in metrics])
        row[name] = f"{values.mean():.4f}"
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            row[name] = f"{row[name]} ± {half:.4f}"
        row[f"{name}, each"] = " ".join(f"{value:.4f}" for value in values)
    row["CPU minutes"] = round(float(np.mean([each["cpu_s"] for each in spent])) / 60, 1)
    return row


if __name__ == "__main__":
    main()
