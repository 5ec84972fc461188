"""Audio that libsndfile cannot read: AAC through FFmpeg, evTAF's raw samples."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sed_cli.audio import foreign, inspect_audio, read_audio
from sed_cli.errors import DataError

RATE = 16_000


def write_m4a(path: Path, samples: np.ndarray) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        block = samples[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.rate, frame.pts = RATE, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])


def test_aac_keeps_its_times_and_its_length(tmp_path: Path) -> None:
    """Encoders add silence before the first sample and pad the last block."""
    click = np.zeros(50_000)
    click[20_000] = 0.9
    write_m4a(tmp_path / "phone.M4A", click)

    facts = inspect_audio(tmp_path / "phone.M4A")
    waveform = read_audio(tmp_path / "phone.M4A", RATE)

    assert (facts.duration_s, facts.sample_rate, facts.loss) == (3.125, RATE, None)
    assert len(waveform) == 50_000
    assert np.abs(waveform).argmax() == 20_000


def test_aac_that_cannot_be_decoded_is_answered_with_what_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "phone.m4a"
    path.write_bytes(b"\0\0\0 ftypM4A ")
    with pytest.raises(DataError, match=r"phone\.m4a: .*ffmpeg -i 'phone\.m4a' 'phone\.wav'"):
        read_audio(path, RATE)

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'sedtf\[aac\]', or convert it"):
        read_audio(path, RATE)


def test_raw_samples_are_read_by_the_record_beside_them(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (3000, 2))
    path = tmp_path / "bird.cbin"
    samples.astype(">i2").tofile(path)
    (tmp_path / "bird.rec").write_text("File created: Thu\n\nADFREQ =  32000\nChans =  2\n")

    assert inspect_audio(path).duration_s == 3000 / 32000
    np.testing.assert_allclose(
        read_audio(path, 32000), samples.mean(axis=1) / 2**15, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("record", "reason"), [(None, r"bird\.rec"), ("Chans = 1", "ADFREQ")])
def test_raw_samples_without_their_rate_are_refused(
    record: str | None, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "bird.cbin").write_bytes(bytes(100))
    if record is not None:
        (tmp_path / "bird.rec").write_text(record)

    with pytest.raises(DataError, match=reason):
        inspect_audio(tmp_path / "bird.cbin")


@pytest.mark.parametrize("rate", ["32.0.0", ".", "1" * 400])
def test_a_rate_that_is_no_number_is_refused(rate: str, tmp_path: Path) -> None:
    (tmp_path / "bird.cbin").write_bytes(bytes(100))
    (tmp_path / "bird.rec").write_text(f"ADFREQ = {rate}\nChans = {'9' * 5000}\n")
    with pytest.raises(DataError, match=r"bird\.rec: expected a line such as 'ADFREQ = 32000'"):
        inspect_audio(tmp_path / "bird.cbin")


def test_decoding_ends_where_a_recording_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years of silence would fill the disk before the length is checked."""
    write_m4a(tmp_path / "long.m4a", np.zeros(50_000))
    monkeypatch.setenv("SEDTF_LONGEST_H", str(1 / 3600))
    with pytest.raises(DataError, match=r"long\.m4a: holds 0 h of audio, expected at most 0\.000"):
        foreign.decoded(tmp_path / "long.m4a")
