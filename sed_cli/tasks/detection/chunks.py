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
"""Frames per block; blocks always have this size and are counted from the same first frame."""

PIECE_FRAMES = 4096
"""Frames per pass of the convolutions if the whole recording is available."""


class Logits(Protocol):
    """Logits of the frames of one recording."""

    def push(self, log_mel: Tensor) -> Tensor:
        """Take frames (t, M) and return the logits of completed frames (t', C), on the device."""

    def finish(self) -> Tensor:
        """Return the logits of the last frames (t, C): no more frames follow."""


def logits_of(
    model: CRNN, *, feedback: Feedback = "hard", device: torch.device | str = "cpu"
) -> Logits:
    """Run a model freely on a recording: as its frames arrive, or at its end."""
    if model.is_causal:
        return LogitStream(model, feedback=feedback, device=device)
    return WholeLogits(model, feedback=feedback, device=device)


class WholeLogits:
    """Run a model that is not causal: all frames are kept until the last one has arrived.

    The convolutions run piece by piece; the recurrence then decodes the features of the whole
    recording. Memory grows with its length, by the features and the output of the recurrence.

    Args:
        model: in evaluation mode while it runs.
        feedback: rule that turns the model's output into feedback.
        device: of the model.
    """

    def __init__(
        self, model: CRNN, *, feedback: Feedback = "hard", device: torch.device | str = "cpu"
    ) -> None:
        self._model, self._feedback, self._device = model, feedback, device
        self._frames: list[Tensor] = []

    def push(self, log_mel: Tensor) -> Tensor:
        """Keep frames (t, M); there are no logits yet: (0, C)."""
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
    """Yield the features (t, F) of pieces of frames (T, M), each computed with its context."""
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
    """Run a model on all frames (T, M) of a recording with teacher forcing: logits (T, C).

    Targets (T, C) that are not finite are unknown: there the model is fed its own output.
    """
    targets = targets.to(device)[None]
    state: RecurrentState | None = None
    logits = [targets.new_empty(0, model.n_outputs)]
    with evaluating(model):
        pieces = features_of(model, log_mel, device)
        if not model.is_causal and len(log_mel):
            pieces = iter([torch.cat([*pieces])])
        for features in pieces:
            fed = targets[:, : len(features)]
            targets = targets[:, len(features) :]
            known = fed.isfinite()
            # With a mask of whole frames, the recurrence runs in a single pass.
            is_fed = torch.ones(fed.shape[:2], dtype=torch.bool) if known.all() else known
            fed = torch.where(known, fed, 0.0)
            of_piece, state = model.decode(
                features[None], fed, is_fed, feedback=feedback, initial_state=state
            )
            logits.append(of_piece[0])
    return torch.cat(logits)


class LogitStream:
    """Run a model freely on frames as they arrive; the logits equal those of the whole recording.

    The convolutions see ``model.context`` frames to each side, so that the logits of a frame are
    complete that many frames later. The state of the recurrence, including its last feedback, is
    carried over.

    The logits do not depend on how the frames were pushed, to the last bit: a frame is always
    computed at the same position in a block of the same size. That matters beyond rounding, since
    ``hard`` feedback decides by a threshold: if a probability is within rounding of 0.5, another
    block size may decide differently, and the sequence then takes another path.

    Args:
        model: in evaluation mode while it runs.
        feedback: rule that turns the model's output into feedback.
        device: of the model.

    Attributes:
        n_frames: number of frames pushed so far.
        n_logits: number of frames whose logits were returned so far.
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
        """Take frames (t, M) and return the logits of completed frames (t', C), on the device."""
        self._held = torch.cat([self._held, log_mel.to(self._held)])
        self.n_frames += len(log_mel)
        return self._up_to(self.n_frames - self._model.context)

    def finish(self) -> Tensor:
        """Return the logits of the last frames (t, C): no more frames follow."""
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
        self._held = self._held.clone()  # release the part that was cut off
        return torch.cat(logits)

    def _run(self, first: int) -> tuple[Tensor, RecurrentState | None]:
        """Run the block that starts at frame ``first``, as far as its frames exist: (64, C)."""
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
