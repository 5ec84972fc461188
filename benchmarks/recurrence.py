"""What does the recurrence cost, forward and backward, against its references?

Every figure of sedtf is compared, in the same run, with the published per-sample loop, with
``torch.gru`` without feedback (which does less), and with the theoretical limits set by the
machine's own products and copies. Writes ``recurrence.{csv,md,png}``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot looks for a display

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from benchmarks.measure import Task, machine, medians, options, peak_memory, write_table
from benchmarks.published import per_sample_loop
from sed_cli.config.registry import components
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import feedback_gru, fused

Forward = Callable[["World"], Tensor]
Row = dict[str, object]


@dataclass(frozen=True)
class Shape:
    """Sizes of one problem; F is H, as after this project's convolutions."""

    n_sequences: int
    n_steps: int
    n_hidden: int
    n_classes: int

    def __str__(self) -> str:
        return f"B{self.n_sequences} T{self.n_steps} H{self.n_hidden} C{self.n_classes}"

    @property
    def flops(self) -> float:
        """Floating-point operations of the products, forward and backward (twice forward)."""
        weights = 3 * self.n_hidden * (2 * self.n_hidden + self.n_classes)
        weights += self.n_hidden * self.n_classes
        return 3 * 2.0 * self.n_sequences * self.n_steps * weights

    @property
    def frame_bytes(self) -> float:
        """Bytes of everything kept or returned per frame, times the frames: float32."""
        numbers = 9 * self.n_hidden + 2 * self.n_hidden + 3 * self.n_classes
        return 4.0 * self.n_sequences * self.n_steps * numbers


TUTORIAL = Shape(16, 107, 128, 6)
PAPER = Shape(8, 1024, 256, 16)
LARGEST = Shape(8, 4096, 512, 16)
MEMORIES: dict[str, FeedbackRule] = {
    name: component() for name, component in components("feedback").items() if component().remembers
}


class World:
    """Seeded inputs and weights of one shape."""

    def __init__(self, shape: Shape, device: str) -> None:
        torch.manual_seed(0)
        n_hidden, n_classes = shape.n_hidden, shape.n_classes
        frames = (shape.n_sequences, shape.n_steps)
        self.features = torch.randn(*frames, n_hidden, device=device).requires_grad_()
        self.targets = (torch.rand(*frames, n_classes, device=device) > 0.7).float()
        self.mask = torch.rand(*frames) < 0.5
        self.grad = torch.randn(*frames, n_classes, device=device)
        self.cell = nn.GRUCell(n_hidden + n_classes, n_hidden).to(device)
        self.cells = nn.ModuleDict(  # for feedback rules with memory
            {
                name: nn.GRUCell(n_hidden + rule.width * n_classes, n_hidden)
                for name, rule in MEMORIES.items()
            }
        ).to(device)
        self.readout = nn.Linear(n_hidden, n_classes).to(device)
        self.gru = nn.GRU(n_hidden, n_hidden, batch_first=True).to(device)

    def forward_and_backward(self, forward: Forward) -> None:
        """Run once, computing gradients of all weights and of the features."""
        modules = (self.cell, self.cells, self.readout, self.gru)
        for tensor in [self.features, *(p for module in modules for p in module.parameters())]:
            tensor.grad = None
        (forward(self) * self.grad).sum().backward()


def _published(world: World) -> Tensor:
    return per_sample_loop(world.features, world.targets, world.mask, world.cell, world.readout)


def _without_feedback(world: World) -> Tensor:
    logits: Tensor = world.readout(world.gru(world.features)[0])
    return logits


def _sedtf(world: World, backend: Any = "auto", mask: Tensor | None = None) -> Tensor:
    mask = world.mask if mask is None else mask
    return feedback_gru(world.features, world.targets, mask, world.cell, world.readout, backend)


def _forced(world: World) -> Tensor:
    return _sedtf(world, mask=torch.ones_like(world.mask))


def _remembering(world: World, name: str, backend: Any = "auto") -> Tensor:
    mask, cell = world.mask, world.cells[name]
    return feedback_gru(
        world.features,
        world.targets,
        mask,
        cell,  # type: ignore[arg-type]
        world.readout,
        backend,
        feedback=MEMORIES[name],
    )


FORWARDS: dict[str, Forward] = {
    "published": _published,
    "torch.gru": _without_feedback,
    "plain": partial(_sedtf, backend="plain"),
    "uncompiled": partial(_sedtf, backend="torch"),
    "sedtf": _sedtf,
    "all teacher": _forced,
    **{name: partial(_remembering, name=name) for name in MEMORIES},
    **{
        f"{name} uncompiled": partial(_remembering, name=name, backend="torch") for name in MEMORIES
    },
}


ON_A_GPU: dict[str, Forward] = {"triton": partial(_sedtf, backend="triton")}


def make_tasks(name: str, shape: Shape) -> tuple[Task, Task]:
    """Return two tasks for one variant, forward and backward: two steps, and the whole shape."""
    small, whole = World(replace(shape, n_steps=2), "cpu"), World(shape, "cpu")
    forward = FORWARDS[name]
    return partial(small.forward_and_backward, forward), partial(
        whole.forward_and_backward, forward
    )


