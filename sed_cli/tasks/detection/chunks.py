"""A model over streamed frames, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from sed_cli.models import CRNN
from sed_cli.models.recurrence import Feedback, RecurrentState

BLOCK_FRAMES = 64
"""Frames that are run at once, always so many and from the same first frame on."""

PIECE_FRAMES = 4096
"""Frames that the convolutions are given at once where the whole recording is at hand."""


class Logits(Protocol):
    """Logits of the frames of one recording."""

    def push(self, log_mel: Tensor) -> Tensor:
        """Take frames (t, M) and return the logits that they complete (t', C), on the device."""

    def finish(self) -> Tensor:
        """Return the logits of the last frames (t, C): nothing comes after those pushed."""


def logits_of(
    model: CRNN, *, feedback: Feedback = "hard", device: torch.device | str = "cpu"
) -> Logits:
    """Run a model freely on a recording: while its frames come, or at its end."""
    if model.is_causal:
        return LogitStream(model, feedback=feedback, device=device)
    return WholeLogits(model, feedback=feedback, device=device)


class WholeLogits:
    """Run a model that is not causal: all frames are held until the last has come.

    The convolutions are run piece by piece; what is decoded in one are the features of the whole
    recording. Memory grows with it: by its features and what the recurrence makes of them.

    Args:
        model: put into evaluation mode while it runs.
        feedback: what is made of its own output.
        device: where it is.
    """

    def __init__(
        self, model: CRNN, *, feedback: Feedback = "hard", device: torch.device | str = "cpu"
    ) -> None:
        self._model, self._feedback, self._device = model, feedback, device
        self._frames: list[Tensor] = []

    def push(self, log_mel: Tensor) -> Tensor:
        """Hold frames (t, M); there are no logits yet: (0, C)."""
        self._frames.append(log_mel)
        return torch.zeros(0, self._model.n_outputs, device=self._device)

    @torch.no_grad()
    def finish(self) -> Tensor:
        """Return the logits of all frames (T, C), on the device."""
        log_mel = torch.cat(self._frames)
        if not len(log_mel):
            return torch.zeros(0, self._model.n_outputs, device=self._device)
        with evaluating(self._model):
            features = torch.cat([*features_of(self._model, log_mel, self._device)])
            logits, _ = self._model.decode(features[None], feedback=self._feedback)
        return logits[0]


def features_of(
    model: CRNN, log_mel: Tensor, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Yield the features (t, F) of pieces of frames (T, M), each run with the frames around it."""
    for first in range(0, len(log_mel), PIECE_FRAMES):
        start = max(0, first - model.context)
        window = log_mel[start : first + PIECE_FRAMES + model.context].to(device)
        features = model.encode(window[None])[0]
        yield features[first - start : first - start + PIECE_FRAMES]


@torch.no_grad()
def forced_logits(
    model: CRNN,
    log_mel: Tensor,
    targets: Tensor,
    *,
    feedback: Feedback = "hard",
    device: torch.device | str = "cpu",
) -> Tensor:
    """Run a model on all frames (T, M) of a recording, fed its targets (T, C): logits (T, C).

    Where a target is not finite, it is unknown, and the model is fed its own output.
    """
    targets = targets.to(device)[None]
    state: RecurrentState | None = None
    logits = [targets.new_empty(0, model.n_outputs)]
    with evaluating(model):
        for features in features_of(model, log_mel, device):
            fed = targets[:, : len(features)]
            targets = targets[:, len(features) :]
            known = fed.isfinite()
            # The mask of frames is the one that a whole pass is made for.
            is_fed = torch.ones(fed.shape[:2], dtype=torch.bool) if known.all() else known
            fed = torch.where(known, fed, 0.0)
            of_piece, state = model.decode(
                features[None], fed, is_fed, feedback=feedback, initial_state=state
            )
            logits.append(of_piece[0])
    return torch.cat(logits)


class LogitStream:
    """Run a model freely on frames as they come; the logits are those of the whole recording.

    The convolutions see ``model.context`` frames to each side, so that the logits of a frame come
    with the frame that is so many later. The state of the recurrence, with what it was fed last,
    is carried on.

    The logits do not depend on how the frames were pushed, to the last bit: a frame is always
    computed at the same place of a block of the same size. That matters beyond rounding, since
    ``hard`` feedback decides by a threshold: where a probability is within rounding of 0.5, other
    sizes may decide otherwise, and the sequence goes on from there.

    Args:
        model: put into evaluation mode while it runs.
        feedback: what is made of its own output.
        device: where it is.

    Attributes:
        n_frames: pushed so far.
        n_logits: frames whose logits were returned so far.
    """

    def __init__(
        self, model: CRNN, *, feedback: Feedback = "hard", device: torch.device | str = "cpu"
    ) -> None:
        self.n_frames = 0
        self.n_logits = 0
        self._model = model
        self._feedback: Feedback = feedback
        self._held = torch.zeros(model.context, model.n_mels, device=device)  # before the first
        self._state: RecurrentState | None = None  # before the current block

    def push(self, log_mel: Tensor) -> Tensor:
        """Take frames (t, M) and return the logits that they complete (t', C), on the device."""
        self._held = torch.cat([self._held, log_mel.to(self._held)])
        self.n_frames += len(log_mel)
        return self._up_to(self.n_frames - self._model.context)

    def finish(self) -> Tensor:
        """Return the logits of the last frames (t, C): nothing comes after those pushed."""
        return self._up_to(self.n_frames)

    @torch.no_grad()
    def _up_to(self, n_logits: int) -> Tensor:
        logits = [self._held.new_empty(0, self._model.n_outputs)]
        with evaluating(self._model):
            while self.n_logits < n_logits:
                first = self.n_logits - self.n_logits % BLOCK_FRAMES
                stop = min(n_logits, first + BLOCK_FRAMES)
                block, state = self._run(first)
                logits.append(block[self.n_logits - first : stop - first])
                self.n_logits = stop
                if stop == first + BLOCK_FRAMES:
                    self._state = state
                    self._held = self._held[BLOCK_FRAMES:]
        self._held = self._held.clone()  # what was cut off is let go
        return torch.cat(logits)

    def _run(self, first: int) -> tuple[Tensor, RecurrentState | None]:
        """Run the block whose first frame is ``first``, as far as its frames are there: (64, C)."""
        context = self._model.context
        n_window = BLOCK_FRAMES + 2 * context
        known = self._held[:n_window]  # from the frame ``first - context`` on
        window = known.new_zeros(1, n_window, self._model.n_mels)
        window[0, : len(known)] = known
        features = self._model.encode(
            window,
            lengths=torch.tensor([len(known)]),
            starts=torch.tensor([max(0, context - first)]),
        )[:, context : context + BLOCK_FRAMES]
        logits, state = self._model.decode(
            features, feedback=self._feedback, initial_state=self._state
        )
        return logits[0], state


@contextmanager
def evaluating(model: CRNN) -> Iterator[None]:
    """Put a model into evaluation mode within the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
