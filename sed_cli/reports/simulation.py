"""A sampler by itself: its curve and its teacher masks, without a model.

Data are streamed or thinned, so that long runs need no more memory than short ones:

- ``curve.csv`` has every iteration, written in pieces of :data:`CHUNK` rows.
- Figures evaluate the curve at up to :data:`CURVE_POINTS` iterations, half of them evenly
  spaced and half geometrically, so that a steep start keeps its shape in a long run.
- A schedule that follows decoding steps has a probability for each step. A row of ``curve.csv`` has
  that of its time step or, if iterations are updates, the mean over the batch's steps; figures show
  that mean, with a band from the first step to the last.
- Teacher masks are really drawn, batch after batch with the samplers' own generators, and counted
  on the fly. If a run has more than :data:`MAX_BATCHES_DRAWN` batches or more than
  :data:`MAX_COINS_DRAWN` draws, only every n-th batch is drawn, each at its own p_teacher;
  ``simulation.json`` has their number.
- The animation keeps the tiles of at most 100 batches, at the size of the image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from sed_cli.errors import UserError
from sed_cli.reports.sampler_probabilities import Expected, Probabilities
from sed_cli.sampling.schedule import Schedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.files import replacing

CHUNK = 16_384
CURVE_POINTS = 2_000
MAX_BATCHES_DRAWN = 100_000
MAX_COINS_DRAWN = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class NamedCoins:
    """One of several samplers: its teacher mask, and its name in files and legends."""

    name: str
    coins: TeacherCoins


class Reporter(Protocol):
    """Called by :func:`simulate` with its progress: the stage, and the part done of its total."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    n_batches: int
    batch_size: int
    n_steps: int
    n_classes: int

    def iterations_per_batch(self, coins: TeacherCoins) -> int:
        return self.n_steps if coins.unit == "time_step" else 1

    def n_iterations(self, coins: TeacherCoins) -> int:
        return self.n_batches * self.iterations_per_batch(coins)

    def draw_stride(self) -> int:
        """Stride of batches that are drawn, so that a long run ends within minutes."""
        by_batches = math.ceil(self.n_batches / MAX_BATCHES_DRAWN)
        coins = self.batch_size * self.n_steps * self.n_classes
        most = max(_max_frames(), MAX_COINS_DRAWN // coins)
        return max(by_batches, math.ceil(self.n_batches / most))

    def frame_stride(self) -> int:
        """Stride of batches that are shown: a multiple of that of the drawn ones."""
        n_drawn = math.ceil(self.n_batches / self.draw_stride())
        return self.draw_stride() * math.ceil(n_drawn / _max_frames())


def _max_frames() -> int:
    from sed_cli.reports.teacher_masks import MAX_FRAMES

    return MAX_FRAMES


@dataclass(kw_only=True)
class _Moments:
    """Sums over a sampler's iterations, gathered while its rows are written."""

    n: int = 0
    p_first: float = math.nan
    p_last: float = math.nan
    p_min_at: int | None = None
    p_max_at: int | None = None
    n_tosses: int = 0
    p_sum: float = 0.0
    variance_sum: float = 0.0

    def add(self, p: NDArray[np.float64], bounds: tuple[float, float], tossed: Expected) -> None:
        """Add the next iterations, and the expectation of their draws."""
        if self.n == 0:
            self.p_first = float(p[0])
        self.p_last = float(p[-1])
        if self.p_min_at is None and bool((low := p <= bounds[0]).any()):
            self.p_min_at = self.n + int(low.argmax())
        if self.p_max_at is None and bool((high := p >= bounds[1]).any()):
            self.p_max_at = self.n + int(high.argmax())
        self.n_tosses += len(tossed.share)
        self.p_sum += float(tossed.share.sum())
        self.variance_sum += float(tossed.variance.sum())
        self.n += len(p)


@dataclass(kw_only=True)
class _Tosses:
    """Statistics of a sampler's draws."""

    n_fed: int = 0
    n_coins: int = 0
    n_batches: int = 0
    batches: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    tiles: list[NDArray[np.uint8]] = field(default_factory=list)
    p_shown: list[tuple[float, float, float]] = field(default_factory=list)  # first, last, curve


def simulate(
    folder: Path,
    samplers: Sequence[NamedCoins],
    *,
    n_batches: int,
    batch_size: int,
    n_steps: int,
    n_classes: int = 1,
    animate: bool = True,
    progress: Reporter | None = None,
) -> dict[str, Any]:
    """Write what the samplers do over a run: curve, teacher masks and figures.

    An iteration is what a sampler counts: a time step for ``unit="time_step"``, an update, that is
    a batch, for ``unit="update"``. All are counted from 0; the samplers are not changed.

    Args:
        folder: takes ``curve.csv`` (``iteration,p_teacher``, of several samplers with a third
            column ``sampler``, one after the other), ``curve.png``, ``forced_targets.gif`` and,
            last, ``simulation.json``. Created if missing.
        samplers: at least one; their names differ.
        n_batches: batches in the run, at least 1.
        batch_size: B, samples in a batch, at least 1.
        n_steps: T, time steps in a batch, at least 1.
        n_classes: C, at least 1; matters only to ``coin="class"``.
        animate: write ``forced_targets.gif``.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        Contents of ``simulation.json``: the sizes of the run, and of every sampler the settings,
        p_teacher at the first and last iteration, the iterations that first have p_min and p_max
        (None if none has), and the expected and the observed fraction of teacher-forced steps with
        the standard deviation of the latter by chance.

    Raises:
        UserError: without samplers, if two share a name, or if a size is below 1.
    """
    run = _Sizes(n_batches=n_batches, batch_size=batch_size, n_steps=n_steps, n_classes=n_classes)
    _check(samplers, run)
    tell = progress or (lambda stage, done, total: None)
    moments = _write_curves(folder / "curve.csv", samplers, run, tell)
    tosses = [
        _toss(sampler.coins, run, panel=k, n_panels=len(samplers), animate=animate, tell=tell)
        for k, sampler in enumerate(samplers)
    ]
    _draw_figures(folder, samplers, tosses, run, animate=animate, tell=tell)
    summary = {
        **asdict(run),
        "batches_per_frame": run.frame_stride() if animate else None,
        "samplers": [
            _summary(sampler, moment, toss, run)
            for sampler, moment, toss in zip(samplers, moments, tosses, strict=True)
        ],
    }
    with replacing(folder / "simulation.json") as temporary:
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return summary


def _check(samplers: Sequence[NamedCoins], run: _Sizes) -> None:
    if not samplers:
        raise UserError("no samplers: a simulation needs at least one")
    names = [sampler.name for sampler in samplers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"two samplers are named {twice[0]!r}: give each its own name, or their curves "
            "cannot be distinguished"
        )
    for name, value in asdict(run).items():
        if value < 1:
            raise UserError(f"{name}={value}: expected at least 1")


# --- the curve ---------------------------------------------------------------------------------


def _write_curves(
    path: Path, samplers: Sequence[NamedCoins], run: _Sizes, tell: Reporter
) -> list[_Moments]:
    several = len(samplers) > 1
    total = sum(run.n_iterations(sampler.coins) for sampler in samplers)
    done = 0
    all_moments = []
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write("iteration,p_teacher,sampler\n" if several else "iteration,p_teacher\n")
        for sampler in samplers:
            ending = f",{_quoted(sampler.name)}\n" if several else "\n"
            moments = _Moments()
            for p in _write_rows(file, sampler.coins, run, ending):
                schedule = sampler.coins.schedule
                bounds = schedule.p_min, schedule.p_max
                tossed = Probabilities(sampler.coins, run.n_steps).expected(moments.n, p)
                moments.add(p, bounds, tossed)
                tell("curve", done := done + len(p), total)
            all_moments.append(moments)
    return all_moments


def _write_rows(
    file: TextIO, coins: TeacherCoins, run: _Sizes, ending: str
) -> Iterator[NDArray[np.float64]]:
    """Write all rows of a sampler, and yield the probabilities piece by piece.

    ``repr`` gives the shortest digits that read back as the same number.
    """
    n_iterations = run.n_iterations(coins)
    probabilities = Probabilities(coins, run.n_steps)
    for start in range(0, n_iterations, CHUNK):
        stop = min(start + CHUNK, n_iterations)
        p = probabilities.rows(torch.arange(start, stop))
        if p[0] == p[-1] == p.min() == p.max():  # a settled curve: format the number only once
            tail = f",{float(p[0])!r}{ending}"
            file.write(tail.join(map(str, range(start, stop))) + tail)
        else:
            rows = zip(range(start, stop), p.tolist(), strict=True)
            file.write("".join([f"{i},{value!r}{ending}" for i, value in rows]))
        yield p


def _quoted(name: str) -> str:
    """``name`` as a CSV field."""
    if any(character in name for character in ',"\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name


# --- the draws ---------------------------------------------------------------------------------


def _toss(
    coins: TeacherCoins,
    run: _Sizes,
    *,
    panel: int,
    n_panels: int,
    animate: bool,
    tell: Reporter,
) -> _Tosses:
    """Draw the teacher masks of the run, count them, and keep the tiles of batches to show."""
    from sed_cli.reports.teacher_masks import MAX_PANELS, tile_grids

    grid = None
    if animate and panel < MAX_PANELS:
        n_shown = min(n_panels, MAX_PANELS)
        grid = tile_grids(n_shown, run.batch_size, run.n_steps)[panel]
    seen = _Tosses()
    before = coins.state_dict()
    try:
        for batch in range(0, run.n_batches, run.draw_stride()):
            coins.iteration = batch * run.iterations_per_batch(coins)
            is_shown = batch % run.frame_stride() == 0
            if is_shown:
                p = coins.probabilities(run.n_steps)
                now = p.mean() if coins.schedule.follows_steps else p[-1]
                seen.p_shown.append((float(p[0]), float(p[-1]), float(now)))
            mask = coins.draw(run.batch_size, run.n_steps, run.n_classes).numpy()
            n_fed = int(np.count_nonzero(mask))
            seen.n_fed += n_fed
            seen.n_coins += mask.size
            seen.n_batches += 1
            if is_shown:
                seen.batches.append(batch)
                seen.shares.append(n_fed / mask.size)
                if grid is not None:
                    seen.tiles.append(grid.shares(mask))
            tell("coins", panel * run.n_batches + batch + 1, n_panels * run.n_batches)
    finally:
        coins.load_state_dict(before)
    return seen


# --- figures and summary -----------------------------------------------------------------------


def _draw_figures(
    folder: Path,
    samplers: Sequence[NamedCoins],
    tosses: Sequence[_Tosses],
    run: _Sizes,
    *,
    animate: bool,
    tell: Reporter,
) -> None:
    from sed_cli.reports import teacher_masks
    from sed_cli.reports.sampler_curve import Curve, sampler_curve

    curves = []
    for sampler, toss in zip(samplers, tosses, strict=True):
        iterations = _thinned(run.n_iterations(sampler.coins))
        p_teacher, band = Probabilities(sampler.coins, run.n_steps).shown(iterations)
        curves.append(
            Curve(
                name=sampler.name,
                iterations=iterations,
                p_teacher=p_teacher,
                band=band,
                iterations_per_batch=run.iterations_per_batch(sampler.coins),
                batches_per_epoch=getattr(sampler.coins.schedule, "batches_per_epoch", None),
                batches=np.array(toss.batches),
                shares=np.array(toss.shares),
            )
        )
    sampler_curve(folder / "curve.png", curves)
    if not animate:
        return
    shown = tosses[: teacher_masks.MAX_PANELS]
    frames = [
        teacher_masks.CoinFrame(
            batch=batch,
            tiles=[toss.tiles[k] for toss in shown],
            p_first=[toss.p_shown[k][0] for toss in shown],
            p_last=[toss.p_shown[k][1] for toss in shown],
            p_curve=[toss.p_shown[k][2] for toss in shown],
        )
        for k, batch in enumerate(tosses[0].batches)
    ]
    teacher_masks.forced_targets(
        folder / "forced_targets.gif",
        curves,
        frames,
        n_steps=run.n_steps,
        batch_size=run.batch_size,
        n_batches=run.n_batches,
        n_classes=run.n_classes if any(s.coins.coin == "class" for s in samplers) else 1,
        progress=lambda done: tell("animation", done, len(frames)),
    )


def _thinned(n_iterations: int) -> NDArray[np.int64]:
    """At most :data:`CURVE_POINTS` iterations for the curve, including first and last."""
    if n_iterations <= CURVE_POINTS:
        return np.arange(n_iterations)
    even = np.linspace(0, n_iterations - 1, CURVE_POINTS // 2)
    geometric = np.geomspace(1, n_iterations - 1, CURVE_POINTS // 2)
    return np.unique(np.concatenate([even, geometric]).round().astype(np.int64))


def _summary(sampler: NamedCoins, moments: _Moments, toss: _Tosses, run: _Sizes) -> dict[str, Any]:
    coins = sampler.coins
    return {
        "name": sampler.name,
        "schedule": {"type": type(coins.schedule).__name__, **_settings(coins.schedule)},
        "unit": coins.unit,
        "coin": coins.coin,
        "n_iterations": moments.n,
        "p_teacher_first": moments.p_first,
        "p_teacher_last": moments.p_last,
        "p_min_reached_at": moments.p_min_at,
        "p_max_reached_at": moments.p_max_at,
        "expected_fraction": moments.p_sum / moments.n_tosses,
        "observed_fraction": toss.n_fed / toss.n_coins,
        "observed_std": _chance(coins, moments, toss, run),
        "n_batches_drawn": toss.n_batches,
    }


def _settings(schedule: Schedule) -> dict[str, Any]:
    shared = {"schedule", "unit", "coin", "feedback", "target_noise"}
    return {name: value for name, value in vars(schedule).items() if name not in shared}


def _chance(coins: TeacherCoins, moments: _Moments, toss: _Tosses, run: _Sizes) -> float:
    """Standard deviation of the observed fraction: n independent draws vary by p (1 - p) / n."""
    n_independent = toss.n_coins // (run.n_steps if coins.coin == "sequence" else 1)
    return math.sqrt(moments.variance_sum / moments.n_tosses / n_independent)
