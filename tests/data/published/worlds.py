"""Small published data sets: the documented folders, with a few seconds of tones as recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

from sed_cli.data.annotations import Event, write_annotations

RATE = 8000
LENGTH_S = 2.0


def write_audio(path: Path, rate: int = RATE) -> None:
    """Noise seeded by the file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(list(str(path.name + path.parent.name).encode()))
    soundfile.write(path, random.normal(0, 0.1, (int(LENGTH_S * rate), 2)), rate)


def events(labels: Iterable[str]) -> list[Event]:
    """Consecutive events, one per label."""
    return [Event(0.1 + 0.3 * i, 0.3 + 0.3 * i, label) for i, label in enumerate(labels)]


def lines(of_file: Iterable[Event], *before: str) -> str:
    """Rows of a TUT list."""
    return "".join(
        "\t".join((*before, f"{e.onset_s:.6f}", f"{e.offset_s:.6f}", e.label)) + "\n"
        for e in of_file
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\r\n")  # as in the data sets


def make_tut(root: Path, *, year: int, scene: str, labels: tuple[str, ...]) -> None:
    """Eight development recordings in four folds, three for evaluation."""
    development = root / f"TUT-sound-events-{year}-development"
    names = [f"a{number:03d}" for number in range(8)]
    truth = {name: events([labels[i % 2], labels[i % len(labels)]]) for i, name in enumerate(names)}
    truth["a007"] = []  # a recording without target events
    for name in names:
        write_audio(development / "audio" / scene / f"{name}.wav")
        write(development / "meta" / scene / f"{name}.ann", lines(truth[name]))
        write(
            development / "meta_full" / scene / f"{name}_full.ann",
            lines(events(["never read"])),
        )
        write(development / "non_verified" / "meta" / scene / f"{name}.ann", lines(events("x")))
    setup = development / "evaluation_setup"
    for fold in range(1, 5):
        test = names[2 * (fold - 1) : 2 * fold]
        path = f"audio/{scene}"
        rows = [
            lines(truth[name], f"{path}/{name}.wav", scene) or f"{path}/{name}.wav\t{scene}\n"
            for name in names
        ]
        training = [row for row, name in zip(rows, names, strict=True) if name not in test]
        write(setup / f"{scene}_fold{fold}_train.txt", "".join(training))
        write(
            setup / f"{scene}_fold{fold}_test.txt",
            "".join(f"{path}/{name}.wav\t{scene}\n" for name in test),
        )
    evaluation = root / f"TUT-sound-events-{year}-evaluation"
    for name in ("b001", "b002", "b003"):
        write_audio(evaluation / "audio" / scene / f"{name}.wav")
        text = lines(events(labels[:2])).replace(".", ",") if year == 2016 else ""
        of_2017 = lines(events(labels[:2]), f"audio/{scene}/{name}.wav", scene)
        write(evaluation / "meta" / scene / f"{name}.ann", text or of_2017)
    write(
        evaluation / "evaluation_setup" / f"{scene}_test.txt",
        "".join(f"audio/{scene}/{name}.wav\t{scene}\n" for name in ("b001", "b002", "b003")),
    )


def make_tut_synthetic(root: Path) -> None:
    """Ten mixtures: six for training, two each for validation and test."""
    part = root / "TUT-SED-synthetic-2016"
    for number in range(10):
        write_audio(part / "audio" / f"TUT-SED-synthetic-2016-mix-{number}.wav")
        write(
            part / "meta" / f"TUT-SED-synthetic-2016-annot-{number}.txt",
            lines(events(["alarms_and_sirens", "rain"][: 1 + number % 2])),
        )

    def listed(numbers: Iterable[int]) -> str:
        return "".join(
            f"audio/TUT-SED-synthetic-2016-mix-{number}.wav\tsynthetic\n" for number in numbers
        )

    setup = part / "evaluation_setup"
    write(setup / "test.txt", listed((0, 1)))
    write(setup / "validate.txt", listed((2, 3)))
    write(setup / "train+validate.txt", listed(range(2, 10)))


def make_urban_sed(root: Path) -> None:
    """Text and JAMS next to each other."""
    part = root / "URBAN-SED_v2.0.0"
    for split, n_files in (("train", 4), ("validate", 2), ("test", 2)):
        for number in range(n_files):
            name = f"soundscape_{split}_bimodal{number}"
            of_file = events(["siren", "dog_bark"][: 1 + number % 2])
            write_audio(part / "audio" / split / f"{name}.wav")
            write(part / "annotations" / split / f"{name}.txt", lines(of_file))
            background = [Event(0.0, LENGTH_S, "noise"), *of_file]
            jams = part / "annotations" / split / f"{name}.jams"
            write_annotations(jams, {f"{name}.wav": background}, "jams")


def make_desed(root: Path) -> None:
    """The synthetic part in a separate folder; a real training clip that is also in validation."""
    dataset, synthetic = root / "dataset", root / "dataset" / "dcase_synth"
    for base, table, audio, names in (
        (synthetic, "train/synthetic21_train/soundscapes", None, ["0", "1", "2"]),
        (synthetic, "validation/synthetic21_validation/soundscapes", None, ["0", "1"]),
        (dataset, "train/audioset_strong", "train/strong_label_real", ["Ya_0_10", "Yb_0_10"]),
        (dataset, "validation/validation", "validation/validation", ["Yb_0_10", "Yc_0_10"]),
        (dataset, "eval/public", "eval/public", ["d_0_10", "e_0_10"]),
    ):
        for name in names:
            write_audio(base / "audio" / (audio or table) / f"{name}.wav")
        path = base / "metadata" / f"{table}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(
            path, {f"{name}.wav": events(["Speech", "Dog"]) for name in names}, "desed"
        )
    weak = "filename\tevent_labels\nYz_0_10.wav\tCat,Speech\n"
    write(dataset / "metadata" / "train" / "weak.tsv", weak)
    durations = "filename\tduration\nYb_0_10.wav\t10\n"
    write(dataset / "metadata" / "validation" / "validation_durations.tsv", durations)


def make_maestro(root: Path) -> None:
    """All 49 recordings are too many: those tested in fold 1, and some others."""
    numbers = {"cafe_restaurant": (7, 4, 11, 8, 10), "city_center": (4, 11, 2, 7)}
    for scene, of_scene in numbers.items():
        for number in of_scene:
            name = f"{scene}_{number:02d}"
            write_audio(root / "development_audio" / scene / f"{name}.wav")
            rows = [
                "0.0\t1.0\tfootsteps\t0.8",
                "1.0\t2.0\tfootsteps\t0.7",
                "0.0\t1.0\tcar\t0.4",
                "1.0\t2.0\tcar\t1.0000000000000002",
                "0.0\t1.0\tcoffee machine\t0.9",
            ]
            write(
                root / "development_annotation" / f"soft_labels_{scene}" / f"{name}.txt",
                "".join(row + "\n" for row in rows),
            )


MAKERS: dict[str, Callable[[Path], None]] = {
    "tut2016_home": lambda root: make_tut(
        root, year=2016, scene="home", labels=("(object) rustling", "cupboard", "dishes")
    ),
    "tut2016_residential": lambda root: make_tut(
        root, year=2016, scene="residential_area", labels=("bird singing", "car passing by")
    ),
    "tut2017": lambda root: make_tut(
        root, year=2017, scene="street", labels=("brakes squeaking", "car", "children")
    ),
    "tut_synthetic_2016": make_tut_synthetic,
    "urban_sed": make_urban_sed,
    "desed_strong": make_desed,
    "maestro_real": make_maestro,
}
