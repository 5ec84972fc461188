"""The exponential moving average of a model's weights, which may be saved instead of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Average:
    """The average of a model's weights, and of the statistics of its batch norm, over the updates.

    After n updates the decay is (1 + n) / (10 + n) until that exceeds ``decay``: so the average
    forgets the initial weights even in a short training. Ranks with the same updates have the same
    average.

    Args:
        model: the trained model; it is copied at its first update.
        decay: share of the average kept at an update, in (0, 1).

    Source of the rising decay: ``num_updates`` of TensorFlow's ``ExponentialMovingAverage``.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._blend, use_buffers=True)
        self._averaged.requires_grad_(False)
        self._is_swapped = False

    def update(self) -> None:
        """Add the weights after an update."""
        self._averaged.update_parameters(self._model)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the average into the model within the block."""
        if not self._n_updates:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @property
    def model(self) -> nn.Module:
        """The average as a separate model; outside of :meth:`in_place`."""
        if not self._n_updates:  # weights may have been replaced since the copy
            self._averaged.module.load_state_dict(self._model.state_dict())
        averaged: nn.Module = self._averaged.module
        return averaged

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, and the weights not in the model."""
        aside = "trained" if self._is_swapped else "average"
        return {"n_updates": self._n_updates, aside: self._averaged.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned, with the model in the same state.

        Raises:
            ValueError: if weights are not finite.
            RuntimeError: if they do not fit.
        """
        aside: dict[str, Tensor] = state["trained"] if "trained" in state else state["average"]
        if not all(bool(torch.isfinite(value).all()) for value in aside.values()):
            raise ValueError("weights that are not finite")
        self._averaged.n_averaged.fill_(int(state["n_updates"]))
        if "trained" in state:
            self._averaged.module.load_state_dict(self._model.state_dict())
            self._model.load_state_dict(aside)
        else:
            self._averaged.module.load_state_dict(aside)

    @property
    def _n_updates(self) -> int:
        return int(self._averaged.n_averaged)

    def _blend(self, averaged: Any, current: Any, n_updates: Tensor | int) -> None:
        n = int(n_updates)
        decay = min(self._decay, (1 + n) / (10 + n))
        get_ema_multi_avg_fn(decay)(averaged, current, n_updates)  # type: ignore[no-untyped-call]

    def _swap(self) -> None:
        """Exchange values in place, so that references to the model's tensors stay valid."""
        for own, other in zip(_tensors(self._model), _tensors(self._averaged.module), strict=True):
            own.data, other.data = other.data, own.data
        self._is_swapped = not self._is_swapped


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
