"""Recordings at a rate far from that of the features cause a warning, in every verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio.rates import band_faults
from tests.conftest import TINY, Sedtf

HEARD = "nothing above 8 kHz is used"


@pytest.mark.parametrize(
    ("rates", "sample_rate", "f_max", "clauses"),
    [
        ([250_000] * 8, 16_000, None, ["8 recordings at 250 kHz", HEARD, "=250000"]),
        ([96_000, 384_000], 16_000, None, ["2 recordings at 96 to 384 kHz", HEARD, "=384000"]),
        ([44_100, 250_000], 16_000, None, ["1 recording at 250 kHz"]),
        ([8000] * 3, 44_100, None, ["3 recordings at 8 kHz", "above 4 kHz are empty", "=8000"]),
        ([44_100, 48_000, 22_050, 16_000], 16_000, None, []),
        ([8000], 16_000, None, ["1 recording at 8 kHz", "above 4 kHz are empty", "=8000"]),
        ([384_000], 44_100, None, ["experiment=ultrasound feature.sample_rate=384000"]),
        ([16_000], 44_100, 10_000.0, []),  # 2 of 10 kHz are missing
        ([8000], 44_100, 10_000.0, ["features up to 10 kHz"]),
        ([], 16_000, None, []),
    ],
)
def test_bands_that_nothing_hears_or_fills_are_described(
    rates: list[int], sample_rate: int, f_max: float | None, clauses: list[str]
) -> None:
    text = " ".join(band_faults(rates, sample_rate, f_max))

    assert all(clause in text for clause in clauses)
    assert bool(text) == bool(clauses)
    assert ("feature.sample_rate" in text) == bool(clauses)


def test_bands_are_held_against_those_of_the_recordings_that_were_trained_on() -> None:
    def faults(rate: int) -> list[str]:
        return band_faults([rate], 16_000, None, trained_hz=4100.0)

    assert faults(8000) == []  # as in training
    (fault,) = faults(16_000)
    assert "trained on recordings without sound above 4.1 kHz" in fault
    assert "feature.f_max=4100" in fault


@pytest.fixture
def ultrasound(tmp_path: Path) -> Path:
    """Return a data set of three recordings at 250 kHz."""
    root = tmp_path / "set"
    (root / "audio").mkdir(parents=True)
    for number, split in enumerate(("train", "validation", "test")):
        noise = 0.01 * np.random.default_rng(number).standard_normal(250_000)
        soundfile.write(root / "audio" / f"{split}.wav", noise, 250_000)
        row = f"{split}.wav\t0.2\t0.6\tusv\n"
        (root / f"{split}.tsv").write_text("filename\tonset\toffset\tevent_label\n" + row)
    return root


def test_each_verb_warns_once(
    ultrasound: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    own = ("data=annotated", f"data.root={ultrasound}")
    shutil.copytree(ultrasound / "audio", "audio")
    verbs = {
        "train": (*TINY, *own, "trainer.max_updates=1", "output_dir=run"),
        "eval": ("checkpoint=run", "output_dir=eval"),
        "predict": ("checkpoint=run", "input=audio", "output_dir=found", "device=cpu"),
    }
    for verb, settings in verbs.items():
        assert sedtf(verb, *settings) == 0
        said = capfd.readouterr().err
        assert said.count(HEARD) == 1, verb
        assert "feature.sample_rate" in said

    assert sedtf("data", *own, "output_dir=described") == 0
    assert capfd.readouterr().out.count(HEARD) == 1
    notes = json.loads(Path("described/data.json").read_text())["audio_notes"]
    assert [HEARD in note for note in notes] == [True]
