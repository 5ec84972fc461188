"""Weights, buffers and targets shared by the fused recurrence and its scans over time.

All buffers put time first, so that a step is one block of memory:

=============  ==================  =========================================================
gates          (T, B, 3H)          projected inputs; the scan turns them into r, z, n
candidate      (T, B, H)           contribution of the hidden state to n, before r scales it
hidden         (T + 1, B, H)       entry t is the hidden state before step t
fed            (T + 1, B, D)       entry t is the feedback at step t, then other carried values
tokens         (T + 1, B)          entry t is the token fed at step t, -1 where none was chosen
logits         (T, B, C)
grads          (T + 1, B, 4H + C)  backward only: of n, r and z before their nonlinearities, of
                                   candidate, and (one step late) of the logits
=============  ==================  =========================================================

Activities are fed directly, so that D is C; there are no tokens then. (A feedback rule with
memory may feed, and carry, several numbers per class.) In ``grads`` the first three columns
together are the gradient of the input's contribution, the last three and the logits that of the
hidden state before the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence.problem import Problem, RecurrentState


@dataclass(frozen=True)
class Weights:
    """Detached weights; names without comment are those of the modules.

    Attributes:
        w_ih: (3H, F + D).
        w_hh: (3H, H).
        w_out: (C, H), the readout's.
        b_ih: (3H,).
        b_hh: (3H,).
        b_out: (C,), the readout's.
        n_fed: D, columns of ``w_ih`` for the feedback.
        table: (C, D), embeddings of the tokens; None if activities are fed.
    """

    n_fed: int
    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor
    b_hh: Tensor
    w_out: Tensor
    b_out: Tensor
    table: Tensor | None = None

    @property
    def n_hidden(self) -> int:
        """H."""
        return self.w_hh.shape[1]

    @property
    def n_classes(self) -> int:
        """C."""
        return self.w_out.shape[0]

    @property
    def b_gates(self) -> Tensor:
        """Biases of r, z, n and of the hidden state's contribution to n before r: (4H,)."""
        n_hidden = self.n_hidden
        bias = torch.cat([self.b_ih, self.b_hh[2 * n_hidden :]])
        bias[: 2 * n_hidden] += self.b_hh[: 2 * n_hidden]
        return bias

    @property
    def n_features(self) -> int:
        """F."""
        return self.w_ih.shape[1] - self.n_fed


@dataclass(frozen=True)
class Buffers:
    """Buffers that the forward scan reads and writes; see the module's table."""

    gates: Tensor
    candidate: Tensor
    hidden: Tensor
    fed: Tensor
    tokens: Tensor
    logits: Tensor

    @staticmethod
    def empty(n_steps: int, weights: Weights, state: RecurrentState) -> Buffers:
        """Allocate all of them, uninitialised except the state before the first step."""
        n_sequences, n_carried = state.feedback.shape

        def new(steps: int, width: int) -> Tensor:
            return weights.w_ih.new_empty(steps, n_sequences, width)

        n_hidden = weights.n_hidden
        n_chosen = 0 if weights.table is None else n_sequences
        made = Buffers(
            gates=new(n_steps, 3 * n_hidden),
            candidate=new(n_steps, n_hidden),
            hidden=new(n_steps + 1, n_hidden),
            fed=new(n_steps + 1, n_carried),
            tokens=weights.w_ih.new_full((n_steps + 1, n_chosen), -1, dtype=torch.int64),
            logits=new(n_steps, weights.n_classes),
        )
        made.hidden[0], made.fed[0] = state
        return made

    def block(self, frames: slice) -> Buffers:
        """Take the given frames of all of them, as views."""
        after = slice(frames.start, frames.stop + 1)
        return Buffers(
            gates=self.gates[frames],
            candidate=self.candidate[frames],
            hidden=self.hidden[after],
            fed=self.fed[after],
            tokens=self.tokens[after],
            logits=self.logits[frames],
        )


@dataclass(frozen=True)
class Feeding:
    """Feedback after each step: the target where the mask is set, else the rule's; time first.

    Attributes:
        targets: (T, B, C), or tokens (T, B); None if the target is never fed.
        mask: bool, of that shape, likewise.
        noise: uniforms, (T, B, C), or (T, B, 1) for tokens; None unless the rule draws.
        rule: for the feedback elsewhere.
        outputs: outputs that are fed; C is their number here.
        n_frames: T x B of the whole run, which may be longer.
    """

    targets: Tensor | None
    mask: Tensor | None
    noise: Tensor | None
    rule: FeedbackRule
    outputs: slice
    n_frames: int

    @property
    def has_truth(self) -> bool:
        """Whether the target is fed anywhere."""
        return self.targets is not None and self.mask is not None

    @staticmethod
    def of(problem: Problem, frames: slice) -> Feeding:
        """Take the given frames of the problem."""
        noise = None
        if problem.noise is not None:
            noise = problem.noise[:, frames].transpose(0, 1).contiguous()
        n_frames = problem.features.shape[0] * problem.features.shape[1]
        if problem.mask is None or problem.targets is None:
            return Feeding(None, None, noise, problem.rule, problem.outputs, n_frames)
        mask, targets = problem.mask[:, frames], problem.targets.detach()[:, frames]
        return Feeding(
            targets.transpose(0, 1).contiguous(),
            mask.expand_as(targets).transpose(0, 1).contiguous(),
            noise,
            problem.rule,
            problem.outputs,
            n_frames,
        )


class Scan(Protocol):
    """The steps over time of one run, forward and backward, for fixed weights."""

    def forward(self, feeding: Feeding, buffers: Buffers) -> None:
        """Run all steps.

        ``gates`` hold the projected features, without biases; the first entries of ``hidden``,
        ``fed`` and ``tokens`` are given. Everything else is written.
        """
        ...

    def backward(self, grads: Tensor, carry: Tensor, buffers: Buffers) -> None:
        """Go back through all steps.

        The last C columns of ``grads`` are given, and all of its last step; the rest is written.
        ``carry`` (B, H) is the gradient of the last hidden state, without the contribution of the
        last step of ``grads``, and becomes that of the first, likewise.
        """
        ...
