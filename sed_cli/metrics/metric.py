"""What a metric is: what it counts of a recording, and which figures follow from the sum.

Counts of recordings are added up, and figures are arithmetic on the sum: so folds can be joined,
and recordings drawn anew for confidence intervals, by adding counts. All that lists metrics derives
it from here: keys of ``metrics.json``, ``evaluation.metric``, tables, ``sedtf compare``, reports.
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
        lower_is_better: as of an error rate.
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
        detected: detected events, with the times that ``events.tsv`` has; those left out that lie
            mostly where nobody annotated their class.
        confidences: of these, in [0, 1].
        reference_frames: 0 or 1, (T, C).
        detected_frames: the same of what was detected, 0 where nobody annotated.
        probabilities: of the model, in [0, 1], (T, C), before a decoder makes anything of them.
        evaluation: settings; what ``sedtf eval`` may leave to the run is filled in.
        known: where the class is annotated, (T, C); ``None``: everywhere.
        clip_probabilities: of each class in the recording as a whole, in [0, 1], (C,); ``None``:
            ``probabilities`` pooled by linear softmax.
        all_detected: the events that lie elsewhere among them; ``None``: there are none.
        forced_frames: what was detected where the model was fed the ground truth; ``None`` where
            that is not known.
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
        """Seconds that an event may be off."""
        assert self.evaluation.collar_s is not None
        return self.evaluation.collar_s

    @property
    def bin_s(self) -> float:
        """Length of the time bins of ``bin_accuracy`` in seconds."""
        assert self.evaluation.bin_s is not None
        return self.evaluation.bin_s


@dataclass
class Metric(ABC):
    """A metric; its name is its key in ``metrics.json``, its docstring says what it looks at."""

    KIND: ClassVar[str] = "metric"
    RESERVED: ClassVar[tuple[str, ...]] = (  # keys of metrics.json that are no metric's
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

    ORDER: ClassVar[int] = 0  # place among ours, which come before those of plugins
    TITLE: ClassVar[str]  # in tables, such as ``segment``
    COUNTED: ClassVar[str]  # what is counted, in the plural, such as ``segments of 1 s``
    FIGURES: ClassVar[tuple[Figure, ...]]  # that tables show, the one that decides first
    IN_SHORT: ClassVar[bool] = True  # whether tables with little room show it too
    TUNES: ClassVar[bool] = False  # whether ``evaluation.metric`` may name it
    IN_PLAIN: ClassVar[bool] = False  # whether it is given for fixed thresholds of 0.5 as well
    # Of its column in the table of F1 and error rates; "": it is printed beneath that table.
    HEADING: ClassVar[str] = ""
    IN_DIAGNOSTICS: ClassVar[bool] = False  # whether ``evaluation.diagnostics`` asks for it alone
    NEEDS_FORCED: ClassVar[bool] = False  # whether it looks at ``forced_frames``
    COLUMNS: ClassVar[tuple[str, ...]] = ()  # names of counts (n,) in ``metrics.json``

    name: str = setting()

    @abstractmethod
    def count(self, compared: Compared) -> Any:
        """Count a recording: numbers of any shape, the same for all recordings."""

    @abstractmethod
    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Figures of sums of counts (..., *shape), each (...); not-a-number without a base."""

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Turn the counts of files into what ``metrics.json`` holds of them.

        Args:
            counts: (n_files, *shape).
            classes: labels.
            bootstrap: for confidence intervals, which take two files at least; ``None``: none.

        Returns:
            Figures with ``counts`` and ``interval``; and by label what there is of each class.
        """
        from sed_cli.metrics.detection import bounds, drawn, number, quiet

        with quiet():
            total = counts.sum(axis=0)
            block: dict[str, Any] = {n: number(of) for n, of in self.figures(total).items()}
            block["counts"] = self.counts_as_json(total)
            if bootstrap is not None and bootstrap.n_samples and len(counts) > 1:
                anew = self.figures(drawn(counts, bootstrap))
                block["interval"] = {
                    name: [number(bound) for bound in bounds(values)]
                    for name, values in anew.items()
                }
        return block, {}

    def counts_as_json(self, counts: NDArray[Any]) -> Any:
        """Counts (*shape) as ``metrics.json`` holds them."""
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
        """Figures that ``sedtf compare`` lists for each seed."""
        return tuple(figure.name for figure in self.FIGURES)


class ClassMetric(Metric):
    """A metric with F1 and error rate: it counts (1 + C, 4), of all classes, then of each.

    The last axis has true positives, what is annotated, what was detected, and substitutions.
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
    """A metric that thresholds and median filters can be tuned for."""

    TUNES: ClassVar[bool] = True
    BESIDE: ClassVar[str] = "event"  # the metric that must not get worse meanwhile
    SHARE: ClassVar[float] = 0.5  # of its own F1 in what is maximised; the rest is the other's

    @abstractmethod
    def hits(self, active: Active, of: Excerpt, collar_s: float) -> Hits:
        """Count one class of a recording at many thresholds, as :meth:`count` does for one.

        Args:
            active: (T, K), at K thresholds.
            of: what is annotated of the class.
            collar_s: seconds that an event may be off.
        """


def all_metrics() -> list[Metric]:
    """All there are, in their order."""
    return [cls() for cls in components("metric").values()]


def metric_named(name: str) -> Metric:
    """A metric by its name.

    Raises:
        ConfigError: if there is none of the name; it lists those there are.
    """
    metric = component_named("metric", name)()
    assert isinstance(metric, Metric)
    return metric


def tunable(name: str) -> TunableMetric:
    """A metric that ``evaluation.metric`` may name."""
    metric = metric_named(name)
    assert isinstance(metric, TunableMetric)
    return metric
