"""When does conditioning on the past help? Trains, decodes, compares, and writes the page.

    python -m benchmarks.study [--scale quick|evening|full] [--bank DIR] [--birdsong ROOT]
    python -m benchmarks.study --page docs/study.md --scale SCALE --output DIR
    python -m benchmarks.study --page docs/study.md --scale SCALE --output docs/study_runs.csv
    python -m benchmarks.study --page PAGE --scale SCALE --output DIR --earlier docs/study_runs.csv

All work is done by ``sedtf train -m``, ``eval``, ``data`` and ``compare``, in folders that stay.
What is done is not done again: an interrupted study continues with the same command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.study.jobs import run_job
from benchmarks.study.page import write_page
from benchmarks.study.plan import BASELINE, DECODED, SCALES, SHARED, Plan, Setting, make_plan
from benchmarks.study.shuffling import shuffle_notes
from sed_cli.system.pool import run_in_processes
from sed_cli.system.records import RUN, read_record

_EVALUATION = ("evaluation.bootstrap=0", "evaluation.diagnostics=true")
SYNTAX_SEEDS = 3  # data sets whose syntax is measured


def main() -> None:
    """Run what is left of the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, default="quick")
    parser.add_argument("--output", type=Path, default=None, help="default: outputs/study/SCALE")
    parser.add_argument("--bank", type=Path, help="class folders of clips, such as ESC-10")
    parser.add_argument("--birdsong", type=Path, help="root of a data set with splits")
    parser.add_argument("--seeds", type=int, help="in place of the scale's")
    parser.add_argument("--workers", type=int, help="processes; default: one for each core")
    parser.add_argument(
        "--only", help="a question, such as noise, or one of its settings: syntax/0.98"
    )
    parser.add_argument(
        "--methods", help="of those of the scale, joined by commas; no_feedback always is one"
    )
    parser.add_argument("--page", type=Path, help="write it here, of what is there; train nothing")
    parser.add_argument(
        "--earlier", type=Path, help="with --page: list of runs (CSV) whose folders are gone, added"
    )
    arguments = parser.parse_args()
    output = arguments.output or Path("outputs/study") / arguments.scale
    output = output.resolve()
    if arguments.page is not None:
        write_page(output, arguments.page, arguments.scale, arguments.earlier)
        return
    shuffled = None
    if arguments.birdsong is not None and arguments.scale != "quick":
        shuffled = shuffle_notes(arguments.birdsong.resolve(), output / "shuffled")
    plan = make_plan(
        arguments.scale,
        bank=arguments.bank and arguments.bank.resolve(),
        birdsong=arguments.birdsong and arguments.birdsong.resolve(),
        shuffled=shuffled,
    )
    seeds = range(arguments.seeds or plan.seeds)
    workers = arguments.workers or len(os.sched_getaffinity(0))
    launcher = ["hydra/launcher=local", "hydra.launcher.threads=1"]
    launcher.append(f"hydra.launcher.workers={workers}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of each process: together they fill the cores
    for setting in chosen(plan, arguments.only, arguments.methods):
        _train(setting, plan, seeds, output, launcher)
        _evaluate(setting, plan, output, workers)
        _compare(setting, output)
    write_page(output, output / "study.md", arguments.scale)
    print(f"study: {output / 'study.md'}")


def chosen(plan: Plan, only: str | None, methods: str | None) -> list[Setting]:
    """Return the settings of a question, or one of them, with some methods and the baseline.

    Raises:
        SystemExit: if there is no such question, setting or method.
    """
    settings = [each for each in plan.settings if only in (None, each.question, str(each.folder))]
    if not settings:
        known = dict.fromkeys(each.question for each in plan.settings)
        raise SystemExit(
            f"--only {only}: no such question or setting; expected one of {', '.join(known)}, or "
            f"a setting, such as {plan.settings[0].folder}"
        )
    if methods is None:
        return settings
    known = dict.fromkeys(method for each in settings for method in each.methods)
    if unknown := [each for each in methods.split(",") if each not in known]:
        raise SystemExit(
            f"--methods {methods}: no method {', '.join(unknown)} there; expected some of "
            f"{', '.join(known)}"
        )
    wanted = set(methods.split(","))
    return [
        replace(each, methods=[name for name in each.methods if name in {BASELINE, *wanted}])
        for each in settings
        if wanted & set(each.methods)
    ]


def _verb(verb: str, settings: Sequence[str], *flags: str) -> None:
    """Run a verb in a process of its own; end with its exit code unless that is 0."""
    command = [sys.executable, "-m", "sed_cli", verb, *flags, *settings]
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(code)


def _train(
    setting: Setting, plan: Plan, seeds: range, output: Path, launcher: Sequence[str]
) -> None:
    folder = output / setting.folder
    methods = ",".join(f"study/{method}" for method in setting.methods)
    # choice(): runs are named by both, even where one of them has one value
    settings = [f"experiment=choice({methods})", f"seed=choice({','.join(map(str, seeds))})"]
    settings.append("trainer=study")
    settings += [*plan.overrides, *setting.overrides, *_EVALUATION, *launcher]
    where = "resume_sweep" if (folder / "sweep.json").is_file() else "output_dir"
    _verb("train", [*settings, f"{where}='{folder}'"], "-m")


def _evaluate(setting: Setting, plan: Plan, output: Path, workers: int) -> None:
    """Score some methods by other decoders too; measure the bits of syntax of the data."""
    jobs = []
    for decoder in plan.decoders:
        for method in DECODED:
            for path in sorted(
                (output / setting.folder).glob(f"experiment=study_{method},*/{RUN}")
            ):
                folder = output / "decoded" / decoder / setting.folder / path.parent.name
                words = [f"checkpoint='{path.parent}'", f"evaluation.decoder={decoder}"]
                jobs.append(("eval", [*words, *_EVALUATION], folder))
    jobs += _of_syntax(setting, output)
    left = [
        (verb, [*words, f"output_dir='{folder}'"])
        for verb, words, folder in jobs
        if not _is_completed(folder)
    ]
    if left and any(run_in_processes(run_job, left, min(workers, len(left)))):
        raise SystemExit(1)


def _is_completed(folder: Path) -> bool:
    """Whether a run is; what is left of one that is not makes room for another."""
    if (read_record(folder) or {}).get("status") == "completed":
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _of_syntax(setting: Setting, output: Path) -> list[tuple[str, list[str], Path]]:
    """What measures the bits of syntax that the data of the first seeds hold."""
    if setting.question in SHARED:  # other noise, another amount of the same syntax
        return []
    data = [word for word in setting.overrides if word.startswith("data")]
    generated = setting.syntax is not None
    jobs = []
    for seed in range(SYNTAX_SEEDS if generated else 1):
        words = [word.replace("${seed}", str(seed)) for word in data]
        words += [f"data.seed={seed}"] if generated else []
        jobs.append(("data", words, output / "data" / setting.folder / f"seed={seed}"))
    return jobs


def _compare(setting: Setting, output: Path) -> None:
    folder = output / "comparisons" / setting.folder
    places = [output / setting.folder]
    places += sorted((output / "decoded").glob(f"*/{setting.folder}"))
    made = folder / "comparison.json"
    ended = [path.stat().st_mtime for place in places for path in place.glob(f"*/{RUN}")]
    if made.is_file() and made.stat().st_mtime > max(ended):
        return
    shutil.rmtree(folder, ignore_errors=True)
    baseline = next(iter(sorted(places[0].glob(f"experiment=study_{BASELINE},*"))))
    _verb("compare", [*map(str, places), f"baseline='{baseline}'", f"output_dir='{folder}'"])


if __name__ == "__main__":
    main()
