"""The fused recurrence's scan over time, compiled by numba (:mod:`.compiled`), for a CPU.

The sequences of a batch are distributed to threads in independent groups.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.compiled import Array, Tokens, scan_backward, scan_forward
from sed_cli.models.recurrence.threads import deal_out, n_threads, product
from sed_cli.models.recurrence.tile import pack

SMALLEST_SHARE = 4
"""Minimum sequences per thread: with fewer, loading the weights dominates."""
SMALLEST_SPLIT = 2**16
"""Hidden states (T x B x H) below which another thread costs more than it saves."""


class CompiledScan:
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    @cached_property
    def _forward_weights(self) -> tuple[Array, Array, Array, Array]:
        """Panels, biases of the gates and of the readout, rows of the feedback."""
        w = self._weights
        fed_rows = w.w_ih[:, w.n_features :].t()
        return (
            pack(_view(torch.cat([w.w_hh, w.w_out]).t())),
            _view(w.b_gates),
            _view(w.b_out),
            _view(fed_rows.contiguous()),
        )

    @cached_property
    def _token_rows(self) -> Array:
        """Contribution of each token to the gates: (C, 3H)."""
        w = self._weights
        return _view(product(cast(Tensor, w.table), w.w_ih[:, w.n_features :].t()))

    def _tokens(self, feeding: Feeding, buffers: Buffers) -> Tokens | None:
        table = self._weights.table
        if table is None:
            return None
        n_sequences = buffers.candidate.shape[1]
        true = buffers.tokens[:0]
        if feeding.targets is not None and feeding.mask is not None:
            true = torch.where(feeding.mask, feeding.targets, -1)
        # Once per token, or once per feedback, whichever is less.
        few = len(table) <= feeding.n_frames
        return Tokens(
            fed=_view(buffers.tokens),
            true=_view(true),
            table=_view(table.contiguous()),
            rows=self._token_rows if few else _view(table.new_empty(0, buffers.gates.shape[2])),
            weights=_view(table.new_empty(n_sequences, len(table))),
        )

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps."""
        dtype = buffers.hidden.dtype
        targets = noise = nothing = torch.empty(0, 0, 0, dtype=dtype)
        mask = nothing.bool()
        if self._weights.table is None and feeding.targets is not None:
            targets, mask = feeding.targets, cast(Tensor, feeding.mask)
        if feeding.noise is not None:
            noise = feeding.noise
        memory, number = feeding.rule.memory
        number = _view(buffers.hidden).dtype.type(number)  # to avoid sums in another precision
        scan = partial(
            scan_forward,
            _view(buffers.gates),
            _view(buffers.candidate),
            _view(buffers.hidden),
            _view(buffers.fed),
            _view(buffers.logits),
            *self._forward_weights,
            _view(targets),
            _view(mask),
            _view(noise),
            feeding.outputs.start,
            feeding.outputs.stop - feeding.outputs.start,
            feeding.rule.code,
            memory,
            number,
            self._tokens(feeding, buffers),
        )
        _in_shares(buffers.hidden, scan)

    @cached_property
    def _backward_weights(self) -> Array:
        return pack(_view(torch.cat([self._weights.w_hh, self._weights.w_out])))

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps."""
        scan = partial(
            scan_backward,
            _view(grads),
            _view(carry),
            _view(buffers.gates),
            _view(buffers.candidate),
            _view(buffers.hidden),
            self._backward_weights,
        )
        _in_shares(buffers.hidden, scan)


def _view(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def _in_shares(hidden: Tensor, scan: Callable[[int, int], None]) -> None:
    """Distribute the independent sequences to threads."""
    n_steps, n_sequences, n_hidden = hidden.shape
    n_shares = min(n_threads(), -(-n_sequences // SMALLEST_SHARE))
    if n_steps * n_sequences * n_hidden < SMALLEST_SPLIT:
        n_shares = 1
    deal_out(n_sequences, n_shares, scan)
