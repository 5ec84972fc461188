"""What does the recurrence with token feedback cost, forward and backward?

Compared in the same run: the fused loop, the plain loop over time, and ``torch.gru`` over the
known tokens (teacher forcing, which does less: nothing is chosen). Small and large vocabularies.
Writes ``language.{csv,md}``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from benchmarks.measure import machine, medians, options, write_table
from sed_cli.models.recurrence import feedback_gru

Forward = Callable[["World"], Tensor]


@dataclass(frozen=True)
class Shape:
    """Sizes of one problem."""

    n_sequences: int
    n_steps: int
    n_hidden: int
    size: int
    n_tokens: int

    def __str__(self) -> str:
        letters = zip("BTHDC", vars(self).values(), strict=True)
        return " ".join(f"{letter}{size}" for letter, size in letters)


LABELS = Shape(16, 100, 64, 16, 9)
WORDS = Shape(32, 40, 256, 128, 1000)
LARGE = Shape(16, 20, 256, 128, 20_000)


class World:
    """Seeded tokens and weights of one shape; half of the steps are teacher-forced."""

    def __init__(self, shape: Shape, device: str) -> None:
        torch.manual_seed(0)
        frames = (shape.n_sequences, shape.n_steps)
        self.features = torch.empty(*frames, 0, device=device)
        self.targets = torch.randint(shape.n_tokens, frames, device=device)
        self.mask = torch.rand(*frames) < 0.5
        self.noise = torch.rand(*frames, 1, device=device)
        self.table = torch.randn(shape.n_tokens, shape.size, device=device).requires_grad_()
        self.cell = nn.GRUCell(shape.size, shape.n_hidden).to(device)
        self.readout = nn.Linear(shape.n_hidden, shape.n_tokens).to(device)
        self.gru = nn.GRU(shape.size, shape.n_hidden, batch_first=True).to(device)

    def forward_and_backward(self, forward: Forward) -> None:
        """Run once with the cross-entropy, computing the gradients of all weights."""
        modules = (self.cell, self.readout, self.gru)
        for tensor in [self.table, *(p for module in modules for p in module.parameters())]:
            tensor.grad = None
        logits = forward(self).flatten(0, 1)
        nn.functional.cross_entropy(logits, self.targets.flatten()).backward()

    def run(self, mask: Tensor, backend: Any, feedback: Any = "hard") -> Tensor:
        """Run the recurrence forward."""
        return feedback_gru(
            self.features,
            self.targets,
            mask,
            self.cell,
            self.readout,
            backend,
            table=self.table,
            feedback=feedback,
            noise=self.noise,
        )


def _sedtf(world: World, backend: Any = "auto", feedback: Any = "hard") -> Tensor:
    return world.run(world.mask, backend, feedback)


def _forced(world: World, backend: Any = "auto") -> Tensor:
    return world.run(torch.ones_like(world.mask), backend)


def _forced_in_the_loop(world: World) -> Tensor:
    return _forced(world, "compiled" if world.features.device.type == "cpu" else "torch")


def _library(world: World) -> Tensor:
    known = embedding(world.targets[:, :-1], world.table)  # (B, T - 1, D)
    inputs = torch.cat([torch.zeros_like(known[:, :1]), known], dim=1)
    logits: Tensor = world.readout(world.gru(inputs)[0])
    return logits


FORWARDS: dict[str, Forward] = {
    "plain": partial(_sedtf, backend="plain"),
    "uncompiled": partial(_sedtf, backend="torch"),
    "sedtf hard": _sedtf,
    "sedtf sampled": partial(_sedtf, feedback="sampled"),
    "sedtf soft": partial(_sedtf, feedback="soft"),
    "torch.gru, all teacher": _library,
    "sedtf, all teacher": _forced,
    "sedtf, all teacher, in the loop": _forced_in_the_loop,
}


def measure(shape: Shape, arguments: argparse.Namespace) -> dict[str, object]:
    """Time all variants for one shape."""
    world = World(shape, arguments.device)
    seconds = medians(
        {name: partial(world.forward_and_backward, way) for name, way in FORWARDS.items()},
        repeats=arguments.repeats,
        budget=arguments.budget,
        clock=arguments.clock,
    )
    row: dict[str, object] = {"shape": str(shape)}
    row.update({f"{name} ms": 1e3 * value for name, value in seconds.items()})
    row["times faster than the plain loop"] = seconds["plain"] / seconds["sedtf hard"]
    row["of torch.gru"] = seconds["sedtf hard"] / seconds["torch.gru, all teacher"]
    return row


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    for forward in FORWARDS.values():  # compile everything before timing
        World(Shape(2, 2, 4, 3, 5), arguments.device).forward_and_backward(forward)
    print(machine())
    shapes = [LABELS] if arguments.quick else [LABELS, WORDS, LARGE]
    rows = [measure(shape, arguments) for shape in shapes]
    conditions = f"{arguments.threads} thread(s), {arguments.clock} time"
    title = f"Token recurrence, forward and backward, float32, {conditions}"
    print(write_table(arguments.output / "language", title, rows))


if __name__ == "__main__":
    main(options(__doc__ or ""))
