"""The base of metrics: counts of a recording, and figures computed from their sum.

Counts of recordings are added up, and figures are arithmetic on the sum: so folds can be joined,
and recordings resampled for confidence intervals, by adding counts. All lists of metrics are
derived from here: keys of ``metrics.json``, ``evaluation.metric``, tables, ``sedtf compare``,
reports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.registry import component_named, components
from sed_cli.config.settings import setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sed_cli.data.annotations import Event
    from sed_cli.metrics.counting import Active, Excerpt, Hits
    from sed_cli.metrics.detection import Bootstrap
    from sed_cli.metrics.totals import Totals


@dataclass(frozen=True)
class Figure:
    """A figure of a metric that tables show.

    Args:
        name: its key in ``metrics.json``.
        title: of its column.
        lower_is_better: as for an error rate.
        is_fraction: whether it lies from 0 to 1.
    """

    name: str
    title: str
    lower_is_better: bool = False
    is_fraction: bool = True


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A recording, as annotated and as detected.

    Args:
        classes: labels, in the order of the columns.
        duration_s: length in seconds.
        hop_s: seconds from one frame to the next.
        reference: annotated events.
        detected: detected events, with the times in ``events.tsv``, without those that are mostly
            in unannotated parts of their class.
        confidences: of these, in [0, 1].
        reference_frames: 0 or 1, (T, C).
        detected_frames: the same for detections, 0 where not annotated.
        probabilities: of the model, in [0, 1], (T, C), before decoding.
        evaluation: settings, with values of the run filled in.
        known: where the class is annotated, (T, C); ``None``: everywhere.
        clip_probabilities: of each class in the recording as a whole, in [0, 1], (C,); ``None``:
            ``probabilities`` pooled by linear softmax.
        all_detected: detected events including those in unannotated parts; ``None``: there are
            none.
        forced_frames: detections of the teacher-forced model; ``None`` if unknown.
    """

    classes: Sequence[str]
    duration_s: float
    hop_s: float
    reference: Sequence[Event]
    detected: Sequence[Event]
    confidences: Sequence[float]
    reference_frames: NDArray[np.uint8]
    detected_frames: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    evaluation: EvaluationConfig
    known: NDArray[np.bool_] | None = None
    clip_probabilities: NDArray[np.float32] | None = None
    all_detected: Sequence[Event] | None = None
    forced_frames: NDArray[np.bool_] | None = None

    @property
    def collar_s(self) -> float:
        """Tolerance of event times in seconds."""
        assert self.evaluation.collar_s is not None
        return self.evaluation.collar_s

    @property
    def bin_s(self) -> float:
        """Length of the time bins of ``bin_accuracy`` in seconds."""
        assert self.evaluation.bin_s is not None
        return self.evaluation.bin_s


