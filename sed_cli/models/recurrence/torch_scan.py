"""The fused recurrence's scan over time in torch's own operations: no allocation within the loop.

For devices (a GPU), float types and feedback rules that the compiled scan does not support, and
for machines without numba.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sed_cli.models.recurrence.buffers import Buffers, Feeding, Weights
from sed_cli.models.recurrence.tokens import embedded

BACKWARD_BLOCK = 32
"""Steps whose factors are prepared together: few calls, within the cache."""


class TorchScan:
    """See :class:`~sed_cli.models.recurrence.buffers.Scan`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._hidden_rows = torch.cat([weights.w_hh, weights.w_out])  # (3H + C, H)
        self._fed_rows = weights.w_ih[:, weights.n_features :].t().contiguous()  # (D, 3H)

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps."""
        n_hidden = self._weights.n_hidden
        bias_gates, bias = self._weights.b_gates.split_with_sizes([3 * n_hidden, n_hidden])
        buffers.gates.add_(bias_gates)
        hidden_columns = self._hidden_rows.t().contiguous()  # (H, 3H + C)
        hidden, fed = buffers.hidden.unbind(0), buffers.fed[:, :, : self._weights.n_fed].unbind(0)
        product = hidden[0].new_empty(hidden[0].shape[0], hidden_columns.shape[1])
        from_gates, from_candidate, from_readout = product.split_with_sizes(
            [2 * n_hidden, n_hidden, self._weights.n_classes], dim=1
        )
        feed = self._feeder(from_readout, feeding, buffers)
        steps = zip(
            buffers.gates.unbind(0),
            buffers.gates[:, :, : 2 * n_hidden].unbind(0),
            *_gates_by_step(buffers.gates),
            buffers.candidate.unbind(0),
            strict=True,
        )
        for step, (gates, r_and_z, r, z, n, candidate) in enumerate(steps):
            torch.mm(hidden[step], hidden_columns, out=product)
            if step > 0:
                feed(step - 1)
            gates.addmm_(fed[step], self._fed_rows)
            r_and_z.add_(from_gates).sigmoid_()
            torch.add(from_candidate, bias, out=candidate)
            n.addcmul_(r, candidate).tanh_()
            torch.lerp(n, hidden[step], z, out=hidden[step + 1])
        if len(hidden) > 1:
            torch.mm(hidden[-1], hidden_columns, out=product)
            feed(len(hidden) - 2)

    def _feeder(
        self, from_readout: Tensor, feeding: Feeding, buffers: Buffers
    ) -> Callable[[int], None]:
        """Return the function from a step's product to its logits and feedback."""
        all_logits, fed = buffers.logits.unbind(0), buffers.fed.unbind(0)
        tokens, table = buffers.tokens.unbind(0), self._weights.table
        truth = None
        if feeding.targets is not None and feeding.mask is not None:
            truth = list(zip(feeding.mask.unbind(0), feeding.targets.unbind(0), strict=True))

        rule, noise = feeding.rule, None if feeding.noise is None else feeding.noise.unbind(0)
        is_part = feeding.outputs.stop - feeding.outputs.start < self._weights.n_classes

        def decide(own: Tensor, step: int, out: Tensor) -> None:
            if truth is None:
                out.copy_(own)
            else:
                torch.where(*truth[step], own, out=out)

        def feed(step: int) -> None:
            logits = torch.add(from_readout, self._weights.b_out, out=all_logits[step])
            choose = rule.activities if table is None else rule.tokens
            own = choose(
                logits[:, feeding.outputs] if is_part else logits,
                None if noise is None else noise[step],
            )
            if table is None and rule.remembers:
                chosen = own.clone()
                decide(own, step, chosen)
                fed[step + 1].copy_(rule.fed(chosen, fed[step]))
            elif table is None:
                decide(own, step, fed[step + 1])
            elif own.is_floating_point():  # the probabilities of all tokens
                mean = embedded(own, table)
                decide(tokens[step + 1], step, tokens[step + 1])  # -1 without a target
                known = tokens[step + 1][:, None]
                given = embedded(tokens[step + 1].clamp(min=0), table)
                torch.where(known >= 0, given, mean, out=fed[step + 1])
            else:
                decide(own, step, tokens[step + 1])
                fed[step + 1].copy_(embedded(tokens[step + 1], table))

        return feed

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps."""
        n_hidden, n_classes = self._weights.n_hidden, self._weights.n_classes
        n_steps = buffers.gates.shape[0]
        grad_hidden = torch.empty_like(carry)
        to_hidden = grads[:, :, n_hidden:].unbind(0)
        by_gate = grads[:-1].split_with_sizes([n_hidden] * 4 + [n_classes], dim=2)[:4]
        steps = list(
            zip(*(g.unbind(0) for g in by_gate), *_gates_by_step(buffers.gates)[:2], strict=True)
        )
        for step in range(n_steps - 1, -1, -1):
            if (n_steps - 1 - step) % BACKWARD_BLOCK == 0:
                self._prepare(grads, buffers, max(step + 1 - BACKWARD_BLOCK, 0), step + 1)
            torch.addmm(carry, to_hidden[step + 1], self._hidden_rows, out=grad_hidden)
            grad_n, grad_r, grad_z, grad_candidate, r, z = steps[step]
            grad_n.mul_(grad_hidden)
            grad_z.mul_(grad_hidden)
            grad_r.mul_(grad_n)
            torch.mul(grad_n, r, out=grad_candidate)
            torch.mul(grad_hidden, z, out=carry)

    def _prepare(self, grads: Tensor, buffers: Buffers, start: int, stop: int) -> None:
        """Fill ``grads`` with the factors that do not depend on later steps."""
        n_hidden = self._weights.n_hidden
        r, z, n = buffers.gates[start:stop].chunk(3, dim=2)
        factor_n, factor_r, factor_z = grads[start:stop, :, : 3 * n_hidden].chunk(3, dim=2)
        rest = 1 - z
        torch.mul(rest, 1 - n * n, out=factor_n)
        torch.mul(buffers.candidate[start:stop], r - r * r, out=factor_r)
        torch.mul(buffers.hidden[start:stop] - n, z.mul(rest), out=factor_z)


def _gates_by_step(gates: Tensor) -> list[tuple[Tensor, ...]]:
    """Split gates (T, B, 3H) into the steps of r, of z and of n: views cost most inside a loop."""
    return [gate.unbind(0) for gate in gates.chunk(3, dim=2)]
