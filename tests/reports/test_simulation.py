"""The simulation against the schedule and the teacher masks that it uses."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from sed_cli.config.tools import SimulateConfig
from sed_cli.errors import UserError
from sed_cli.reports import simulation, style, teacher_masks
from sed_cli.reports.simulate import simulate_config
from sed_cli.reports.simulation import NamedCoins, simulate
from sed_cli.reports.teacher_masks import tile_grids
from sed_cli.sampling.schedule import Schedule
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.decoding_steps import DecodingStepsSchedule
from sed_cli.sampling.schedules.linear import LinearSchedule
from sed_cli.sampling.schedules.rising_linear import RisingLinearSchedule
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.sampling.teacher_mask import Coin, TeacherCoins, Unit

COLOURS = (
    style.BLUE,
    style.NEUTRAL,
)  # of a tile that is fed the ground truth, and of others
TUTORIAL = [(0.01, 0.05, 0.95), (0.02, 0.05, 0.9), (0.08, 0.025, 0.8), (0.1, 0.01, 0.7)]


def scheduled(gamma: float, p_min: float, p_max: float) -> ScheduledSampler:
    return ScheduledSampler(batches_per_epoch=50, gamma=gamma, p_min=p_min, p_max=p_max)


def coins_of(
    schedule: Schedule, *, unit: Unit = "time_step", coin: Coin = "step", seed: int = 3
) -> TeacherCoins:
    return TeacherCoins(schedule=schedule, unit=unit, coin=coin, seed=seed)


def read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def read_frames(path: Path) -> list[NDArray[np.uint8]]:
    with Image.open(path) as gif:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


@pytest.mark.parametrize(("gamma", "p_min", "p_max"), TUTORIAL)
def test_curve_file_is_the_closed_form_at_the_published_settings(
    tmp_path: Path, gamma: float, p_min: float, p_max: float
) -> None:
    sampler = NamedCoins(name="s", coins=coins_of(scheduled(gamma, p_min, p_max)))
    simulate(tmp_path, [sampler], n_batches=50, batch_size=16, n_steps=107, animate=False)
    header, *rows = read_rows(tmp_path / "curve.csv")
    assert header == ["iteration", "p_teacher"]
    assert [int(row[0]) for row in rows] == list(range(50 * 107))
    p = np.array([float(row[1]) for row in rows])
    i = np.arange(50 * 107)
    formula = np.minimum(p_max, 1 - np.minimum(1 - p_min, 2 / (1 + np.exp(-gamma * i / 50)) - 1))
    # Both are float64; they differ by the roundings of exp against tanh, a few 1e-16.
    np.testing.assert_allclose(p, formula, rtol=0, atol=1e-15)
    # As written: exactly the numbers of the schedule.
    assert np.array_equal(p, sampler.coins.schedule.probability(torch.arange(len(i))).numpy())


def test_several_samplers_follow_each_other_under_their_names(tmp_path: Path) -> None:
    names = ['a "quoted", name', "b"]
    samplers = [
        NamedCoins(name=names[0], coins=coins_of(scheduled(0.1, 0.05, 0.9))),
        NamedCoins(name=names[1], coins=coins_of(ConstantSchedule(p=0.5), unit="update")),
    ]
    simulate(tmp_path, samplers, n_batches=4, batch_size=2, n_steps=5, animate=False)
    header, *rows = read_rows(tmp_path / "curve.csv")
    assert header == ["iteration", "p_teacher", "sampler"]
    # 4 batches are 20 time steps, but 4 updates.
    assert [row[2] for row in rows] == [names[0]] * 20 + [names[1]] * 4
    assert [int(row[0]) for row in rows] == [*range(20), *range(4)]
    assert {row[1] for row in rows[20:]} == {"0.5"}


@pytest.mark.parametrize("coin", ["step", "sequence", "class"])
@pytest.mark.parametrize("unit", ["update", "time_step"])
def test_observed_fraction_agrees_with_the_schedule(tmp_path: Path, unit: Unit, coin: Coin) -> None:
    n_batches, batch_size, n_steps, n_classes = 60, 32, 20, 3
    schedule = LinearSchedule(c=0.01 if unit == "update" else 0.0005, p_min=0.1)
    summary = simulate(
        tmp_path,
        [NamedCoins(name="s", coins=coins_of(schedule, unit=unit, coin=coin))],
        n_batches=n_batches,
        batch_size=batch_size,
        n_steps=n_steps,
        n_classes=n_classes,
        animate=False,
    )
    result = summary["samplers"][0]
    batch = np.arange(n_batches)[:, None]
    step = np.arange(n_steps) if coin != "sequence" else np.zeros(n_steps)
    i = batch + 0 * step if unit == "update" else batch * n_steps + step
    p = np.maximum(0.1, 1 - schedule.c * i)
    assert result["expected_fraction"] == pytest.approx(p.mean(), abs=1e-12)
    # Independent draws: each variance p (1 - p), n of them; 4.5 deviations are missed by chance
    # once in 150,000 seeds, and the seed is fixed.
    n_coins = batch_size * n_batches * {"step": n_steps, "sequence": 1, "class": n_steps * 3}[coin]
    deviation = np.sqrt((p * (1 - p)).mean() / n_coins)
    assert result["observed_std"] == pytest.approx(deviation, rel=1e-9)
    assert abs(result["observed_fraction"] - p.mean()) < 4.5 * deviation


@pytest.mark.parametrize("coin", ["step", "sequence"])
@pytest.mark.parametrize("unit", ["update", "time_step"])
def test_decoding_steps_are_expected_and_drawn_alike(
    tmp_path: Path, unit: Unit, coin: Coin
) -> None:
    n_batches, batch_size, n_steps = 40, 64, 20
    schedule = DecodingStepsSchedule(base=0.9, k=8.0 if unit == "update" else 60.0)
    summary = simulate(
        tmp_path,
        [NamedCoins(name="s", coins=coins_of(schedule, unit=unit, coin=coin))],
        n_batches=n_batches,
        batch_size=batch_size,
        n_steps=n_steps,
        n_classes=2,
        animate=False,
    )
    result = summary["samplers"][0]
    batch, step = np.arange(n_batches)[:, None], np.arange(n_steps)

    def p_at(counted: NDArray[np.int64]) -> NDArray[np.float64]:
        i = batch + 0 * counted if unit == "update" else batch * n_steps + counted
        return np.array(0.9 ** (step * (1 - schedule.k / (schedule.k + np.exp(i / schedule.k)))))

    p = p_at(0 * step if coin == "sequence" else step)
    assert result["expected_fraction"] == pytest.approx(p.mean(), abs=1e-12)
    if coin == "sequence":  # the share of a sequence is that of the steps whose p is above its draw
        lower = np.minimum(p[:, :, None], p[:, None, :]).mean(axis=(1, 2))
        deviation = np.sqrt((lower - p.mean(axis=1) ** 2).mean() / (batch_size * n_batches))
    else:
        deviation = np.sqrt((p * (1 - p)).mean() / (batch_size * n_batches * n_steps))
    assert result["observed_std"] == pytest.approx(deviation, rel=1e-9)
    assert abs(result["observed_fraction"] - p.mean()) < 4.5 * deviation
    rows = [float(row[1]) for row in read_rows(tmp_path / "curve.csv")[1:]]
    expected = p_at(0 * step).mean(axis=1) if unit == "update" else p_at(step).flatten()
    np.testing.assert_allclose(rows, expected, atol=1e-12)


def test_summary_file_has_what_was_returned(tmp_path: Path) -> None:
    samplers = [
        NamedCoins(name="falls", coins=coins_of(LinearSchedule(c=0.01, p_min=0.25))),
        NamedCoins(name="stays", coins=coins_of(ConstantSchedule(p=0.5))),
        NamedCoins(name="rises", coins=coins_of(RisingLinearSchedule(c=0.01, p_max=0.75))),
    ]
    summary = simulate(tmp_path, samplers, n_batches=10, batch_size=2, n_steps=10, animate=False)
    assert json.loads((tmp_path / "simulation.json").read_text("utf-8")) == summary
    falls, stays, rises = summary["samplers"]
    assert falls["p_min_reached_at"] == 75  # 1 - 0.01 i = 0.25
    assert falls["p_teacher_first"] == 1.0
    assert falls["p_teacher_last"] == 0.25
    assert falls["n_iterations"] == 100
    assert falls["schedule"] == {
        "type": "LinearSchedule",
        "p_min": 0.25,
        "p_max": 1.0,
        "k": 1.0,
        "c": 0.01,
    }
    assert stays["p_min_reached_at"] is None
    assert (falls["p_max_reached_at"], stays["p_max_reached_at"]) == (0, None)
    assert (rises["p_min_reached_at"], rises["p_max_reached_at"]) == (0, 75)


def test_samplers_are_not_changed(tmp_path: Path) -> None:
    coins, twin = (coins_of(scheduled(0.1, 0.05, 0.9)) for _ in range(2))
    simulate(
        tmp_path,
        [NamedCoins(name="s", coins=coins)],
        n_batches=3,
        batch_size=2,
        n_steps=5,
        animate=False,
    )
    assert coins.iteration == 0
    assert torch.equal(coins.draw(4, 9, 1), twin.draw(4, 9, 1))


# --- bounded memory ------------------------------------------------------------------------------


def peak_of(folder: Path, n_batches: int) -> int:
    # Falling at first, since those rows cost most; then settled, since tracing a row is slow.
    sampler = NamedCoins(name="s", coins=coins_of(LinearSchedule(c=2e-5)))
    tracemalloc.start()
    try:
        simulate(folder, [sampler], n_batches=n_batches, batch_size=1, n_steps=1000, animate=False)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chunk", "n_short"),
    [
        pytest.param(1_000, 15, id="small_pieces"),
        # 10^5 against 10^6 iterations as shipped; tracing makes a million rows slow.
        pytest.param(simulation.CHUNK, 100, id="as_shipped", marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, n_short: int
) -> None:
    monkeypatch.setattr(simulation, "CHUNK", chunk)
    monkeypatch.setattr(simulation, "CURVE_POINTS", 100)  # else the picture hides the cost of rows
    peak_of(tmp_path / "warm", 15)  # imports and caches of the first use do not count
    short, long = (peak_of(tmp_path / str(n), n) for n in (n_short, 10 * n_short))
    # A fifth for variation between runs; growth with the length would be tenfold.
    assert long < 1.2 * short
    assert len((tmp_path / str(10 * n_short) / "curve.csv").read_bytes().splitlines()) == (
        10_000 * n_short + 1
    )


def test_very_long_runs_draw_every_nth_batch_at_its_own_probability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "MAX_BATCHES_DRAWN", 250)
    sampler = NamedCoins(name="s", coins=coins_of(LinearSchedule(c=1e-3), unit="update"))
    summary = simulate(
        tmp_path, [sampler], n_batches=1000, batch_size=64, n_steps=10, animate=False
    )
    result = summary["samplers"][0]
    assert result["n_batches_drawn"] == 250
    assert result["n_iterations"] == 1000
    # Drawing the first 250 batches instead would give 0.875; 5 deviations of chance are 0.0055,
    # and every fourth batch from the first leans 0.0015 to the start.
    assert result["observed_fraction"] == pytest.approx(0.5005, abs=0.007)


# --- the animation -------------------------------------------------------------------------------


def test_tiles_show_the_mask_of_the_same_seed(tmp_path: Path) -> None:
    schedule = LinearSchedule(c=0.02, p_min=0.1)
    sampler = NamedCoins(name="s", coins=coins_of(schedule))
    simulate(tmp_path, [sampler], n_batches=4, batch_size=5, n_steps=12)
    frames = read_frames(tmp_path / "forced_targets.gif")
    assert len(frames) == 4
    twin = coins_of(schedule)
    grid = tile_grids(1, 5, 12)[0]
    fed, own = (np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in COLOURS)
    for frame in frames:
        mask = twin.draw(5, 12, 1).numpy()
        for row, column in np.ndindex(5, 12):
            x, y = grid.centre(row, column)
            assert np.array_equal(frame[y, x], fed if mask[row, column] else own)


def test_each_panel_shows_its_own_sampler(tmp_path: Path) -> None:
    ps = [1.0, 0.0, 1.0, 0.0, 1.0]
    samplers = [
        NamedCoins(name=f"s{k}", coins=coins_of(ConstantSchedule(p=p))) for k, p in enumerate(ps)
    ]
    simulate(tmp_path, samplers, n_batches=2, batch_size=3, n_steps=150)
    frames = read_frames(tmp_path / "forced_targets.gif")
    grids = tile_grids(4, 3, 150)
    for p, grid in zip(ps[:4], grids, strict=True):
        x, y = grid.centre(2, 149)
        colour = COLOURS[0] if p else COLOURS[1]
        assert "#{:02X}{:02X}{:02X}".format(*frames[-1][y, x]) == colour


@pytest.mark.parametrize(
    ("n_batches", "n_frames", "stride"), [(1, 1, 1), (10, 10, 1), (11, 6, 2), (95, 10, 10)]
)
def test_animation_strides_over_the_batches_of_long_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_batches: int, n_frames: int, stride: int
) -> None:
    assert teacher_masks.MAX_FRAMES == 100
    monkeypatch.setattr(teacher_masks, "MAX_FRAMES", 10)  # drawing a hundred takes seconds
    sampler = NamedCoins(name="s", coins=coins_of(ConstantSchedule(p=1.0)))
    summary = simulate(tmp_path, [sampler], n_batches=n_batches, batch_size=1, n_steps=2)
    # Equal masks must not be merged into one frame either.
    with Image.open(tmp_path / "forced_targets.gif") as gif:
        assert getattr(gif, "n_frames", 1) == n_frames
    assert summary["batches_per_frame"] == stride


@pytest.mark.parametrize(("n_samples", "n_steps"), [(1, 1), (16, 107), (300, 5000), (7, 921)])
@pytest.mark.parametrize("n_panels", [1, 2, 3, 4])
def test_panels_keep_the_share_of_fed_steps_and_do_not_overlap(
    n_panels: int, n_samples: int, n_steps: int
) -> None:
    grids = tile_grids(n_panels, n_samples, n_steps)
    mask = np.random.default_rng(0).random((n_samples, n_steps)) < 0.3
    taken = np.zeros((1200, 1200), dtype=int)
    for grid in grids:
        shares = grid.shares(mask)
        assert shares.shape == (grid.n_rows, grid.n_columns)
        assert grid.picture(shares).shape == (grid.height, grid.width, 3)
        # Groups differ in size by one at most, so that their mean is close to the mean of all:
        # within the chance of 35 tiles or more that differ in weight, and rounding to 1/255.
        assert abs(shares.mean() / 255 - mask.mean()) < 0.01
        taken[grid.top : grid.top + grid.height, grid.left : grid.left + grid.width] += 1
    assert taken.max() == 1


# --- failure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing_stage", ["curve", "coins", "animation"])
def test_failure_leaves_no_half_file(tmp_path: Path, failing_stage: str) -> None:
    sampler = NamedCoins(name="s", coins=coins_of(scheduled(0.1, 0.05, 0.9)))

    def fail(stage: str, done: int, total: int) -> None:
        if stage == failing_stage:
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        simulate(tmp_path, [sampler], n_batches=3, batch_size=2, n_steps=4, progress=fail)
    curve = {"curve.csv", "curve.png", "curve.pdf"}
    whole = {"curve": set(), "coins": {"curve.csv"}, "animation": curve}
    assert {path.name for path in tmp_path.iterdir()} == whole[failing_stage]
    assert sampler.coins.iteration == 0


def test_failure_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("old", encoding="utf-8")
    sampler = NamedCoins(name="s", coins=coins_of(scheduled(0.1, 0.05, 0.9)))

    def fail(stage: str, done: int, total: int) -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        simulate(tmp_path, [sampler], n_batches=3, batch_size=2, n_steps=4, progress=fail)
    assert (tmp_path / "curve.csv").read_text("utf-8") == "old"


@pytest.mark.parametrize(
    ("names", "n_steps", "message"),
    [([], 1, "at least one"), (["a", "a"], 1, "'a'"), (["a"], 0, "n_steps=0")],
)
def test_unusable_input_is_named(
    tmp_path: Path, names: list[str], n_steps: int, message: str
) -> None:
    samplers = [NamedCoins(name=name, coins=coins_of(ConstantSchedule(p=1.0))) for name in names]
    with pytest.raises(UserError, match=message):
        simulate(tmp_path, samplers, n_batches=1, batch_size=1, n_steps=n_steps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("unit", "n_batches", "p_last"), [("update", 500, 0.998), ("time_step", 50, 1.0)]
)
def test_a_rising_line_reaches_its_end_by_default(
    tmp_path: Path, unit: str, n_batches: int, p_last: float
) -> None:
    sampler = RisingLinearSchedule(unit=unit)
    config = SimulateConfig(output_dir=str(tmp_path), sampler=sampler, n_steps=11, animate=False)
    simulate_config(config, tmp_path)
    written = json.loads((tmp_path / "simulation.json").read_text())
    assert written["n_batches"] == n_batches
    assert written["samplers"][0]["p_teacher_last"] == pytest.approx(p_last)