@dataclass
class Metric(ABC):
    """A metric; its name is its key in ``metrics.json``, its docstring describes it."""

    KIND: ClassVar[str] = "metric"
    RESERVED: ClassVar[tuple[str, ...]] = (  # reserved keys of metrics.json
        *(
            "split",
            "n_files",
            "per_class",
            "collar_s",
            "bin_s",
            "bootstrap",
            "plain",
            "psds",
            "decoder",
            "onsets",
        ),
        *("thresholds", "filter_frames", "min_gap_s", "min_duration_s", "tuned_for", "tuning"),
    )

    ORDER: ClassVar[int] = 0  # order among built-in ones, which come before those of plugins
    TITLE: ClassVar[str]  # in tables, such as ``segment``
    COUNTED: ClassVar[str]  # counted items, in the plural, such as ``segments of 1 s``
    FIGURES: ClassVar[tuple[Figure, ...]]  # figures in tables, the deciding one first
    IN_SHORT: ClassVar[bool] = True  # whether narrow tables show it too
    TUNES: ClassVar[bool] = False  # whether ``evaluation.metric`` may name it
    IN_PLAIN: ClassVar[bool] = False  # whether it is also given for fixed thresholds of 0.5
    # Title of its column in the table of F1 and error rates; "": it is printed below that table.
    HEADING: ClassVar[str] = ""
    IN_DIAGNOSTICS: ClassVar[bool] = False  # whether only ``evaluation.diagnostics`` enables it
    NEEDS_FORCED: ClassVar[bool] = False  # whether it needs ``forced_frames``
    COLUMNS: ClassVar[tuple[str, ...]] = ()  # names of counts (n,) in ``metrics.json``

    name: str = setting()

    @abstractmethod
    def count(self, compared: Compared) -> Any:
        """Count a recording: numbers of any shape, the same for all recordings."""

    @abstractmethod
    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Figures of sums of counts (..., *shape), each (...); NaN if undefined."""

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Convert the counts of files to entries of ``metrics.json``.

        Args:
            counts: (n_files, *shape).
            classes: labels.
            bootstrap: for confidence intervals, which need at least two files; ``None``: none.

        Returns:
            Figures with ``counts`` and ``interval``; and by label those of each class.
        """
        from sed_cli.metrics.detection import bounds, figures_of_draws, number, quiet

        with quiet():
            total = counts.sum(axis=0)
            block: dict[str, Any] = {n: number(of) for n, of in self.figures(total).items()}
            block["counts"] = self.counts_as_json(total)
            if bootstrap is not None and bootstrap.n_samples and len(counts) > 1:
                anew = figures_of_draws(counts, bootstrap, self.figures)
                block["interval"] = {
                    name: [number(bound) for bound in bounds(values)]
                    for name, values in anew.items()
                }
        return block, {}

    def counts_as_json(self, counts: NDArray[Any]) -> Any:
        """Counts (*shape) in the form of ``metrics.json``."""
        values = counts.tolist()
        return dict(zip(self.COLUMNS, values, strict=True)) if self.COLUMNS else values

    def counts_from_json(self, values: Any) -> NDArray[Any]:
        """Undo :meth:`counts_as_json`."""
        import numpy as np

        return np.array([values[name] for name in self.COLUMNS] if self.COLUMNS else values)

    def read(self, metrics: Mapping[str, Any]) -> Totals:
        """Read the counts back from ``metrics.json``, so that those of folds can be joined."""
        from sed_cli.metrics.totals import SummedCounts

        return SummedCounts(self, self.counts_from_json(metrics[self.name]["counts"]))

    @property
    def by_seed(self) -> tuple[str, ...]:
        """Figures listed by ``sedtf compare`` for each seed."""
        return tuple(figure.name for figure in self.FIGURES)


class ClassMetric(Metric):
    """A metric with F1 and error rate: its counts are (1 + C, 4), of all classes, then of each.

    The last axis has true positives, annotated, detected, and substitutions.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "TITLE" in cls.__dict__:
            cls.FIGURES = Figure("f1", f"{cls.TITLE} F1"), Figure("er", f"{cls.TITLE} ER", True)
            cls.HEADING = cls.__dict__.get("HEADING", cls.TITLE.replace(" ", "\n", 1))

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """F1, precision, recall, error rate and its parts, of all classes together."""
        from sed_cli.metrics.detection import figures

        return figures(counts[..., 0, :])

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Micro averages with ``macro``, ``counts`` and ``interval``; and the same by label."""
        from sed_cli.metrics.detection import describe

        return describe(counts, classes, bootstrap)

    def read(self, metrics: Mapping[str, Any]) -> Totals:
        """Read the counts of all classes and of each."""
        from sed_cli.metrics.totals import DetectionScores, row_of

        return DetectionScores(
            row_of(metrics[self.name]["counts"]),
            {label: row_of(of[self.name]["counts"]) for label, of in metrics["per_class"].items()},
        )

    @property
    def by_seed(self) -> tuple[str, ...]:
        """F1 as a macro average too."""
        return "f1", "er", "macro_f1"


class TunableMetric(ClassMetric):
    """A metric that can be an objective of tuning."""

    TUNES: ClassVar[bool] = True
    BESIDE: ClassVar[str] = "event"  # the metric that must not get worse by tuning
    SHARE: ClassVar[float] = 0.5  # weight of its own F1 in the objective; the rest is the other's

    @abstractmethod
    def hits(self, active: Active, of: Excerpt, collar_s: float) -> Hits:
        """Count one class of a recording at many thresholds, like :meth:`count` for one.

        Args:
            active: (T, K), at K thresholds.
            of: annotations of the class.
            collar_s: tolerance of event times in seconds.
        """


def all_metrics() -> list[Metric]:
    """All metrics, in order."""
    return [cls() for cls in components("metric").values()]


def metric_named(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        ConfigError: if the name is unknown; the message lists the known names.
    """
    metric = component_named("metric", name)()
    assert isinstance(metric, Metric)
    return metric


def tunable(name: str) -> TunableMetric:
    """A metric that ``evaluation.metric`` may name."""
    metric = metric_named(name)
    assert isinstance(metric, TunableMetric)
    return metric
