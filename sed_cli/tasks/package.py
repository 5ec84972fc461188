"""What sedtf's verbs ask of a task: each task package provides one object that answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.tools import PredictConfig, ReportConfig
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import UserError
from sed_cli.metrics.totals import Totals
from sed_cli.tasks.scores import Layout

if TYPE_CHECKING:
    import torch

    from sed_cli.decoding.language import LabelModel
    from sed_cli.training.task import Task


class Data(Protocol):
    """Data as they were loaded."""

    @property
    def fingerprint(self) -> str:
        """Of all that they hold: other data have another one."""

    @property
    def facts(self) -> dict[str, Any]:
        """What ``run.json`` tells of them, their fingerprint within."""


class TaskPackage(ABC):
    """A task: what is learnt, from which data, and how it is scored.

    Modules that need torch are imported where they are called.

    Attributes:
        config: settings of its training.
        predict_settings: keys of ``sedtf predict`` that are for its models alone.
    """

    config: ClassVar[type[AnyTrainConfig]]
    predict_settings: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def load_data(self, config: Any, *, look_for_leaks: bool = True) -> Data:
        """Read what the model of a configuration is trained on.

        Args:
            config: of the run.
            look_for_leaks: warn of what is in two splits.

        Raises:
            UserError: if the data cannot be used.
            SedtfError: if nothing is there to train on.
        """

    @abstractmethod
    def make(self, config: Any, data: Any, device: torch.device) -> Task[Any]:
        """Build the model of a configuration, and all that training asks for around it."""

    @abstractmethod
    def evaluate(self, config: EvalConfig, run_dir: Path) -> float | None:
        """Do the work of ``sedtf eval``; return the figure that is optimised."""

    @abstractmethod
    def predict(self, config: PredictConfig) -> None:
        """Do the work of ``sedtf predict``."""

    def report(self, config: ReportConfig, run_dir: Path) -> None:
        """Do the work of ``sedtf report``."""
        folder = Path(config.run).expanduser()
        raise UserError(
            f"{folder}: a run of task={self.config.task}, of which there is no page; its figures "
            f"are in {folder / 'figures'}, and sedtf compare compares it with others"
        )

    def label_model(self, checkpoint: str, kind: str) -> LabelModel:
        """Load a model of event labels, for ``evaluation.decoder=language``."""
        raise UserError(
            f"{checkpoint}: a checkpoint of task={self.config.task}; expected a model of labels, "
            f"from sedtf train task=sequence data=labels"
        )

    @abstractmethod
    def scores(self, metrics: Mapping[str, Any]) -> dict[str, Totals]:
        """Counts that ``metrics.json`` holds, by kind.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: if they are none of this task.
        """

    @abstractmethod
    def layout(self, metric: str) -> Layout:
        """What a comparison shows; ``metric``: what is compared first, where there is a choice."""

    def convergence(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """How soon the rows of a comparison learn, for ``comparison.json``; None: not told."""
        return None

    def draw_convergence(self, comparison: Mapping[str, Any], path: Path) -> None:
        """Draw what :meth:`convergence` found; a task that looks for none has none to draw."""
        return
