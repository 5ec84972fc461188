"""MLflow."""

from __future__ import annotations

import math
import os
import time
from typing import Any, ClassVar

from sed_cli.config.identity import flattened
from sed_cli.config.registry import component
from sed_cli.system.files import write_text
from sed_cli.system.structured import read_limited
from sed_cli.training.history import Epoch
from sed_cli.training.logger import LoggedRun, Logger

_MOST_PARAMETERS = 100  # limit of a store per request
_LONGEST = 500  # maximum characters of a value before version 2.9


@component("logger", "mlflow")
class MLflow(Logger):
    """All columns and settings, for ``mlflow ui`` in the same folder.

    MLFLOW_TRACKING_URI names another store, or a server; MLFLOW_EXPERIMENT_NAME replaces the
    experiment name ``sedtf``.
    """

    PACKAGE: ClassVar[str] = "mlflow"
    EXTRA: ClassVar[str] = "mlflow"

    def start(self, run: LoggedRun) -> None:
        """Start a run, or continue that of this folder; a copied folder resends its history."""
        from mlflow import MlflowClient

        # A client, since mlflow's functions share one active run per process, and print.
        self._client = MlflowClient()
        place = run.folder / "mlflow_run_id"
        known = read_limited(place, 1024).decode() if run.n_epochs and place.is_file() else ""
        if known and self._is_reopened(known):
            self._id = known
            return
        created = self._client.create_run(_experiment(self._client), run_name=run.folder.name)
        self._id = created.info.run_id
        write_text(place, self._id)
        self._log_settings(flattened(run.config))
        for row in run.rows or []:
            self._log_row(row)

    def log(self, epoch: Epoch) -> None:
        """Add one point per column."""
        self._log_row(epoch.row)

    def close(self) -> None:
        """Record the outcome of the training."""
        self._client.set_terminated(self._id, "FAILED" if self.has_failed else "FINISHED")

    def _is_reopened(self, run_id: str) -> bool:
        """Whether the store has the run: it may differ from that of the first epochs."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        return True

    def _log_settings(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        # Not all stores accept an empty list or text.
        params = [Param(key, str(value)[:_LONGEST] or "''") for key, value in values.items()]
        for first in range(0, len(params), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=params[first : first + _MOST_PARAMETERS])

    def _log_row(self, row: Any) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)  # ms
        # Missing values, such as validation in some epochs, have no point.
        metrics = [
            Metric(name, float(value), now, int(row["epoch"]))
            for name, value in row.items()
            if math.isfinite(value)
        ]
        self._client.log_batch(self._id, metrics=metrics)


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "sedtf")
    known = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if known is None else known.experiment_id)
