"""Scores of frames for the decoder ``semi_markov``, and of events that start there.

If a model has onsets, an event gains the log-odds of those in its first frames: touching events
of a class then part where the model heard a start, not only where durations suggest it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.frames import ONSET_FRAMES

if TYPE_CHECKING:
    from sed_cli.decoding.semi_markov import SemiMarkovDecoder

Floats = NDArray[np.float64]

_SURE = 0.01  # minimum distance of onset probabilities from 0 and 1: one may be missed


class FrameScores:
    """Turns probabilities, as they arrive, into the scores of the search.

    Args:
        decoder: weighs them; if it takes onsets, probabilities are (t, 2C), and the scores of a
            frame are complete once the first frames of an event after it are known.
    """

    def __init__(self, decoder: SemiMarkovDecoder) -> None:
        self._decoder = decoder
        self._waiting = np.zeros((0, 2 * len(decoder.classes)))

    def push(self, probabilities: NDArray[np.floating]) -> Floats:
        """Take frames (t, C) or (t, 2C), and return the scores that are complete."""
        if not self._decoder.takes_onsets:
            return self._decoder.weighed(probabilities)
        self._waiting = np.concatenate([self._waiting, probabilities])
        return self._completed(len(self._waiting) - ONSET_FRAMES)

    def finish(self) -> Floats:
        """Return the scores of the last frames."""
        if not self._decoder.takes_onsets:
            return np.zeros((0, len(self._decoder.classes)))
        n_last = len(self._waiting)
        # Nothing is known of frames after the end: a probability of 0.5 scores 0.
        end = np.full((ONSET_FRAMES, self._waiting.shape[1]), 0.5)
        self._waiting = np.concatenate([self._waiting, end])
        return self._completed(n_last)

    def _completed(self, n: int) -> Floats:
        """Scores (n, 2C) of the first ``n`` waiting frames, which then wait no longer."""
        n = max(0, n)
        n_classes, weight = len(self._decoder.classes), self._decoder.onset_weight
        assert weight is not None
        sure = np.clip(self._waiting[:, n_classes:], _SURE, 1 - _SURE)
        log_odds = np.log(sure / (1 - sure))
        starts = np.zeros((n, n_classes))
        for later in range(1, ONSET_FRAMES + 1):
            starts += log_odds[later : n + later]
        of_frames = self._decoder.weighed(self._waiting[:n, :n_classes])
        self._waiting = self._waiting[n:]
        return np.concatenate([of_frames, weight * starts], axis=1)
