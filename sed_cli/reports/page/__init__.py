"""A self-contained HTML page of a run: no network, no other file.

The page is ``page.html`` with styles, scripts and data inserted. Labels and file names are
always data: they are stored as JSON, and the scripts write them as text, never as markup. A
policy in the page's head forbids all connections.

Curves are drawn by uPlot (1.6.32, MIT, https://github.com/leeoniya/uPlot), included unchanged,
since no Python package has it.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.reports.figures import frequency_ticks
from sed_cli.reports.page.media import MAX_TILE, encode_audio, encode_spectrogram, loudness_range
from sed_cli.system.files import replacing

_SCRIPTS = ("uPlot.iife.min.js", "tools.js", "summary.js", "charts.js", "explorer.js", "main.js")
_STYLES = ("uPlot.min.css", "page.css")


@dataclass(frozen=True, kw_only=True)
class ShownEvent:
    """An annotated or detected event.

    ``label`` and ``partner`` (the class of the event that it was paired with) are indices of
    classes, ``outcome`` one of the outcomes that the content names.
    """

    onset_s: float
    offset_s: float
    label: int
    outcome: int
    partner: int | None


@dataclass(frozen=True, kw_only=True)
class Explored:
    """A recording, or part of one, to show and play.

    Args:
        name: of the file.
        duration_s: of the whole recording.
        window_s: the part that is shown; all times are those of the recording.
        waveform: of the part, (n_samples,).
        sample_rate: of the waveform, in Hz.
        log_mel: of the part, (T, M).
        centres_hz: (M,) centre frequencies of the mel bands; ``None``: features are no bands.
        first_frame_s: time of the first frame.
        hop_s: seconds from one frame to the next.
        probabilities: uint8 (T, C), 255 times the probabilities.
        reference: annotated events.
        predicted: detected events.
    """

    name: str
    duration_s: float
    window_s: tuple[float, float]
    waveform: NDArray[np.float32]
    sample_rate: int
    log_mel: NDArray[np.floating]
    centres_hz: NDArray[np.float64] | None
    first_frame_s: float
    hop_s: float
    probabilities: NDArray[np.uint8]
    reference: Sequence[ShownEvent]
    predicted: Sequence[ShownEvent]


def write_page(path: Path, content: dict[str, Any], explored: Iterable[Explored]) -> int:
    """Write the page of a run; return its size in bytes.

    Args:
        path: of the page; written atomically.
        content: of the page, as JSON: see :mod:`sed_cli.tasks.detection.report`.
        explored: the recordings that ``content["files"]`` names, in that order; one at a time is
            held in memory.
    """
    head, tail = _resource("page.html").split("<!-- recordings -->")
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(_filled(head, content))
            for index, recording in enumerate(explored):
                _write_json(file, f"recording-{index}", _payload(recording))
            file.write(_filled(tail, content))
        return temporary.stat().st_size


def _filled(template: str, content: dict[str, Any]) -> str:
    # Only the template is searched for placeholders: inserted data may contain anything.
    return Template(template).substitute(
        title=html.escape(f"{content['title']} · sedtf report"),
        styles="\n".join(map(_resource, _STYLES)),
        content=f'<script type="application/json" id="content">{_json(content)}</script>',
        scripts="\n".join(map(_resource, _SCRIPTS)),
    )


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _write_json(file: IO[str], name: str, values: dict[str, Any]) -> None:
    file.write(f'<script type="application/json" id="{name}">{_json(values)}</script>\n')


def _json(values: Any) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _payload(recording: Explored) -> dict[str, Any]:
    media_type, audio = encode_audio(recording.waveform, recording.sample_rate)
    limits = loudness_range(recording.log_mel)
    ticks, names = frequency_ticks(recording.centres_hz)
    return {
        "name": recording.name,
        "duration": recording.duration_s,
        "window": list(recording.window_s),
        "start": recording.first_frame_s,
        "hop": recording.hop_s,
        "n_frames": len(recording.log_mel),
        "n_mels": int(recording.log_mel.shape[1]),
        "ticks": [ticks, names],
        "audio": {"type": media_type, "data": _base64(audio)},
        "tiles": [
            _base64(encode_spectrogram(recording.log_mel[first : first + MAX_TILE], *limits))
            for first in range(0, len(recording.log_mel), MAX_TILE)
        ],
        "tile": MAX_TILE,
        "probabilities": _base64(np.ascontiguousarray(recording.probabilities).tobytes()),
        "reference": [list(asdict(event).values()) for event in recording.reference],
        "predicted": [list(asdict(event).values()) for event in recording.predicted],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
