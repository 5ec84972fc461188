"""The interface between sedtf's verbs and tasks: each task package provides one such object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    """Loaded data."""

    @property
    def fingerprint(self) -> str:
        """Hash of the contents; different data have a different one."""

    @property
    def facts(self) -> dict[str, Any]:
        """The entries for ``run.json``, including the fingerprint."""


class TaskPackage(ABC):
    """A task: the model, its data and its scores.

    Modules that need torch are imported inside the methods that use them.

    Attributes:
        config: class of its training settings.
        predict_settings: keys of ``sedtf predict`` that apply only to models of this task.
    """

    config: ClassVar[type[AnyTrainConfig]]
    predict_settings: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def load_data(self, config: Any, *, look_for_leaks: bool = True) -> Data:
        """Load the training data of a configuration.

        Args:
            config: of the run.
            look_for_leaks: warn about recordings that occur in two splits.

        Raises:
            UserError: if the data cannot be used.
            SedtfError: if there is no training data.
        """

    def prepared(
        self,
        config: Any,
        data: Any,
        device: torch.device,
        run_dir: Path,
        train: Callable[[Any, Any, Path], Any],
    ) -> Data:
        """Finish the data of a run, which may need other trainings first; every rank calls it.

        Args:
            config: of the run.
            data: from :meth:`load_data`.
            device: for training.
            run_dir: folder of the run, or of the earlier one that it resumes.
            train: trains with a configuration, on data, in a folder.
        """
        prepared: Data = data
        return prepared

    @abstractmethod
    def make(self, config: Any, data: Any, device: torch.device) -> Task[Any]:
        """Build the model of a configuration, with everything that training needs around it."""

    @abstractmethod
    def evaluate(self, config: EvalConfig, run_dir: Path) -> float | None:
        """Run ``sedtf eval``; return the figure that is optimised."""

    @abstractmethod
    def predict(self, config: PredictConfig) -> None:
        """Run ``sedtf predict``."""

    def report(self, config: ReportConfig, run_dir: Path) -> None:
        """Run ``sedtf report``."""
        folder = Path(config.run).expanduser()
        raise UserError(
            f"{folder}: a run of task={self.config.task}, for which sedtf report makes no page; "
            f"its figures are in {folder / 'figures'}, and sedtf compare compares it with others"
        )

    def label_model(self, checkpoint: str, kind: str) -> LabelModel:
        """Load a label model, for ``evaluation.decoder=language``."""
        raise UserError(
            f"{checkpoint}: a checkpoint of task={self.config.task}; expected a label model, "
            f"from sedtf train task=sequence data=labels"
        )

    @abstractmethod
    def scores(self, metrics: Mapping[str, Any]) -> dict[str, Totals]:
        """Counts in ``metrics.json``, by kind.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: if they do not belong to this task.
        """

    @abstractmethod
    def layout(self, metric: str) -> Layout:
        """Layout of a comparison; ``metric`` comes first, if the task offers a choice."""

    def convergence(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Convergence of the rows of a comparison, for ``comparison.json``; None: not measured."""
        return None

    def draw_convergence(self, comparison: Mapping[str, Any], path: Path) -> None:
        """Draw the result of :meth:`convergence`; does nothing for tasks that do not measure it."""
        return
