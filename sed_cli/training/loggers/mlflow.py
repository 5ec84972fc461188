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

_MOST_PARAMETERS = 100  # that a store takes at once
_LONGEST = 500  # characters of a value, as versions before 2.9 take


@component("logger", "mlflow")
class MLflow(Logger):
    """All columns and settings, where ``mlflow ui`` in the same folder finds them.

    MLFLOW_TRACKING_URI names another store, or a server; MLFLOW_EXPERIMENT_NAME another experiment
    than ``sedtf``.
    """

    PACKAGE: ClassVar[str] = "mlflow"
    EXTRA: ClassVar[str] = "mlflow"

    def start(self, run: LoggedRun) -> None:
        """Begin a run, or continue that of this folder; a copy of another's past is sent anew."""
        from mlflow import MlflowClient

        # A client, as mlflow's own functions share one active run in a process, and print.
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
        """Add a point a column."""
        self._log_row(epoch.row)

    def close(self) -> None:
        """Note how training has ended."""
        self._client.set_terminated(self._id, "FAILED" if self.has_failed else "FINISHED")

    def _is_reopened(self, run_id: str) -> bool:
        """Whether the store has the run: it may be another than that of the first epochs."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        return True

    def _log_settings(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        # An empty list or text is no value that all stores take.
        params = [Param(key, str(value)[:_LONGEST] or "''") for key, value in values.items()]
        for first in range(0, len(params), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=params[first : first + _MOST_PARAMETERS])

    def _log_row(self, row: Any) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)  # ms
        # What has no value, such as an epoch that was not validated, has no point.
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
