"""The fused recurrence's scan over time in torch's own operations: no allocation within the loop.

For float types, feedback rules and machines that the compiled scan does not serve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights

BACKWARD_BLOCK = 32
"""Steps whose factors are prepared together: few calls, and all of it still in cache."""


class PlainScan:
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._hidden_rows = torch.cat([weights.w_hh, weights.w_out])  # (3H + C, H)
        self._fed_rows = weights.w_ih[:, weights.n_features :].t().contiguous()  # (C, 3H)

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps."""
        n_hidden = self._weights.n_hidden
        bias = self._weights.b_hh[2 * n_hidden :]
        hidden_columns = self._hidden_rows.t().contiguous()  # (H, 3H + C)
        hidden, fed = buffers.hidden.unbind(0), buffers.fed.unbind(0)
        product = hidden[0].new_empty(hidden[0].shape[0], hidden_columns.shape[1])
        from_gates = product[:, : 2 * n_hidden]
        from_candidate = product[:, 2 * n_hidden : 3 * n_hidden]
        for step, (gates, candidate) in enumerate(
            zip(buffers.gates.unbind(0), buffers.candidate.unbind(0), strict=True)
        ):
            torch.mm(hidden[step], hidden_columns, out=product)
            if step > 0:
                self._feed(product, feeding, buffers, step - 1)
            gates.addmm_(fed[step], self._fed_rows)
            gates[:, : 2 * n_hidden].add_(from_gates).sigmoid_()
            r, z, n = gates.split(n_hidden, dim=1)
            torch.add(from_candidate, bias, out=candidate)
            n.addcmul_(r, candidate).tanh_()
            torch.lerp(n, hidden[step], z, out=hidden[step + 1])
        if len(hidden) > 1:
            torch.mm(hidden[-1], hidden_columns, out=product)
            self._feed(product, feeding, buffers, len(hidden) - 2)

    def _feed(self, product: Tensor, feeding: Feeding, buffers: Buffers, step: int) -> None:
        """Take the logits of ``step`` from the product, and decide what is fed after it."""
        n_hidden = self._weights.n_hidden
        logits = buffers.logits[step]
        torch.add(product[:, 3 * n_hidden :], self._weights.b_out, out=logits)
        own = feeding.rule(logits, step)
        if feeding.targets is None or feeding.mask is None:
            buffers.fed[step + 1].copy_(own)
        else:
            torch.where(feeding.mask[step], feeding.targets[step], own, out=buffers.fed[step + 1])

    def backward(self, grads: Tensor, grad_hidden: Tensor, buffers: Buffers) -> None:
        """Go back through all steps."""
        n_hidden = self._weights.n_hidden
        carry = grad_hidden.clone()  # what reaches the hidden state after a step directly
        for stop in range(buffers.gates.shape[0], 0, -BACKWARD_BLOCK):
            start = max(stop - BACKWARD_BLOCK, 0)
            self._prepare(grads, buffers, start, stop)
            for step in range(stop - 1, start - 1, -1):
                torch.addmm(
                    carry, grads[step + 1][:, n_hidden:], self._hidden_rows, out=grad_hidden
                )
                r, z, _ = buffers.gates[step].split(n_hidden, dim=1)
                grad_n, grad_r, grad_z, grad_candidate, _ = grads[step].split(
                    [n_hidden] * 4 + [self._weights.n_classes], dim=1
                )
                grad_n.mul_(grad_hidden)
                grad_z.mul_(grad_hidden)
                grad_r.mul_(grad_n)
                torch.mul(grad_n, r, out=grad_candidate)
                torch.mul(grad_hidden, z, out=carry)
        torch.addmm(carry, grads[0][:, n_hidden:], self._hidden_rows, out=grad_hidden)

    def _prepare(self, grads: Tensor, buffers: Buffers, start: int, stop: int) -> None:
        """Fill ``grads`` with the factors that do not depend on what comes back from later steps."""
        n_hidden = self._weights.n_hidden
        r, z, n = buffers.gates[start:stop].split(n_hidden, dim=2)
        factor_n, factor_r, factor_z = grads[start:stop, :, : 3 * n_hidden].split(n_hidden, dim=2)
        rest = 1 - z
        torch.mul(rest, 1 - n * n, out=factor_n)
        torch.mul(buffers.candidate[start:stop], r - r * r, out=factor_r)
        torch.mul(buffers.hidden[start:stop] - n, z.mul(rest), out=factor_z)
