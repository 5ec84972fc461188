"""The page is a single self-contained file, and data in it stay data."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from sed_cli.reports.page import Explored, ShownEvent, write_page
from sed_cli.reports.page.media import MAX_TILE, encode_audio, encode_spectrogram, loudness_range

HOSTILE = "</script><img src=x onerror=\"document.title='bad'\"> & 'quoted' $content \u2028 雨"


class Page(HTMLParser):
    """Elements, the text of scripts by id, and everything that could make a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.scripts: dict[str, str] = {}
        self.title = ""
        self._within: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            if name in values and not values[name].startswith(("#", "data:")):
                self.fetched.append(values[name])
        self._within = {"script": values.get("id", "code"), "title": "title"}.get(tag)

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within == "title":
            self.title += data
        elif self._within is not None:
            self.scripts[self._within] = self.scripts.get(self._within, "") + data


def read_page(path: Path) -> tuple[Page, dict[str, Any]]:
    page = Page(path.read_text(encoding="utf-8"))
    return page, {name: json.loads(x) for name, x in page.scripts.items() if name != "code"}


def a_recording(name: str, n_frames: int = 50) -> Explored:
    random = np.random.default_rng(3)
    return Explored(
        name=name,
        duration_s=n_frames * 0.02,
        window_s=(0.0, n_frames * 0.02),
        waveform=random.uniform(-0.1, 0.1, n_frames * 320).astype(np.float32),
        sample_rate=16000,
        log_mel=random.standard_normal((n_frames, 8)).astype(np.float32),
        centres_hz=np.linspace(100, 7000, 8),
        first_frame_s=0.0,
        hop_s=0.02,
        probabilities=random.integers(0, 256, (n_frames, 2)).astype(np.uint8),
        reference=[ShownEvent(onset_s=0.1, offset_s=0.4, label=0, outcome=0, partner=0)],
        predicted=[],
    )


def test_data_stay_data_and_nothing_is_fetched(tmp_path: Path) -> None:
    content = {"title": HOSTILE, "classes": [HOSTILE, "b"], "files": [{"name": HOSTILE}]}
    n_bytes = write_page(tmp_path / "a.html", content, [a_recording(HOSTILE)])
    assert n_bytes == (tmp_path / "a.html").stat().st_size
    page, found = read_page(tmp_path / "a.html")
    assert found["content"] == content
    assert found["recording-0"]["name"] == HOSTILE
    assert page.title == f"{HOSTILE} · sedtf report"
    assert page.fetched == []
    assert "img" not in page.tags
    assert page.tags.count("script") == 3  # content, one recording, the code
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    # addresses in the code; namespaces and a credit in a comment do not count
    own = text.replace(page.scripts["recording-0"], "")
    assert set(re.findall(r"https?://[\w./-]+", own)) <= {"https://github.com/leeoniya/uPlot"}
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|innerHTML)\b", own)


def test_what_is_embedded_can_be_seen_and_heard(tmp_path: Path) -> None:
    recording = a_recording("a.wav", n_frames=MAX_TILE + 10)
    write_page(tmp_path / "a.html", {"title": "t"}, [recording])
    payload = read_page(tmp_path / "a.html")[1]["recording-0"]
    widths = []
    for tile in payload["tiles"]:
        with Image.open(io.BytesIO(base64.b64decode(tile))) as image:
            widths.append(image.size)
    assert widths == [(MAX_TILE, 8), (10, 8)]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(payload["audio"]["data"])))
    assert (len(samples), rate) == (len(recording.waveform), 16000)
    values = np.frombuffer(base64.b64decode(payload["probabilities"]), np.uint8)
    assert values.reshape(-1, 2).tolist() == recording.probabilities.tolist()
    assert payload["reference"] == [[0.1, 0.4, 0, 0, 0]]


@pytest.mark.parametrize("sample_rate", [8000, 16000, 20000, 44100, 96000])
def test_sound_stays_in_step_with_the_picture(sample_rate: int) -> None:
    """A click is heard where it is seen: within 5 ms, a sixth of the default hop."""
    waveform = np.zeros(3 * sample_rate, np.float32)
    for second in (0.5, 1.7, 2.6):
        start = round(second * sample_rate)
        waveform[start : start + sample_rate // 500] = 0.5
    media_type, encoded = encode_audio(waveform, sample_rate)
    samples, rate = soundfile.read(io.BytesIO(encoded))
    assert media_type == "audio/mpeg"
    assert len(samples) / rate == pytest.approx(3.0, abs=0.005)
    for second in (0.5, 1.7, 2.6):
        part = samples[round((second - 0.2) * rate) : round((second + 0.2) * rate)]
        assert np.argmax(np.abs(part)) / rate - 0.2 == pytest.approx(0.0, abs=0.005)


def test_silence_and_quiet_sound_are_encoded() -> None:
    silence, _ = soundfile.read(io.BytesIO(encode_audio(np.zeros(8000, np.float32), 8000)[1]))
    assert np.abs(silence).max() < 1e-3
    quiet = 0.01 * np.sin(np.arange(16000) / 5).astype(np.float32)
    louder, _ = soundfile.read(io.BytesIO(encode_audio(quiet, 16000)[1]))
    assert np.abs(louder).max() > 0.5


def test_low_frequencies_are_at_the_bottom_and_bad_values_are_dark() -> None:
    log_mel = np.zeros((20, 4), np.float32)
    log_mel[:, 0] = 5.0
    log_mel[3, 3] = np.nan
    log_mel[4, 3] = -np.inf
    with Image.open(io.BytesIO(encode_spectrogram(log_mel, *loudness_range(log_mel)))) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape == (4, 20)
    assert pixels[-1].min() > pixels[0].max()
    assert pixels[0, 3] == pixels[0, 4] == pixels[0].min()
