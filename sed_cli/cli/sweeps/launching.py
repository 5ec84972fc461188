"""The launcher of a sweep, and its number of parallel jobs."""

from __future__ import annotations

import importlib

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from sed_cli.cli.sweeps.local import LocalLauncher
from sed_cli.cli.task import HydraTask
from sed_cli.errors import UserError
from sed_cli.system.structured import why

_LAUNCHERS = (
    "sed_cli.cli.sweeps.local.LocalLauncher",
    "sed_cli.cli.sweeps.slurm.SlurmLauncher",
    "sed_cli.cli.sweeps.ray.RayLauncher",
)


def counts_of(settings: DictConfig, of: str, *keys: str) -> int | None:
    """Check counts that Hydra does not type-check, and return the last; None if it is not given.

    Raises:
        UserError: for a value that is not a whole number above 0.
    """
    value = None
    for key in keys:
        value = settings.get(key)
        if value is not None and (type(value) is not int or not 1 <= value < 2**31):
            raise UserError(f"hydra.{of}.{key}={value}: expected a whole number above 0, or null")
    return value


def make_launcher(config: DictConfig, context: HydraContext, task: HydraTask) -> Launcher:
    """Create the launcher that the configuration names: ours, or one of Hydra's plugins."""
    settings = dict(config.hydra.launcher)
    counts_of(config.hydra.launcher, "launcher", "workers", "threads")
    target = str(settings.pop("_target_"))
    if target not in _LAUNCHERS:
        try:
            return Plugins.instance().instantiate_launcher(
                hydra_context=context, task_function=task, config=config
            )
        except (HydraException, RuntimeError, TypeError) as error:
            raise UserError(f"hydra/launcher: {target} cannot be created ({why(error)})") from error
    module, _, name = target.rpartition(".")
    launcher: Launcher = getattr(importlib.import_module(module), name)(**settings)
    launcher.setup(hydra_context=context, task_function=task, config=config)
    return launcher


def parallel_of(config: DictConfig, launcher: Launcher) -> int | None:
    """Number of jobs that a launcher runs at a time; ``None`` if unknown."""
    if isinstance(launcher, LocalLauncher):
        return launcher.parallel
    if str(config.hydra.launcher._target_).endswith(".BasicLauncher"):
        return 1
    value = config.hydra.launcher.get("array_parallelism")
    return None if value is None else int(value)