def measure(shape: Shape, peaks: tuple[float, float], arguments: argparse.Namespace) -> Row:
    """Time all variants for one shape, and add the theoretical limits."""
    world = World(shape, arguments.device)
    ways = FORWARDS | (ON_A_GPU if arguments.device == "cuda" else {})
    seconds = medians(
        {name: partial(world.forward_and_backward, way) for name, way in ways.items()},
        repeats=arguments.repeats,
        budget=arguments.budget,
        clock=arguments.clock,
    )
    with torch.no_grad():
        inference = medians(
            {"inference": lambda: FORWARDS["sedtf"](world)},
            repeats=arguments.repeats,
            budget=arguments.budget,
            clock=arguments.clock,
        )
    row: Row = {"shape": str(shape)}
    row.update({f"{name} ms": 1e3 * value for name, value in (seconds | inference).items()})
    row["limit of products ms"] = 1e3 * shape.flops / peaks[0]
    row["limit of memory ms"] = 1e3 * shape.frame_bytes / peaks[1]
    row["times faster than published"] = seconds["published"] / seconds["sedtf"]
    row["of torch.gru"] = seconds["sedtf"] / seconds["torch.gru"]
    row["all teacher of torch.gru"] = seconds["all teacher"] / seconds["torch.gru"]
    row["uncompiled of torch.gru"] = seconds["uncompiled"] / seconds["torch.gru"]
    print(
        f"{shape}: {row['times faster than published']:.1f} times faster than published, "
        f"{row['of torch.gru']:.2f} of torch.gru",
        flush=True,
    )
    return row


def measure_memory(shape: Shape) -> Row:
    """Peak memory of each variant, beyond the start; and the value in the documentation."""
    n_hidden, n_classes = shape.n_hidden, shape.n_classes
    frames = shape.n_sequences * shape.n_steps
    of_block = fused.BLOCK_NUMBERS  # gradients
    said = 4.0 * (frames * (5 * n_hidden + n_hidden + 5 * n_classes) + of_block)
    row: Row = {"shape": str(shape)}
    for name in ("published", "torch.gru", "uncompiled", "sedtf"):
        row[f"{name} MB"] = peak_memory(make_tasks, name, shape) / 1e6
    row["5H + F + 5C numbers a frame and a block, MB"] = said / 1e6
    return row


def peak_rates(device: str, clock: str) -> tuple[float, float]:
    """Return this machine's rates: operations per second in a product, bytes per second copied."""
    a, b = torch.randn(2, 2048, 2048, device=device).unbind(0)
    source = torch.randn(1 << 26, device=device)
    target = torch.empty_like(source)
    seconds = medians(
        {"product": lambda: a @ b, "copy": lambda: target.copy_(source)},
        repeats=9,
        budget=10,
        clock=clock,
    )
    return 2.0 * 2048**3 / seconds["product"], 2.0 * 4 * source.numel() / seconds["copy"]


def shapes(quick: bool) -> tuple[list[Shape], list[Shape], list[Shape]]:
    """Return the reference shapes, the sweep over T and the sweep over B."""
    if quick:
        short = replace(PAPER, n_steps=128)
        return [TUTORIAL, short], [replace(short, n_steps=t) for t in (32, 64)], [short]
    over_steps = [replace(PAPER, n_steps=t) for t in (128, 256, 512, 1024, 2048, 4096)]
    over_sequences = [replace(PAPER, n_sequences=b, n_steps=256) for b in (1, 2, 4, 8, 16, 32, 64)]
    return [TUTORIAL, PAPER], over_steps, over_sequences


def draw(path: Path, over_steps: list[Row], over_sequences: list[Row]) -> None:
    """Draw cost against T and against B."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, rows, varied in ((axes[0], over_steps, 1), (axes[1], over_sequences, 0)):
        sizes = [str(row["shape"]).split() for row in rows]  # B.. T.. H.. C..
        x = [int(size[varied][1:]) for size in sizes]
        label = ("sequences B", "frames T")[varied] + f" ({sizes[0][1 - varied]})"
        for name in ("published", "torch.gru", "uncompiled", "sedtf", "limit of products"):
            style = ":" if name.startswith("limit") else "o-"
            ax.plot(x, [float(str(row[f"{name} ms"])) for row in rows], style, label=name)
        ax.set(xscale="log", yscale="log", xlabel=label, ylabel="ms, forward + backward")
        ax.set_xticks(x, [str(value) for value in x])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].legend(loc="upper left", fontsize=8)
    figure.suptitle(f"Feedback recurrence, H 256, C 16, float32; {machine()}", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the tables and the picture."""
    judged, over_steps, over_sequences = shapes(arguments.quick)
    if arguments.device == "cuda":
        judged += [replace(shape, n_sequences=64) for shape in judged[-1:]]
    peaks = peak_rates(arguments.device, arguments.clock)
    for forward in FORWARDS.values():  # compile everything before timing
        World(replace(TUTORIAL, n_steps=2), arguments.device).forward_and_backward(forward)
    print(f"{machine()}: {peaks[0] / 1e9:.0f} GFLOP/s in a product, {peaks[1] / 1e9:.1f} GB/s")
    by_shape: dict[Shape, Row] = {}
    conditions = f"{arguments.threads} thread(s), {arguments.clock} time"
    title = f"Recurrence, forward and backward, float32, {conditions}"
    folder = arguments.output
    largest = [] if arguments.quick else [LARGEST]
    for shape in dict.fromkeys([*judged, *over_sequences, *over_steps, *largest]):
        by_shape[shape] = measure(shape, peaks, arguments)
        table = write_table(folder / "recurrence", title, list(by_shape.values()))
    print(table)
    rows = [[by_shape[shape] for shape in sweep] for sweep in (over_steps, over_sequences)]
    draw(folder / "recurrence.png", *rows)
    if arguments.device == "cpu":
        memory = [measure_memory(shape) for shape in [TUTORIAL, *over_steps]]
        title = "Peak memory of one forward and backward pass"
        print(write_table(folder / "recurrence_memory", title, memory))


if __name__ == "__main__":
    main(options(__doc__ or ""))
