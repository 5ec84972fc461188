"""Settings of evaluation: decoding of probabilities into events, and metrics."""

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
    """Turns probabilities into events; ``name`` selects the decoder."""

    KIND: ClassVar[str] = "decoder"

    ASKS_LANGUAGE: ClassVar[bool] = False
    """Whether it needs the language model that ``evaluation.language`` names."""

    HAS_THRESHOLDS: ClassVar[bool] = True
    """Whether it has thresholds per class, which can bound the false alarms."""

    LEARNS_LENGTHS: ClassVar[bool] = False
    """Whether it learns durations and silences, so that no minimum can be set."""

    SEPARATES: ClassVar[bool] = False
    """Whether it separates touching events of a class without predicted onsets."""

    name: str = setting()

    def check(self, events: Sequence[Sequence[Any]], hop_s: float) -> None:
        """Reject unsuitable annotations before training starts.

        Args:
            events: of each recording of the training split.
            hop_s: seconds from one frame to the next.

        Raises:
            UserError: with the reason and the remedy.
        """

    @abstractmethod
    def fit(self, task: Any) -> Any:
        """Create the decoder of a trained detector.

        Args:
            task: data to fit it to, a :class:`sed_cli.decoding.decoder.Fitting`. Nothing is tuned
                if its ``tunes`` is false.

        Returns:
            A :class:`sed_cli.decoding.decoder.Decoder`, with the component's name as its ``NAME``.
        """

    @classmethod
    @abstractmethod
    def read(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> Any:
        """Restore the decoder from the output of its ``as_json``.

        Args:
            values: read from a checkpoint, which may be untrusted.
            classes: labels of the columns of probabilities.
            hop_s: seconds from one frame to the next.

        Raises:
            KeyError, TypeError, ValueError: for values that ``as_json`` does not write.
        """


@dataclass
class EvaluationConfig(Settings):
    """Decoding into events, and metrics."""

    metric: str | None = setting(
        "frame",
        "objective of tuning thresholds and median filters on validation; frames and segments "
        "each together with events",
        choices=Names("metric", where="TUNES"),
        role=AFTER_TRAINING,
    )
    collar_s: float | None = setting(
        0.2,
        "tolerance for onsets and offsets of events",
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
        "maximum false alarms of each class on validation; thresholds find as many events as it "
        "allows; null: thresholds are tuned for the metric",
        at_least=0,
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    calibrate: str | None = setting(
        "auto",
        "calibrate the confidences of events on validation: none, temperature, "
        "isotonic; auto: whichever helps in cross-validation, if any",
        choices=("auto", "none", "temperature", "isotonic"),
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    bootstrap: int = setting(
        1000,
        "bootstrap draws of the files for 95 % intervals; 0: no intervals",
        at_least=0,
        at_most=100_000,  # enough for intervals with two significant digits
        role=AFTER_TRAINING,
    )
    bootstrap_seed: int = setting(0, "seed of the bootstrap draws", at_least=0, role=AFTER_TRAINING)
    psds: bool = setting(
        False, "add PSDS and threshold-free curves (needs sedtf[psds])", role=AFTER_TRAINING
    )

    diagnostics: bool = setting(
        False,
        "add metrics of feedback: exposure gap, fragmentation, transitions "
        "between classes, errors after an error (docs/evaluation.md)",
        role=AFTER_TRAINING,
        before=DEFAULT,
    )
    decoder: DecoderConfig | None = setting(
        None, "decoder of probabilities into events", role=AFTER_TRAINING, before=DEFAULT
    )

    language: str | None = setting(
        None,
        "run of task=sequence data=labels that scores the order of events, for decoder=language",
        role=AFTER_TRAINING | Role.PATH,
        before=DEFAULT,
    )

    def faults(self, prefix: str = "evaluation.") -> list[str]:
        """Faults in ranges, the decoder and metrics whose library is missing."""
        faults = range_faults(self, prefix)
        if self.decoder is not None:
            faults += self.decoder.faults(f"{prefix}decoder.")
            faults.require(
                self.language is not None or not self.decoder.ASKS_LANGUAGE,
                f"{prefix}decoder={self.decoder.name} needs a language model of labels: "
                f"train one with sedtf train task=sequence data=labels, and give its run as "
                f"{prefix}language=RUN",
            )
            bound = self.max_false_alarms_per_hour
            faults.require(
                self.decoder.HAS_THRESHOLDS or bound is None,
                f"{prefix}max_false_alarms_per_hour={bound}: {prefix}decoder={self.decoder.name} "
                f"has no thresholds to enforce it; choose another one, such as threshold",
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
            f"{prefix}max_false_alarms_per_hour={self.max_false_alarms_per_hour} needs "
            f"tuning, which {prefix}tune=false turns off: drop one of the two",
        )
        if self.psds:
            faults += [
                f"{line} (it is compiled on installation, which takes a C compiler)"
                for line in missing(f"{prefix}psds=true", "sed_scores_eval", "psds")
            ]
        return faults


@dataclass
class SequenceEvaluationConfig(Settings):
    """Additional metrics of a sequence model."""

    ngrams: list[int] = setting(
        [1, 2, 3], "orders of the n-gram models for comparison; []: none", role=AFTER_TRAINING
    )
    beam_width: int = setting(
        5,
        "width of the beam search for translations; 1: greedy only",
        at_least=1,
        at_most=_WIDEST_BEAM,
        role=AFTER_TRAINING,
    )

    def faults(self, prefix: str = "evaluation.") -> list[str]:
        """Faults in ranges and orders."""
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
        "greedy (the most likely token at each step), sample, beam",
        choices=("greedy", "sample", "beam"),
    )
    temperature: float = setting(
        1.0,
        "temperature of method=sample: below 1 favours likely tokens, above 1 unlikely ones",
        above=0,
    )
    beam_width: int = setting(
        5, "width of the beam search, for method=beam", at_least=1, at_most=_WIDEST_BEAM
    )
    n_best: int = setting(
        1, "continuations per line, for sample and beam", at_least=1, at_most=_LONGEST_TEXT
    )
    max_length: int = setting(
        100, "maximum number of tokens in a continuation", at_least=1, at_most=_LONGEST_TEXT
    )
    seed: int = setting(0, "seed of method=sample", at_least=0)

    def faults(self, prefix: str = "decoding.") -> list[str]:
        """Faults in ranges and in the number of continuations."""
        faults = range_faults(self, prefix)
        most = {"greedy": 1, "beam": self.beam_width}.get(self.method, self.n_best)
        faults.require(
            self.n_best <= most,
            f"{prefix}n_best={self.n_best}, but {prefix}method={self.method} finds {most}: "
            f"choose sample or beam, or raise {prefix}beam_width",
        )
        return faults
