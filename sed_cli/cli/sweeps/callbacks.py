"""Actions at the end of a sweep: name them under ``hydra.callbacks`` in a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sed_cli.cli.messages import say
from sed_cli.errors import UserError


class CompareAtEnd(Callback):
    """Compares the runs of a sweep, as ``sedtf compare`` does, in the folder ``comparison``."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the table, with its figures."""
        from sed_cli.comparison.compare import compare_runs
        from sed_cli.config.tools import CompareConfig

        sweep = Path(str(config.hydra.sweep.dir))
        folder = sweep / "comparison"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            compare_runs(CompareConfig(runs=[str(sweep)], output_dir=str(folder)), folder)
        except UserError as error:  # no run completed: the sweep has reported it
            say(str(error))
