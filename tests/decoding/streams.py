"""A property of every tracker: a stream finds the events of the whole, however it is cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoder, StreamEvent


def cut(frames: NDArray[np.float32], sizes: Sequence[int]) -> list[NDArray[np.float32]]:
    pieces, start = [], 0
    while start < len(frames):
        pieces.append(frames[start : start + sizes[len(pieces) % len(sizes)]])
        start += len(pieces[-1])
    return pieces


def check_stream(
    decoder: Decoder, frames: NDArray[np.float32], duration_s: float, sizes: Sequence[int]
) -> None:
    """Compare the reports of a tracker with the events of the whole recording.

    Compares events, confidences, starts with their ends, and the stated latency.

    Args:
        decoder: with frames of 0.1 s.
        frames: probabilities.
        duration_s: of the recording.
        sizes: of the pieces in which frames arrive, repeated.
    """

    def track(sizes: Sequence[int]) -> tuple[list[StreamEvent], list[float]]:
        tracker, reports, known = decoder.tracker(), [], 0
        lags_s = []
        for piece in cut(frames, sizes):
            known += len(piece)
            new = tracker.push(piece, min(known * 0.1, duration_s))
            lags_s += [(known - 1) * 0.1 - report.time_s for report in new]
            reports += new
        return reports + tracker.finish(duration_s), lags_s

    reports, _ = track(sizes)
    one_by_one, lags_s = track([1])

    whole = decoder.decode(frames, duration_s)
    ends = [report for report in reports if report.event is not None]
    assert sorted(r.event for r in ends if r.event is not None) == [d.event for d in whole]
    confidences = {(d.onset_s, d.label): d.confidence for d in whole}
    for report in ends:
        assert report.confidence == pytest.approx(confidences[report.onset_s, report.label])
    for label in decoder.classes:
        own = [report for report in reports if report.label == label]
        assert [report.kind for report in own] == ["start", "end"] * (len(own) // 2)
        assert [r.onset_s for r in own[::2]] == [r.onset_s for r in own[1::2]]
        assert all(0 <= report.confidence <= 1 for report in own)

    def key(report: StreamEvent) -> tuple[object, ...]:
        return (report.onset_s, report.label, report.kind, report.time_s, report.confidence)

    assert sorted(map(key, reports)) == sorted(map(key, one_by_one))
    assert max(lags_s, default=0.0) <= decoder.tracker().latency_s + 1e-9
