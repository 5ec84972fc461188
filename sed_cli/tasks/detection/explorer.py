"""The recordings on a page of ``sedtf report``: content of its lists, pictures and audio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sed_cli.audio import FrontEnd, read_excerpt
from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import N_REF
from sed_cli.metrics.outcomes import OUTCOMES, Fate
from sed_cli.reports.page import Explored, ShownEvent
from sed_cli.tasks.detection.examination import Examination, Examined, is_error


def examined_content(
    examination: Examination, content: Mapping[str, Any], hop_s: float
) -> dict[str, Any]:
    """Content of the page from an examination, in addition to the content of the run folder.

    Args:
        examination: of the recordings that the run was scored on.
        content: of the page so far; its notes are kept.
        hop_s: seconds from one frame to the next.
    """
    frame = content["metrics"].get("frame")
    counted = frame.get("counts") if isinstance(frame, dict) else None
    notes = list(content["notes"])
    if isinstance(counted, dict) and counted.get("n_ref") != int(examination.counts[0, N_REF]):
        notes.append(
            "The annotations have changed since the run: the figures computed here (confusions, "
            "outcomes, files) do not add up to its scores."
        )
    return {
        "notes": notes,
        "classes": list(examination.classes),
        "hop_s": hop_s,
        "n_files": examination.n_files,
        "bins": examination.bins.tolist(),
        "confusions_s": (examination.confusions * hop_s).tolist(),
        "event_outcomes": examination.outcomes.tolist(),
        "files": [
            {
                "name": file.recording.name,
                "f1": file.f1,
                "n_reference": len(file.recording.events),
                "n_predicted": len(file.predicted),
                "n_errors": sum(is_error(fate) for side in file.fates for fate in side),
                "labels": sorted(_wrong_labels(file, examination.classes)),
            }
            for file in examination.files
        ],
    }


def _wrong_labels(file: Examined, classes: Sequence[str]) -> set[int]:
    """Classes with an error in the file."""
    sides = zip((file.recording.events, file.predicted), file.fates, strict=True)
    return {
        classes.index(event.label)
        for events, fates in sides
        for event, fate in zip(events, fates, strict=True)
        if is_error(fate)
    }


def explored(file: Examined, log_mel: FrontEnd, classes: Sequence[str]) -> Explored:
    """Extract the part of a recording that the page shows."""
    rate, (start_s, end_s) = log_mel.sample_rate, file.window_s
    last = file.first_frame + len(file.probabilities)
    sides = (file.recording.events, file.predicted)
    reference, predicted = (
        list(_shown(sides[side], file.fates[side], sides[1 - side], file.window_s, classes))
        for side in (0, 1)
    )
    return Explored(
        name=file.recording.name,
        duration_s=file.recording.duration_s,
        window_s=file.window_s,
        waveform=read_excerpt(file.recording.path, rate, start_s, end_s),
        sample_rate=rate,
        log_mel=np.asarray(file.recording.log_mel[file.first_frame : last]),
        centres_hz=log_mel.centres_hz,
        first_frame_s=file.first_frame * log_mel.hop_length / rate,
        hop_s=log_mel.hop_length / rate,
        probabilities=file.probabilities,
        reference=reference,
        predicted=predicted,
    )


def _shown(
    events: Sequence[Event],
    fates: Sequence[Fate],
    others: Sequence[Event],
    window_s: tuple[float, float],
    classes: Sequence[str],
) -> Iterator[ShownEvent]:
    for event, fate in zip(events, fates, strict=True):
        if event.onset_s < window_s[1] and event.offset_s > window_s[0]:
            partner = None if fate.partner is None else classes.index(others[fate.partner].label)
            yield ShownEvent(
                onset_s=event.onset_s,
                offset_s=event.offset_s,
                label=classes.index(event.label),
                outcome=OUTCOMES.index(fate.outcome),
                partner=partner,
            )
