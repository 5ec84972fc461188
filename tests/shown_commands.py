"""The commands that README, docs and ``--help`` show, and a folder in which to run them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.data.annotations import Event, read_annotations, write_annotations
from sed_cli.help_texts import VERBS
from tests.data.soundscapes.banks import fold_bank
from tests.shown_output import Block, blocks
from tests.shown_pages import UNDER_WAY, has_real_songs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
_IN_HELP = re.compile(r"`([^`]*\bsedtf \w+[^`]*)`")
_CONTINUED = re.compile(r"(?:\\|(?<=\|))\n\s*")


def commands_of(block: Block) -> list[str]:
    """The commands of a block, each as one line; none of a block in another language."""
    lines = _CONTINUED.sub(" ", block.text).splitlines() if block.language == "sh" else []
    return [line.strip() for line in lines if line.strip()]


def shown() -> dict[str, list[Block]]:
    """Blocks of commands, programs and output by page, and by verb as ``--help VERB``, in order."""
    pages = {
        page.name: [block for block in blocks(page) if block.language in ("sh", "python", "output")]
        for page in PAGES
    }
    helps = {
        f"--help {verb}": [
            Block("sh", " ".join(found.split()), 0) for found in _IN_HELP.findall(text)
        ]
        for verb, text in VERBS.items()
    }
    return {where: steps for where, steps in {**pages, **helps}.items() if steps}


# ------------------------------------------------------------------------------- what is not run


@dataclass(frozen=True)
class NotRun:
    """A pattern of commands, as ``WHERE: COMMAND``, and the reason not to run them here."""

    pattern: str
    reason: str


NOT_RUN = (
    NotRun(r": make (train|test)\b", "they set up an environment: .ci runs them"),
    NotRun(r": (\.venv/bin/)?(pip|python|sudo|sinfo|exit)\b", "of an environment or a system"),
    NotRun(r"^extending\.md: ", "tests/test_extending.py runs them"),
    NotRun(r"^slurm\.md: |launcher=slurm", "needs a cluster: tests/test_slurm.py"),
    NotRun(r"device=cuda", "needs GPUs"),
    NotRun(r"baseline=sampler=", "names a row of a sweep over sizes: tests/comparison/"),
    NotRun(r"status .*watch=", "runs until Ctrl-C: tests/test_status.py"),
    NotRun(r": torchrun ", "needs several machines: tests/training/test_distributed.py"),
    NotRun(r"cache_dir=/scratch", "names a folder of a machine"),
    NotRun(r"feature=onnx", "needs a network: tests/audio/test_onnx.py"),
    NotRun(r"data\.train\.weak=", "needs weak labels: tests/data/test_weak.py"),
    NotRun(r"data\.train\.unlabelled=", "others: tests/tasks/detection/test_self_training.py"),
    NotRun(r"\.background=", "needs recordings without events: tests/data/test_background.py"),
    NotRun(r"data\.(merge|relabel)=", "names labels: tests/data/test_relabelling.py"),
    NotRun(r"data=tut2017", "needs a published data set: tests/data/published/"),
    NotRun(r"eval scores=", "needs published scores: tests/tasks/detection/test_scores.py"),
)


def why_not(where: str, command: str) -> str | None:
    """The reason not to run a command; None if it is run."""
    if "psds=true" in command and find_spec("sed_scores_eval") is None:
        return "needs sedtf[psds], which takes a C compiler"
    known = (each.reason for each in NOT_RUN if re.search(each.pattern, f"{where}: {command}"))
    return next(known, None)


# ------------------------------------------------------------------------------- the small sizes

_TRAINER = {"trainer.max_updates": 2, "trainer.batch_size": 2}
_DETECTOR = {
    **_TRAINER,
    "trainer.epochs": 1,
    "model.conv_channels": 2,
    "model.rnn_hidden": 3,
    "data.sequence_length": 40,
}
_SOUNDSCAPES = {
    "data.n_train": 3,
    "data.n_validation": 2,
    "data.n_test": 2,
    "data.duration_s": 4.0,
}
_SMALL_TOKENS = {"data.n_train": 40, "data.n_validation": 10, "data.n_test": 10}


# Two values of each setting in a sweep.
_FEWER = re.compile(r"^((?:seed|data\.fold|data\.train_share)=[\d.]+),(?:[\d.]+,)*([\d.]+)$")


def made_small(words: Sequence[str]) -> list[str]:
    """The command with sizes that take seconds; everything else is unchanged."""
    verb, *settings = words
    given = dict(word.split("=", 1) for word in settings if "=" in word)
    sizes: dict[str, object] = {}
    of_sequences = given.get("task") == "sequence" or given.get("experiment") in (
        "teacher_forcing_demo",
        "birdsong_syntax",
    )
    if verb == "train" and "resume" not in given and of_sequences:
        is_drawn = not ({"data.path", "data.annotations", "data.train"} & set(given))
        sizes = {**_TRAINER, **(_SMALL_TOKENS if is_drawn else {})}
        if given.get("experiment") == "teacher_forcing_demo":
            sizes["seed"] = 0
    elif verb == "train" and "resume" not in given:
        of_recordings = {"data.root"} & set(given) or given.get("data") == "annotated"
        sizes = {**_DETECTOR, **({"data.leak_check": "none"} if of_recordings else {})}
    elif verb == "synth" and "recipe" not in given:
        sizes = {"figure": "false"}
    if verb in ("train", "data", "synth") and not of_sequences and "recipe" not in given:
        draws = given.get("data", "soundscapes") == "soundscapes" and "data.root" not in given
        sizes |= _SOUNDSCAPES if draws and "resume" not in given else {}
        if draws and "data.bank" in given:
            sizes |= {"data.duration_s": 10.0}  # long enough for the longest clips of the bank
    if "trainer.devices" in given:
        sizes |= {"device": "cpu"}
    if "hydra.sweeper.n_trials" in given:
        sizes |= {"hydra.sweeper.n_trials": 2}
        sizes.pop("trainer.batch_size")  # part of the search space
        sizes.pop("model.rnn_hidden")
    if verb == "status":
        sizes = {}
        settings = [UNDER_WAY if word == "SWEEP" else word for word in settings]
    if verb == "predict" and "checkpoint=onsets" in settings:
        sizes = {"threshold": 0.01}  # that of the tutorial, which has hardly been trained
    settings = [_FEWER.sub(r"\1,\2", word) for word in settings]
    kept = [word for word in settings if word.split("=", 1)[0] not in sizes or "," in word]
    swept = {word.split("=", 1)[0] for word in kept}
    added = [f"{key}={value}" for key, value in sizes.items() if key not in swept]
    return [verb, *kept, *added]


# Verbs whose output depends on their words and on recordings alone.
_ALWAYS_THE_SAME = ("data", "simulate")


def is_exact(command: str) -> bool:
    """Whether the numbers that a command prints are those that a page shows of it."""
    if "# exit code" in command or command.endswith("--version"):
        return True
    words = shlex.split(command, comments=True)[1:]
    if not words or words[0] not in _ALWAYS_THE_SAME or made_small(words) != words:
        return False
    return has_real_songs() or "data.root=recordings" not in words


# -------------------------------------------------------------------------------- the workshop

_SONG = "ba da ba di da bu"
_STAND_INS = {
    "arecord": "cat live.s16",
    "ffmpeg": "cat live.f32",
    "sox": "cat live.s16",
    "curl": "cat dawn.flac",
}


def make_workshop(folder: Path, recordings: Path) -> None:
    """Fill a folder with everything that the commands name: recordings, runs, sweeps, words, clips.

    Args:
        folder: empty.
        recordings: three tables and a folder ``audio``, as in the fixture of that name.
    """
    _add_recordings(folder, recordings)
    _add_words(folder)
    _add_bank(folder)
    _add_runs(folder)
    tools = folder / "bin"
    tools.mkdir()
    for name, script in _STAND_INS.items():
        (tools / name).write_text(f"#!/bin/sh\nexec {script}\n")
        (tools / name).chmod(0o755)


def _add_recordings(folder: Path, recordings: Path) -> None:
    own = shutil.copytree(recordings, folder / "recordings")
    names = ("train", "validation", "test")
    splits = {split: read_annotations(own / f"{split}.tsv") for split in names}
    every = {name: events for each in splits.values() for name, events in each.events.items()}
    write_annotations(own / "labels.csv", every)
    (own / "labels").mkdir()
    for name, events in every.items():
        write_annotations(own / "labels" / f"{Path(name).stem}.tsv", {name: events})
    for name in ("others", "other_recordings", "bird0", "bird1", "birdsong", "FOLDER", "set"):
        shutil.copytree(recordings, folder / name)
    for split in ("train", "validation", "test"):  # a language model takes one event at a time
        apart = {name: _apart(events) for name, events in splits[split].events.items()}
        write_annotations(folder / "FOLDER" / f"{split}.tsv", apart)
    for table in (folder / "set").glob("*.tsv"):
        renamed = table.read_text().replace("filename", "recording_no", 1)
        table.write_text(renamed.replace("event_label", "Art", 1))
    (folder / "set" / "train.tsv").rename(folder / "set" / "train.csv")
    for split in ("train", "validation", "test"):
        shutil.copy(recordings / f"{split}.tsv", folder)
    (folder / "annotations").mkdir()
    write_annotations(folder / "annotations" / "all.tsv", every)
    write_annotations(folder / "all_songs.tsv", every)
    for name in ("new", "survey"):
        (folder / name).mkdir()
    sound, rate = soundfile.read(recordings / "audio" / "test_0.wav", dtype="float32")
    soundfile.write(folder / "new" / "song_040.wav", sound, rate)
    soundfile.write(folder / "survey" / "site_20260503_053000.wav", sound, rate)
    soundfile.write(folder / "recording.wav", sound, rate)
    soundfile.write(folder / "dawn.flac", sound, rate)
    soundfile.write(folder / "stereo.wav", np.stack([sound, sound], axis=-1), rate)
    (folder / "live.s16").write_bytes((sound * 32767).astype("<i2").tobytes())
    (folder / "live.f32").write_bytes(np.repeat(sound, 2).astype("<f4").tobytes())


def _apart(events: Sequence[Event]) -> list[Event]:
    """The events that start after all previous ones have ended."""
    kept: list[Event] = []
    for event in sorted(events):
        if not kept or event.onset_s > kept[-1].offset_s:
            kept.append(event)
    return kept


def _add_words(folder: Path) -> None:
    words = _SONG.split()
    lines = [" ".join(words[i % 6 :] + words[: i % 5]) for i in range(40)]
    for name in ("poems.txt", "other.txt"):
        (folder / name).write_text("\n".join(lines) + "\n")
    pairs = [f"{line}\t{line[::-1]}" for line in lines]
    (folder / "pairs.tsv").write_text("\n".join(["de\ten", *dict.fromkeys(pairs)]) + "\n")
    (folder / "prefixes.txt").write_text("ba da\nbu\n")


def _add_bank(folder: Path) -> None:
    classes = ("cat", "dog", "rain")
    fold_bank(folder / "esc10", classes=classes)
    shutil.copytree(folder / "esc10", folder / "clips")
    shutil.copytree(folder / "esc10", folder / "moved" / "esc10")
    splits = ("train", "train", "train", "validation", "test")  # of folds 1 to 5
    clips = sorted(path.relative_to(folder / "clips") for path in folder.glob("clips/*/*"))
    rows = [f"{clip.as_posix()}\t{splits[int(clip.name[0]) - 1]}" for clip in clips]
    (folder / "splits.tsv").write_text("\n".join(["clip\tsplit", *rows]) + "\n")
    table = [("", *classes), *((label, *("1" for _ in classes)) for label in classes)]
    (folder / "syntax.csv").write_text("\n".join(map(",".join, table)) + "\n")


def _add_runs(folder: Path) -> None:
    small = [f"{key}={value}" for key, value in {**_DETECTOR, **_SOUNDSCAPES}.items()]

    def run(verb: str, *words: object, multirun: bool = False) -> None:
        assert run_verb(verb, [str(word) for word in words], Flags(multirun=multirun)) == 0, words

    own = [f"{key}={value}" for key, value in _DETECTOR.items()]
    own += ["data=annotated", f"data.root={folder / 'recordings'}", "data.leak_check=none"]
    run("train", *own, f"output_dir={folder / 'RUN'}")
    for name in ("RUN_1", "RUN_2", "RUN_3", "outputs/train/DATE/TIME"):
        shutil.copytree(folder / "RUN", folder / name)
    dated = folder / "outputs" / "train" / "2026-01-31" / "12-00-00-000000"
    shutil.copytree(folder / "RUN", dated)
    words = [f"{key}={value}" for key, value in _TRAINER.items()]
    words += ["task=sequence", "data=tokens", f"data.path={folder / 'poems.txt'}"]
    run("train", *words, f"output_dir={folder / 'WORDS'}")
    samplers = "sampler=scheduled,free_running"
    run("train", *small, samplers, "seed=0,2", f"output_dir={folder / 'SWEEP'}", multirun=True)
    other = ("model=crnn_baseline", "seed=0,2", f"output_dir={folder / 'OTHER_SWEEP'}")
    run("train", *small, *other, multirun=True)
