"""Redraw the pictures of docs/images: ``make pictures``.

    python -m tools.pictures [NAME...] [--runs FOLDER] [--train] [--images FOLDER]

Pictures of a training run are drawn from a run in ``--runs``; if it is missing, the command that
trains it is printed. ``--train`` trains missing runs that need no recordings: about an hour on two
cores.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.data.survey import load_manifest
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.training.checkpoint import resolve_checkpoint

_COLOURS = 255  # for a picture with a spectrogram: a third of the size without visible difference


@dataclass(frozen=True)
class Training:
    """A run that pictures are drawn from, and the arguments of ``sedtf train`` for it."""

    words: tuple[str, ...]
    is_sweep: bool = False

    @property
    def needs_recordings(self) -> bool:
        """Whether it trains on recordings that the reader has to provide."""
        return any(word.startswith("data.root=") for word in self.words)


_SONG = ("experiment=birdsong", "data.root=RECORDINGS")
TRAININGS = {
    "default": Training(()),
    "demo": Training(("experiment=teacher_forcing_demo",)),
    "amounts": Training(
        (
            "data.train_share=0.06,0.12,0.25,0.5,1",
            "seed=0,1,2",
            "data.train_seed=${seed}",
            "data.n_train=100",
            "data.n_validation=20",
            "data.n_test=30",
            "trainer.epochs=10",
            "evaluation.tune=false",
        ),
        is_sweep=True,
    ),
    "song": Training(_SONG),
    "onsets": Training((*_SONG, "model.onsets=true")),
}


# ------------------------------------------------------------------------------------ drawing


def _sedtf(verb: str, *words: str) -> None:
    if run_verb(verb, words, Flags()):
        raise SystemExit(f"sedtf {verb} {' '.join(words)}: failed")


def _copy(source: Path, target: Path, *, colours: int | None = None) -> None:
    """Copy a picture, optionally reduced to a number of colours."""
    if colours is None:
        shutil.copyfile(source, target)
        return
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(colours).save(target, optimize=True)


def _teacher_masks(_: Path, target: Path, scratch: Path) -> None:
    _sedtf("simulate", f"output_dir={scratch}")
    _copy(scratch / "forced_targets.gif", target)


def _curves(_: Path, target: Path, scratch: Path) -> None:
    words = ("experiment=tutorial_curves", "animate=false")
    _sedtf("simulate", *words, f"output_dir={scratch}")
    _copy(scratch / "curve.png", target)


def _data(_: Path, target: Path, scratch: Path) -> None:
    _sedtf("data", f"output_dir={scratch}")
    _copy(scratch / "figures" / "data.png", target)


def _figure(name: str, colours: int | None = None) -> Callable[[Path, Path, Path], None]:
    """Use a figure in the run folder."""

    def draw(run: Path, target: Path, _: Path) -> None:
        _copy(run / "figures" / name, target, colours=colours)

    return draw


def _compared(name: str, folder: str = "") -> Callable[[Path, Path, Path], None]:
    """Use a figure of ``sedtf compare``."""

    def draw(run: Path, target: Path, scratch: Path) -> None:
        there = run / folder / "figures" / name
        if not (folder and there.is_file()):
            _sedtf("compare", str(run), f"output_dir={scratch}")
            there = scratch / "figures" / name
        _copy(there, target)

    return draw


def _recordings_of(run: Path) -> list[Path]:
    config = read_config(resolve_checkpoint(run))
    manifest = load_manifest(config.data, splits=["test"], classes=load(run).classes)
    return [clip.path for clip in manifest.splits["test"]]


def _timeline(run: Path, target: Path, scratch: Path) -> None:
    """Four test recordings, joined into one."""
    sounds = [soundfile.read(path, dtype="float32") for path in _recordings_of(run)[:4]]
    scratch.mkdir(parents=True)
    recording = scratch / "soundscape.flac"
    soundfile.write(recording, np.concatenate([sound for sound, _ in sounds]), sounds[0][1])
    _predicted(run, recording, target)


def _song(run: Path, target: Path, scratch: Path) -> None:
    """The longest test recording."""
    paths = _recordings_of(run)
    recording = max(paths, key=lambda path: soundfile.info(path).duration)
    scratch.mkdir(parents=True)
    _predicted(run, Path(shutil.copy(recording, scratch)), target)


def _predicted(run: Path, recording: Path, target: Path) -> None:
    folder = recording.parent / "found"
    words = (f"checkpoint={run}", f"input={recording}", f"output_dir={folder}", "timeline=true")
    _sedtf("predict", *words)
    _copy(folder / f"{recording.stem}.timeline.png", target, colours=_COLOURS)


def _summary(run: Path, target: Path, scratch: Path) -> None:
    """The test recordings, named as if they came from one morning."""
    paths = _recordings_of(run)
    survey = scratch / "survey"
    survey.mkdir(parents=True)
    for index, path in enumerate(paths):
        minutes = 4 * 60 + index * 8 * 60 // len(paths)  # from 4 to 12 o'clock
        start = f"{minutes // 60:02}{minutes % 60:02}00"
        shutil.copy(path, survey / f"SITE_20260503_{start}{path.suffix}")
    words = (f"checkpoint={run}", f"input={survey}", f"output_dir={scratch / 'found'}")
    _sedtf("predict", *words, "summary=true")
    _copy(scratch / "found" / "predictions" / "summary.png", target)


def _report(run: Path, target: Path, scratch: Path) -> None:
    """The errors in a recording on the report page of a run, in Chromium."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By

    _sedtf("report", str(run), f"output_dir={scratch}")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{flag}")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    size = {"width": 1100, "height": 860, "deviceScaleFactor": 1, "mobile": False}
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get((scratch / "report.html").resolve().as_uri())
        for _ in range(4):
            driver.find_element(By.ID, "next-error").click()
        driver.execute_script(
            "document.getElementById('stage').closest('section').scrollIntoView()"
        )
        scratch.mkdir(exist_ok=True)
        driver.save_screenshot(str(scratch / "report.png"))
    finally:
        driver.quit()
    _copy(scratch / "report.png", target, colours=_COLOURS)


