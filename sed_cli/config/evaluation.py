"""Settings of what follows a training: from probabilities to events, and what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sed_cli.config.registry import Names
from sed_cli.config.settings import DEFAULT, Role, Settings, range_faults, setting
from sed_cli.system.extras import missing

AFTER_TRAINING = Role.RESUMABLE | Role.FREE
_WIDEST_BEAM = 10_000
_LONGEST_TEXT = 1_000_000


@dataclass
class DecoderConfig(Settings, ABC):
    """What makes events of probabilities; which one, its ``name`` says."""

    KIND: ClassVar[str] = "decoder"

    ASKS_LANGUAGE: ClassVar[bool] = False
    """Whether it needs the model of labels that ``evaluation.language`` names."""

    HAS_THRESHOLDS: ClassVar[bool] = True
    """Whether it has thresholds of classes, by which false alarms are kept within a bound."""

    LEARNS_LENGTHS: ClassVar[bool] = False
    """Whether it learns durations and silences, so that no minimum of them is given."""

    SEPARATES: ClassVar[bool] = False
    """Whether it separates touching events of a class by itself, so that no onset splits them."""

    name: str = setting()

    def check(self, events: Sequence[Sequence[Any]], hop_s: float) -> None:
        """Refuse what it could not learn from, before a training begins.

        Args:
            events: of each recording of the training split.
            hop_s: seconds from one frame to the next.

        Raises:
            UserError: saying why, and what to do.
        """

    @abstractmethod
    def fit(self, task: Any) -> Any:
        """Make the decoder of a detector that is trained.

        Args:
            task: what is known then, a :class:`sed_cli.decoding.decoder.Fitting`. Nothing is tuned
                where its ``tunes`` is false.

        Returns:
            A :class:`sed_cli.decoding.decoder.Decoder`, with the component's name as its ``NAME``.
        """

    @classmethod
    @abstractmethod
    def read(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> Any:
        """Make the decoder again of what its ``as_json`` gave.

        Args:
            values: read from a checkpoint, whoever wrote it.
            classes: labels of the columns of probabilities.
            hop_s: seconds from one frame to the next.

        Raises:
            KeyError, TypeError, ValueError: for what ``as_json`` does not write.
        """


@dataclass
class EvaluationConfig(Settings):
    """From probabilities to events, and what is reported of them."""

    metric: str | None = setting(
        "frame",
        "objective of tuning thresholds and median filters on validation; frames and segments "
        "each together with events",
        choices=Names("metric", where="TUNES"),
        role=AFTER_TRAINING,
    )
    collar_s: float | None = setting(
        0.2,
        "tolerance of onsets and offsets of events",
        unit="s",
        above=0,
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    bin_s: float | None = setting(
        0.002,
        "length of the time bins of bin_accuracy",
        unit="s",
        at_least=0.0001,
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    tune: bool = setting(
        True,
        "tune thresholds and filters; false: a fixed threshold of 0.5 for all classes, no filter",
        role=AFTER_TRAINING,
    )
    min_gap_s: float | None = setting(
        0.0,
        "minimum gap: shorter silences within a class are filled",
        unit="s",
        at_least=0,
        role=AFTER_TRAINING,
    )
    min_duration_s: float | None = setting(
        0.0,
        "minimum duration: shorter events are dropped, after gaps are filled",
        unit="s",
        at_least=0,
        role=AFTER_TRAINING,
    )
    max_false_alarms_per_hour: float | None = setting(
        None,
        "bound on the false alarms of each class on validation; thresholds find as many events as "
        "it allows; null: thresholds are tuned for the metric",
        at_least=0,
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    calibrate: str | None = setting(
        "auto",
        "turn confidences of events into probabilities, on validation: none, temperature, "
        "isotonic; auto: whichever helps in cross-validation, if any",
        choices=("auto", "none", "temperature", "isotonic"),
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    bootstrap: int = setting(
        1000,
        "draws of the files for 95 % intervals; 0: no intervals",
        at_least=0,
        at_most=100_000,  # of which intervals are good to two digits and more
        role=AFTER_TRAINING,
    )
    bootstrap_seed: int = setting(0, "of these draws", at_least=0, role=AFTER_TRAINING)
    psds: bool = setting(
        False, "add PSDS and threshold-free curves (needs sedtf[psds])", role=AFTER_TRAINING
    )

    diagnostics: bool = setting(
        False,
        "add metrics of what feedback has learnt: exposure gap, fragmentation, transitions "
        "between classes, errors after an error (docs/evaluation.md)",
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    decoder: DecoderConfig | None = setting(
        None, "turns probabilities into events", role=AFTER_TRAINING, before=DEFAULT
    )

    language: str | None = setting(
        None,
        "for decoder=language: a run of task=sequence data=labels that scores the order of events",
        role=AFTER_TRAINING | Role.PATH,
        before=DEFAULT,
    )

    def faults(self, prefix: str = "evaluation.") -> list[str]:
        """Faults of ranges, of the decoder, and of a metric whose library is missing."""
        faults = range_faults(self, prefix)
        if self.decoder is not None:
            faults += self.decoder.faults(f"{prefix}decoder.")
            faults.require(
                self.language is not None or not self.decoder.ASKS_LANGUAGE,
                f"{prefix}decoder={self.decoder.name} needs a model of labels: train one with "
                f"sedtf train task=sequence data=labels, and give its run as {prefix}language=RUN",
            )
            bound = self.max_false_alarms_per_hour
            faults.require(
                self.decoder.HAS_THRESHOLDS or bound is None,
                f"{prefix}max_false_alarms_per_hour={bound}: {prefix}decoder={self.decoder.name} "
                f"has no thresholds to keep it by; choose another one, such as threshold",
            )
            for name in ("min_gap_s", "min_duration_s"):
                faults.require(
                    not (self.decoder.LEARNS_LENGTHS and getattr(self, name)),
                    f"{prefix}{name}={getattr(self, name)}: {prefix}decoder={self.decoder.name} "
                    f"learns durations and silences from the annotations; drop it, or choose "
                    f"another decoder",
                )
        faults.require(
            self.language is None or (self.decoder is not None and self.decoder.ASKS_LANGUAGE),
            f"{prefix}language={self.language} has no effect without {prefix}decoder=language",
        )
        faults.require(
            self.tune or self.max_false_alarms_per_hour is None,
            f"{prefix}max_false_alarms_per_hour={self.max_false_alarms_per_hour} asks for tuning "
            f"and {prefix}tune=false for none: drop one of the two",
        )
        if self.psds:
            faults += [
                f"{line} (it is compiled on installation, which takes a C compiler)"
                for line in missing(f"{prefix}psds=true", "sed_scores_eval", "psds")
            ]
        return faults


@dataclass
class SequenceEvaluationConfig(Settings):
    """What is reported of a sequence model beside its own figures."""

    ngrams: list[int] = setting(
        [1, 2, 3], "orders of the n-gram models for comparison; []: none", role=AFTER_TRAINING
    )
    beam_width: int = setting(
        5,
        "of the beam search for translations; 1: greedy alone",
        at_least=1,
        at_most=_WIDEST_BEAM,
        role=AFTER_TRAINING,
    )

    def faults(self, prefix: str = "evaluation.") -> list[str]:
        """Faults of ranges and of the orders."""
        faults = range_faults(self, prefix)
        orders = self.ngrams
        faults.require(
            len(set(orders)) == len(orders) and all(1 <= order <= 3 for order in orders),
            f"{prefix}ngrams={orders}: expected some of [1,2,3], or []",
        )
        return faults


@dataclass
class DecodingConfig(Settings):
    """How a sequence model continues a prefix."""

    method: str = setting(
        "greedy",
        "greedy (the likeliest token each time), sample, beam",
        choices=("greedy", "sample", "beam"),
    )
    temperature: float = setting(
        1.0, "of sample: below 1 favours likely tokens, above 1 unlikely ones", above=0
    )
    beam_width: int = setting(5, "of beam", at_least=1, at_most=_WIDEST_BEAM)
    n_best: int = setting(
        1, "continuations per line, for sample and beam", at_least=1, at_most=_LONGEST_TEXT
    )
    max_length: int = setting(
        100, "tokens after which a continuation is cut", at_least=1, at_most=_LONGEST_TEXT
    )
    seed: int = setting(0, "of sample", at_least=0)

    def faults(self, prefix: str = "decoding.") -> list[str]:
        """Faults of ranges, and of more continuations than the method finds."""
        faults = range_faults(self, prefix)
        most = {"greedy": 1, "beam": self.beam_width}.get(self.method, self.n_best)
        faults.require(
            self.n_best <= most,
            f"{prefix}n_best={self.n_best}, but {prefix}method={self.method} finds {most}: "
            f"choose sample or beam, or raise {prefix}beam_width",
        )
        return faults
