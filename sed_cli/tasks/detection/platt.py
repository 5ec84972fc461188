"""Calibration of the probabilities of frames: a detector of few recordings is too sure of itself.

Source: Platt 1999, "Probabilistic outputs for support vector machines"; differs: one scale and one
offset for each output, and no smoothing of targets, since the model has not seen the recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from sed_cli.data.sequences import Sequences
from sed_cli.data.sets import Recording
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.running import run_freely

_MOST_FRAMES, _MOST_VALUES = 2**19, 2**25  # used for the fit, 256 MiB in float64
_PRIOR_FRAMES = 10.0  # weight of the uncalibrated logits, in frames of each output
_ONE = 0.5413248546  # its softplus is 1


@dataclass(frozen=True)
class Platt:
    """A scale and an offset for the logits of each output.

    Args:
        scale: at least 0, (C,), with onsets (2C,).
        offset: of the same shape.
    """

    scale: Tensor
    offset: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Calibrated logits (..., C)."""
        return logits * self.scale + self.offset

    @classmethod
    def fit(cls, logits: Tensor, targets: Tensor) -> Platt:
        """Fit both to minimise the cross-entropy, in float64.

        Outputs with few active frames stay near their own logits.

        Args:
            logits: (N, C).
            targets: 0 or 1, or NaN where unknown, (N, C).
        """
        known = targets.isfinite()
        logits, targets = logits.double(), targets.nan_to_num().double()
        scale, offset = (torch.full_like(logits[0], start) for start in (_ONE, 0.0))
        # The prior: logits of -1 and 1 keep their probabilities.
        ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        optimizer = torch.optim.LBFGS(
            [scale.requires_grad_(), offset.requires_grad_()],
            max_iter=200,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            factor = softplus(scale)
            apart = binary_cross_entropy_with_logits(
                logits * factor + offset, targets, reduction="none"
            )
            prior = binary_cross_entropy_with_logits(
                ends * factor + offset, ends.sigmoid().expand(2, len(factor)), reduction="none"
            )
            total = (apart * known).sum(0) + _PRIOR_FRAMES / 2 * prior.sum(0)
            mean = (total / (known.sum(0) + _PRIOR_FRAMES)).sum()
            mean.backward()  # type: ignore[no-untyped-call]
            return mean

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return cls(softplus(scale).detach().float(), offset.detach().float())


def fit_platt(detector: Detector, recordings: Sequence[Recording]) -> Platt:
    """Calibrate a detector on recordings that it was not trained on; at least one."""
    logits, targets = zip(*_pairs(detector, recordings), strict=True)
    return Platt.fit(torch.cat(logits), torch.cat(targets))


def _pairs(detector: Detector, recordings: Sequence[Recording]) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and targets of frames, evenly spaced if there are too many."""
    n_frames = sum(each.n_frames for each in recordings)
    most = min(_MOST_FRAMES, _MOST_VALUES // detector.model.n_outputs)
    step = 1 + n_frames // max(1, most)
    onsets = detector.model.has_onsets
    for recording, logits in run_freely(detector, recordings):
        targets = Sequences([recording], onsets=onsets).targets(0)
        yield logits[::step].clone(), targets[::step].clone()  # views would keep all frames
