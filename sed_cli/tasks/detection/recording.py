"""One recording through a detector, block by block: its events, scores and picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio import AudioReader, Channels
from sed_cli.config.tools import JSONL
from sed_cli.data.annotations import Detection, Findings, dump_findings
from sed_cli.decoding.decoder import StreamEvent
from sed_cli.decoding.onsets import of_activities
from sed_cli.reports.timeline import Overview, Timeline, draw_timeline
from sed_cli.system.files import replacing
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.streaming import Frames, FrameStream

Found = dict[str, Findings]
"""Detected events, by the name of a recording or of one of its channels."""


class Outputs:
    """Files to write besides the events.

    Args:
        scores: path for the probabilities of a channel, by its name; ``None``: not written.
        timeline: path for its picture; ``None``: not written.
    """

    def __init__(
        self,
        scores: Callable[[str], Path] | None = None,
        timeline: Callable[[str], Path] | None = None,
    ) -> None:
        self.scores = scores
        self.timeline = timeline


def find_events(
    detector: Detector,
    reader: AudioReader,
    *,
    name: str,
    path: Path | None = None,
    channels: Channels = "mix",
    outputs: Outputs | None = None,
    progress: Callable[[float], None] | None = None,
) -> Found:
    """Find the events of a recording of any length, in bounded memory.

    Args:
        detector: finds the events.
        reader: of the recording.
        name: of the recording.
        path: its absolute path; ``None`` if it is not a file.
        channels: how channels are handled; several of ``each`` are named as in ``a.ch1.wav``.
        outputs: files to write besides.
        progress: called with the seconds processed, after each block.

    Raises:
        DataError: if the recording cannot be decoded, or contains no samples.
    """
    names = [name]
    if channels == "each" and reader.n_channels > 1:
        parts = PurePath(name)
        names = [f"{parts.stem}.ch{i + 1}{parts.suffix}" for i in range(reader.n_channels)]
    outputs = outputs or Outputs()
    with ExitStack() as stack:
        lanes = [
            stack.enter_context(_channel(detector, reader.sample_rate, each, outputs))
            for each in names
        ]
        for block in reader.blocks(channels=channels):
            for lane, samples in zip(lanes, block.reshape(len(block), -1).T, strict=True):
                lane.push(samples)
            if progress is not None:
                progress(reader.duration_s)
        for lane in lanes:
            lane.finish()
    low_hz, high_hz = detector.log_mel.band_hz
    heard = low_hz, max(low_hz, min(high_hz, reader.sample_rate / 2))
    return {
        lane.name: Findings(
            detections=lane.found,
            path=path,
            duration_s=reader.duration_s,
            band_hz=heard,
            channel=1 + index,
        )
        for index, lane in enumerate(lanes)
    }


class _Channel:
    """One mono stream with all of its outputs."""

    def __init__(
        self,
        detector: Detector,
        sample_rate: int,
        name: str,
        scores: TextIO | None,
        *,
        keeps_overview: bool,
    ) -> None:
        self.name = name
        self.found: list[Detection] = []
        self._detector = detector
        self._stream = FrameStream(detector, sample_rate)
        self._tracker = detector.tracker()
        self._scores = None if scores is None else _Scores(scores, detector)
        self._overviews = (
            Overview(np.mean, detector.log_mel.n_features),
            Overview(np.max, len(detector.classes)),
        )
        self._keeps_overview = keeps_overview

    def push(self, samples: NDArray[np.float32]) -> None:
        self._take(self._stream.push(samples))

    def finish(self) -> None:
        self._take(self._stream.finish())
        self._keep(self._tracker.finish(self._stream.duration_s))
        self.found.sort()

    def _take(self, frames: Frames) -> None:
        self._keep(self._tracker.push(frames.probabilities, self._stream.duration_s))
        activities = of_activities(frames.probabilities, len(self._detector.classes))
        if self._scores is not None:
            self._scores.write(activities)
        if self._keeps_overview:
            for overview, of_frames in zip(
                self._overviews, (frames.log_mel, activities), strict=True
            ):
                overview.push(of_frames)

    def _keep(self, reports: Sequence[StreamEvent]) -> None:
        self.found += [
            Detection(report.onset_s, report.time_s, report.label, report.confidence)
            for report in reports
            if report.kind == "end"
        ]

    def draw(self, path: Path) -> None:
        log_mel, probabilities = self._overviews
        timeline = Timeline(
            name=self.name,
            duration_s=self._stream.duration_s,
            hop_s=self._detector.hop_s,
            log_mel=log_mel,
            probabilities=probabilities,
            events=[each.event for each in self.found],
            classes=self._detector.classes,
            centres_hz=self._detector.log_mel.centres_hz,
        )
        draw_timeline(path, timeline)


@contextmanager
def _channel(
    detector: Detector, sample_rate: int, name: str, outputs: Outputs
) -> Iterator[_Channel]:
    """Open the files that a channel writes while it runs, and draw the picture at the end."""
    with ExitStack() as stack:
        scores = None
        if outputs.scores is not None:
            path = stack.enter_context(replacing(outputs.scores(name)))
            scores = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        draws = outputs.timeline is not None
        channel = _Channel(detector, sample_rate, name, scores, keeps_overview=draws)
        yield channel
        if outputs.timeline is not None:
            channel.draw(outputs.timeline(name))


class _Scores:
    """The table of sed_scores_eval: ``onset offset`` of each frame, and a column per class."""

    def __init__(self, file: TextIO, detector: Detector) -> None:
        self._file = file
        self._hop_s = detector.hop_s
        self._n_frames = 0
        self._row = "\t".join(["%.6f"] * (2 + len(detector.classes))) + "\n"
        file.write("\t".join(["onset", "offset", *detector.classes]) + "\n")

    def write(self, probabilities: NDArray[np.float32]) -> None:
        """Write the rows of the next frames (t, C)."""
        rows = enumerate(probabilities.tolist(), start=self._n_frames)
        self._file.writelines(
            self._row % (t * self._hop_s, (t + 1) * self._hop_s, *row) for t, row in rows
        )
        self._n_frames += len(probabilities)


def dump_events(found: Mapping[str, Findings], format: str) -> str:
    """Events as text of one of the annotation formats, or as JSON lines with confidences.

    Raises:
        DataError: if the format cannot represent a name, a label, or several recordings.
    """
    if format == JSONL:
        return "".join(_json_line(name, each) for name in found for each in found[name].detections)
    return dump_findings(found, format)


def _json_line(name: str, found: Detection) -> str:
    values = {
        "filename": name,
        "onset": round(found.onset_s, 6),
        "offset": round(found.offset_s, 6),
        "event_label": found.label,
        "confidence": round(found.confidence, 4),
    }
    line = json.dumps(values, ensure_ascii=False)
    # A file name may not be valid text: Python escapes its bytes as JSON does.
    return line.encode(errors="backslashreplace").decode() + "\n"
