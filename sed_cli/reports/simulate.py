"""``sedtf simulate``: from its configuration to curves and teacher masks of samplers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from tqdm import tqdm

from sed_cli.config.provenance import RunRecord
from sed_cli.config.tools import SimulateConfig
from sed_cli.config.training import SamplerConfig
from sed_cli.config.values import vary_sampler
from sed_cli.reports.simulation import NamedCoins, simulate
from sed_cli.reports.tables import results_console
from sed_cli.sampling.teacher_mask import make_coins

log = logging.getLogger(__name__)

_BATCHES_PER_EPOCH = 50
_EPOCHS = 10  # for schedules that count updates, to show their effect


def simulate_config(config: SimulateConfig, run_dir: Path) -> None:
    """Do the work of ``sedtf simulate``, for several samplers if ``config.samplers`` names them."""
    with RunRecord(run_dir, "simulate", config, seed=config.seed):
        samplers = [
            NamedCoins(
                name=name,
                coins=make_coins(
                    sampler,
                    batches_per_epoch=config.n_batches or _BATCHES_PER_EPOCH,
                    seed=config.seed,
                ),
            )
            for name, sampler in _samplers(config).items()
        ]
        n_epochs = _EPOCHS if all(one.coins.unit == "update" for one in samplers) else 1
        with tqdm(leave=False, disable=None) as bar:

            def progress(stage: str, done: int, total: int) -> None:
                bar.set_description(stage, refresh=False)
                bar.total, bar.n = total, done
                bar.refresh()

            result = simulate(
                run_dir,
                samplers,
                n_batches=config.n_batches or _BATCHES_PER_EPOCH * n_epochs,
                batch_size=config.batch_size,
                n_steps=config.n_steps,
                n_classes=config.n_classes,
                animate=config.animate,
                progress=progress,
            )
        _print(result, run_dir)
        for caveat in sorted({s.coins.schedule.caveat for s in samplers} - {""}):
            log.warning("%s", caveat)


def _samplers(config: SimulateConfig) -> dict[str, SamplerConfig]:
    if not config.samplers:
        return {config.sampler.schedule: config.sampler}
    return {name: vary_sampler(config.sampler, change) for name, change in config.samplers.items()}


def _print(result: Mapping[str, Any], run_dir: Path) -> None:
    table = Table(
        title=f"{result['n_batches']} batches of {result['batch_size']} x {result['n_steps']} steps"
    )
    table.add_column("sampler")
    for heading in (
        "iterations",
        "p_teacher\nfirst",
        "p_teacher\nlast",
        "p_min (p_max)\nat iteration",
    ):
        table.add_column(heading, justify="right")
    table.add_column("target fed\nexpected", justify="right")
    table.add_column("target fed\ndrawn", justify="right")
    for sampler in result["samplers"]:
        rises = sampler["p_teacher_last"] > sampler["p_teacher_first"]
        reached = sampler["p_max_reached_at" if rises else "p_min_reached_at"]
        at = "never" if reached is None else str(reached)
        table.add_row(
            sampler["name"],
            str(sampler["n_iterations"]),
            f"{sampler['p_teacher_first']:.4f}",
            f"{sampler['p_teacher_last']:.4f}",
            f"({at})" if rises else at,
            f"{sampler['expected_fraction']:.4f}",
            f"{sampler['observed_fraction']:.4f}",
        )
    console = results_console()
    console.print(table)
    console.print(f"run folder: {run_dir}", highlight=False, soft_wrap=True)
