"""The functions of :mod:`.compiled_scan`, compiled by numba.

No interpreter runs between steps and nothing is allocated; the weights are packed for the tile of
:mod:`.tile`. The buffers are those of :mod:`.buffers`, viewed as numpy arrays and written in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.models.feedback import (
    BELOW_ONE,
    DELAYED,
    HARD,
    LAST_EVENT,
    NO_MEMORY,
    SAMPLED,
    SOFT,
    TRACE,
)
from sed_cli.models.recurrence.compiled_math import exponential, sigmoid, tanh
from sed_cli.models.recurrence.tile import TILE_VECTORS, strip_of_1, strip_of_2, strip_of_3
from sed_cli.system.compiling import compiled

Array = NDArray[Any]

# numba checks only this file to validate its cache: a change of tile.py or compiled_math.py must
# change something here, such as this number.
EDITION = 4


@compiled
def _product(
    a: Array, a_at: int, a_ld: int, n_rows: int, panels: Array, first: int, last: int, out: Array
) -> None:
    """Store ``a[:n_rows] @ b`` in ``out``, at least its vectors of columns ``first`` to ``last``.

    The last panel is computed only up to there; further vectors would be wasted work.
    """
    depth, width = panels.shape[1], panels.shape[2]
    o_ld = out.shape[1]
    for panel in range(first // TILE_VECTORS, panels.shape[0]):
        at, to, n_vectors = panel * depth * width, panel * width, last - panel * TILE_VECTORS
        if n_vectors >= TILE_VECTORS:
            strip_of_3(a, a_at, a_ld, n_rows, panels, at, depth, out, to, o_ld)
        elif n_vectors == 2:
            strip_of_2(a, a_at, a_ld, n_rows, panels, at, depth, out, to, o_ld)
        elif n_vectors == 1:
            strip_of_1(a, a_at, a_ld, n_rows, panels, at, depth, out, to, o_ld)


@compiled
def _own_feedback(rule: int, logit: Any, uniform: Any) -> Any:
    if rule == HARD:
        return 1.0 if logit > 0 else 0.0
    probability = sigmoid(logit)
    if rule == SOFT:
        return probability
    return 1.0 if uniform < probability else 0.0


@compiled
def _remember(memory: int, number: Any, chosen: Array, before: Array, after: Array) -> None:
    """Compute the values carried ``after`` a step from the choice (C,) and those ``before`` it.

    Defined by the rules of :mod:`sed_cli.models.feedbacks`, by code; ``number`` is their parameter.
    """
    n_classes, n_carried = chosen.shape[0], after.shape[0]
    if memory == DELAYED:
        for j in range(n_carried - n_classes):
            after[j] = before[j + n_classes]
        for c in range(n_classes):
            after[n_carried - n_classes + c] = chosen[c]
    elif memory == TRACE:
        for c in range(n_classes):
            after[c] = max(chosen[c], number * before[c])
    elif memory == LAST_EVENT:
        is_new = False
        for c in range(n_classes):
            active = before[2 * n_classes + c] > 0.5
            is_new = is_new or (active and not chosen[c] > 0.5)
        for c in range(n_classes):
            active = before[2 * n_classes + c] > 0.5
            over = 1.0 if active and not chosen[c] > 0.5 else 0.0
            after[c] = over if is_new else before[c]
            after[n_classes + c] = over if is_new else number * before[n_classes + c]
            after[2 * n_classes + c] = chosen[c]


@compiled
def _likeliest(logits: Array) -> Any:
    """Return the index of the first maximum; NaN is greater than all, as in torch."""
    best = 0
    for c in range(1, logits.shape[0]):
        if logits[c] > logits[best] or (np.isnan(logits[c]) and not np.isnan(logits[best])):
            best = c
    return best


@compiled
def _exponentials(logits: Array, out: Array) -> Any:
    """Store unnormalised probabilities, the greatest as 1, and return their sum."""
    largest = logits[_likeliest(logits)]
    for c in range(logits.shape[0]):
        out[c] = exponential(logits[c] - largest)
    total = 0.0  # float64: float32 loses unlikely ones among 100,000 tokens
    for c in range(logits.shape[0]):
        total += np.float64(out[c])
    return total


@compiled
def _drawn(logits: Array, uniform: Any, scratch: Array) -> Any:
    """Return the first index at which the cumulative probability exceeds ``uniform``."""
    wanted = _exponentials(logits, scratch) * min(np.float64(uniform), BELOW_ONE)
    total = 0.0
    for c in range(logits.shape[0]):
        total += np.float64(scratch[c])
        if total > wanted:
            return c
    return logits.shape[0] - 1  # NaN has no position among the sums


@compiled
def _add_row(out: Array, weight: Any, row: Array) -> None:
    for j in range(out.shape[0]):
        out[j] += weight * row[j]


@compiled
def _add_rows(out: Array, weights: Array, rows: Array) -> None:
    """Add to ``out`` (N,) the rows (K, N) by weight (K,); NaN is not 0, and so is added too.

    Three at a time, so that the sum is loaded and stored a third as often.
    """
    n_waiting, one, two = 0, 0, 0
    for k in range(rows.shape[0]):
        if weights[k] == 0:
            continue
        if n_waiting == 0:
            n_waiting, one = 1, k
        elif n_waiting == 1:
            n_waiting, two = 2, k
        else:
            n_waiting = 0
            w_1, w_2, w_3 = weights[one], weights[two], weights[k]
            row_1, row_2, row_3 = rows[one], rows[two], rows[k]
            for j in range(out.shape[0]):
                out[j] += w_1 * row_1[j] + w_2 * row_2[j] + w_3 * row_3[j]
    if n_waiting > 0:
        _add_row(out, weights[one], rows[one])
    if n_waiting > 1:
        _add_row(out, weights[two], rows[two])


class Tokens(NamedTuple):
    """Data of the scan if tokens are fed.

    Attributes:
        fed: (T + 1, B), the first is read, the others are written: -1 if none was chosen.
        true: (T, B), -1 where the model's own is fed; no steps if the ground truth never is.
        table: (C, D), the embeddings.
        rows: (C, 3H), contribution of each to the gates; or (0, 3H) if that is too large.
        weights: (B, C), scratch: the probabilities if no token was chosen.
    """

    fed: Array
    true: Array
    table: Array
    rows: Array
    weights: Array


@compiled
def _feed_token(
    tokens: Tokens, rule: int, logits: Array, noise: Array, fed: Array, step: int, b: int
) -> None:
    """Decide the feedback at ``step`` by logits (C,) of the previous step, into ``fed`` (D,)."""
    weights = tokens.weights[b]
    token = tokens.true[step - 1, b] if tokens.true.shape[0] > 0 else -1
    if token < 0 and rule == HARD:
        token = _likeliest(logits)
    elif token < 0 and rule == SAMPLED:
        token = _drawn(logits, noise[step - 1, b, 0], weights)
    tokens.fed[step, b] = token
    if token >= 0:
        fed[:] = tokens.table[token]
    else:
        total = _exponentials(logits, weights)
        for c in range(logits.shape[0]):
            weights[c] /= total
        fed[:] = 0
        _add_rows(fed, weights, tokens.table)


@compiled
def _add_token(
    gates: Array, fed: Array, fed_rows: Array, tokens: Tokens, step: int, b: int
) -> None:
    """Add the feedback to ``gates`` (3H,), by the rows of its tokens if available."""
    token = tokens.fed[step, b]
    if tokens.rows.shape[0] == 0 or step == 0:  # at first, the feedback may not be a token
        _add_rows(gates, fed, fed_rows)
    elif token < 0:
        _add_rows(gates, tokens.weights[b], tokens.rows)
    else:
        row = tokens.rows[token]
        for j in range(gates.shape[0]):
            gates[j] += row[j]


@compiled
def _cell(
    gates: Array, product: Array, bias: Array, before: Array, candidate: Array, after: Array
) -> None:
    """Finish one step of one sequence.

    ``gates`` (3H,) has the input's contribution to the gates and becomes r, z, n; ``candidate``
    (H,) becomes the hidden state's contribution to n, before r scales it; ``bias`` (4H,) is for all
    four.
    """
    n_hidden = before.shape[0]
    for j in range(2 * n_hidden):
        gates[j] = sigmoid(gates[j] + product[j] + bias[j])
    for j in range(n_hidden):
        recurrent = product[2 * n_hidden + j] + bias[3 * n_hidden + j]
        candidate[j] = recurrent
        given = gates[2 * n_hidden + j] + bias[2 * n_hidden + j]
        gates[2 * n_hidden + j] = tanh(given + gates[j] * recurrent)
    for j in range(n_hidden):
        n = gates[2 * n_hidden + j]
        after[j] = n + gates[n_hidden + j] * (before[j] - n)


@compiled
def scan_forward(
    gates: Array,
    candidate: Array,
    hidden: Array,
    fed: Array,
    logits: Array,
    panels: Array,
    bias_gates: Array,
    bias_readout: Array,
    fed_rows: Array,
    targets: Array,
    mask: Array,
    noise: Array,
    first_fed: int,
    n_outputs: int,
    rule: int,
    memory: int,
    number: Any,
    tokens: Tokens | None,
    low: int,
    high: int,
) -> None:
    """Run the steps for the sequences ``low`` to ``high``.

    Args:
        gates: (T, B, 3H), the projected features; becomes r, z, n.
        candidate: (T, B, H), becomes the hidden state's contribution to n.
        hidden: (T + 1, B, H); the first is read, the others are written.
        fed: (T + 1, B, D), likewise: entry t is fed at step t. With memory more is carried, and
            only the rows of ``fed_rows`` are fed.
        logits: (T, B, C), written.
        panels: ``concat(weight_hh, readout.weight).T`` packed.
        bias_gates: (4H,), of r, z, n and candidate.
        bias_readout: (C,).
        fed_rows: (D, 3H), the fed part of ``weight_ih.T``.
        targets: (T, B, n_outputs), with ``mask``; no steps if the ground truth is never fed.
        mask: bool, likewise.
        noise: likewise, or (T, B, 1) for tokens, for sampled feedback, else no steps.
        first_fed: first output that is fed.
        n_outputs: number of outputs that are fed.
        rule: HARD, SAMPLED or SOFT.
        memory: NO_MEMORY, or that of the rule.
        number: parameter of the memory, in the weights' dtype.
        tokens: None if activities are fed: numba then omits code for tokens.
        low: first sequence.
        high: end of the sequences.
    """
    n_steps, _, n_hidden = candidate.shape
    n_classes = logits.shape[2]
    lanes, ld = panels.shape[2] // TILE_VECTORS, hidden.shape[2]
    product = np.empty((high - low, panels.shape[0] * panels.shape[2]), hidden.dtype)
    chosen = np.empty(n_outputs, hidden.dtype)
    n_fed = fed_rows.shape[0]
    n_vectors = (3 * n_hidden + n_classes + lanes - 1) // lanes
    for step in range(n_steps + 1):
        # The logits of the previous step come from the same product as this step's gates: there
        # are none before the first step, and only they are needed after the last one.
        first = 3 * n_hidden // lanes if step == n_steps else 0
        last = (3 * n_hidden + lanes - 1) // lanes if step == 0 else n_vectors
        at = (step * hidden.shape[1] + low) * ld
        _product(hidden, at, ld, high - low, panels, first, last, product)
        for b in range(low, high):
            row = product[b - low]
            if step > 0:
                for c in range(n_classes):
                    logit = row[3 * n_hidden + c] + bias_readout[c]
                    logits[step - 1, b, c] = logit
                if tokens is None:
                    out = fed[step, b] if memory == NO_MEMORY else chosen
                    for c in range(n_outputs):
                        if mask.shape[0] > 0 and mask[step - 1, b, c]:
                            out[c] = targets[step - 1, b, c]
                        else:
                            logit = logits[step - 1, b, first_fed + c]
                            uniform = noise[step - 1, b, c] if rule == SAMPLED else logit
                            out[c] = _own_feedback(rule, logit, uniform)
                    if memory != NO_MEMORY:
                        _remember(memory, number, chosen, fed[step - 1, b], fed[step, b])
                else:
                    _feed_token(tokens, rule, logits[step - 1, b], noise, fed[step, b], step, b)
            if step < n_steps:
                if tokens is None:
                    _add_rows(gates[step, b], fed[step, b, :n_fed], fed_rows)
                else:
                    _add_token(gates[step, b], fed[step, b], fed_rows, tokens, step, b)
                _cell(
                    gates[step, b],
                    row,
                    bias_gates,
                    hidden[step, b],
                    candidate[step, b],
                    hidden[step + 1, b],
                )


@compiled
def _cell_backward(
    grads: Array, carry: Array, product: Array, gates: Array, candidate: Array, before: Array
) -> None:
    """Go back through one step of one sequence.

    ``carry + product`` (H,) is the gradient of the hidden state after the step; ``grads`` (4H + C,)
    receives those of n, r and z before their nonlinearities and of ``candidate``, ``carry`` the
    direct gradient of the hidden state before the step.
    """
    n_hidden = carry.shape[0]
    for j in range(n_hidden):
        r, z, n = gates[j], gates[n_hidden + j], gates[2 * n_hidden + j]
        grad = carry[j] + product[j]
        # No literal 1: numba would compute the sum in float64.
        grad_n = grad - grad * z
        grad_n = grad_n - grad_n * n * n
        grads[j] = grad_n
        grads[n_hidden + j] = grad_n * candidate[j] * (r - r * r)
        grads[2 * n_hidden + j] = grad * (before[j] - n) * (z - z * z)
        grads[3 * n_hidden + j] = grad_n * r
        carry[j] = grad * z


@compiled
def scan_backward(
    grads: Array,
    carry: Array,
    gates: Array,
    candidate: Array,
    hidden: Array,
    panels: Array,
    low: int,
    high: int,
) -> None:
    """Go back through the steps for the sequences ``low`` to ``high``.

    Args:
        grads: (T + 1, B, 4H + C); its last columns hold the logits' gradients, one step late, and
            its last step is given; the rest is written, see ``_cell_backward``.
        carry: (B, H), gradient of the hidden state after the end, without the contribution of
            ``grads``; becomes that before the start.
        gates: (T, B, 3H), as ``scan_forward`` left it.
        candidate: (T, B, H), likewise.
        hidden: (T + 1, B, H), likewise.
        panels: ``concat(weight_hh, readout.weight)`` packed.
        low: first sequence.
        high: end of the sequences.
    """
    n_steps, n_sequences, n_hidden = candidate.shape
    ld = grads.shape[2]
    lanes = panels.shape[2] // TILE_VECTORS
    product = np.empty((high - low, panels.shape[0] * panels.shape[2]), hidden.dtype)
    for step in range(n_steps - 1, -1, -1):
        at = ((step + 1) * n_sequences + low) * ld + n_hidden
        _product(grads, at, ld, high - low, panels, 0, (n_hidden + lanes - 1) // lanes, product)
        for b in range(low, high):
            _cell_backward(
                grads[step, b],
                carry[b],
                product[b - low],
                gates[step, b],
                candidate[step, b],
                hidden[step, b],
            )