def _decoders(run: Path, target: Path, scratch: Path) -> None:
    """Four seconds of a song, decoded by all decoders."""
    from benchmarks import decoder_quality

    window = ("--recording", "1", "--start", "2.4", "--seconds", "4")
    sys.argv = ["decoder_quality", str(run), "--picture", str(target), *window]
    sys.argv += ["--output", str(scratch)]
    labels = run.parent / "labels"  # a run of experiment=birdsong_syntax
    sys.argv += ["--language", str(labels)] if labels.is_dir() else []
    decoder_quality.main()


def _of_largest(draw: Callable[[Path, Path, Path], None]) -> Callable[[Path, Path, Path], None]:
    """Draw from the run with the largest amount of training audio."""

    def draw_it(sweep: Path, target: Path, scratch: Path) -> None:
        draw(sweep / "data.train_share=1,seed=0", target, scratch)

    return draw_it


@dataclass(frozen=True)
class Picture:
    """How to draw a picture: from a run, into a file, with a scratch folder."""

    draw: Callable[[Path, Path, Path], None]
    run: str | None = None


PICTURES = {
    "forced_targets.gif": Picture(_teacher_masks),
    "curves.png": Picture(_curves),
    "data.png": Picture(_data),
    "events.png": Picture(_figure("events.png", _COLOURS), "default"),
    "learning_curves.png": Picture(_figure("learning_curves.png"), "default"),
    "timeline.png": Picture(_of_largest(_timeline), "amounts"),
    "report.png": Picture(_of_largest(_report), "amounts"),
    "summary.png": Picture(_of_largest(_summary), "amounts"),
    "tutorial_report.png": Picture(_report, "song"),
    "convergence.png": Picture(_compared("convergence.png", "comparison"), "demo"),
    "training_minutes.png": Picture(_compared("f1_over_training_minutes.png"), "amounts"),
    "decoders.png": Picture(_decoders, "song"),
    "tutorial_song.png": Picture(_song, "onsets"),
}
# Drawn by another script, with its page.
OF_OTHERS = {
    "study_gain_over_bits.png": "make study",
    "study_evening_gain_over_bits.png": "make study SCALE=evening",
    "study_evening_birdsong.png": "make study SCALE=evening",
    "study_evening_polyphony.png": "make study SCALE=evening",
    "study_evening_noise.png": "make study SCALE=evening",
    "study_evening_amount.png": "make study SCALE=evening",
    "study_evening_esc10.png": "make study SCALE=evening",
}


def main() -> None:
    """Draw the requested pictures, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="such as events.png; all by default")
    parser.add_argument("--runs", type=Path, default=Path("outputs/pictures"))
    parser.add_argument("--train", action="store_true", help="train the runs that are missing")
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(PICTURES):
        drawn = ", ".join([*PICTURES, *(f"{name} by {how}" for name, how in OF_OTHERS.items())])
        raise SystemExit(f"no such picture: {', '.join(sorted(unknown))}; {drawn}")
    left = []
    for name in arguments.names or PICTURES:
        picture = PICTURES[name]
        run = arguments.runs / (picture.run or "")
        if picture.run and not run.is_dir() and not _trained(picture.run, run, arguments.train):
            left.append(name)
            continue
        with tempfile.TemporaryDirectory() as folder:
            picture.draw(run.resolve(), arguments.images.resolve() / name, Path(folder) / "scratch")
        print(arguments.images / name)
    for name in left:
        run = arguments.runs / str(PICTURES[name].run)
        print(f"{name}: unchanged; it needs the run {run}: {_command(run)}")


def _command(run: Path) -> str:
    training = TRAININGS[run.name]
    words = [*(["-m"] if training.is_sweep else []), *training.words, f"output_dir={run}"]
    return "sedtf train " + " ".join(f"'{word}'" if "$" in word else word for word in words)


def _trained(name: str, run: Path, may_train: bool) -> bool:
    """Train a run if allowed and if it needs no recordings."""
    training = TRAININGS[name]
    if not may_train or training.needs_recordings:
        return False
    words = (*training.words, f"output_dir={run.resolve()}")
    return run_verb("train", words, Flags(multirun=training.is_sweep)) == 0


if __name__ == "__main__":
    main()
