"""Events with their order scored by a language model of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.errors import UserError

if TYPE_CHECKING:
    from sed_cli.data.annotations import Event
    from sed_cli.decoding.decoder import Fitting
    from sed_cli.decoding.language import LanguageDecoder


@component("decoder", "language")
class LanguageDecoderConfig(DecoderConfig):
    """Like semi_markov, with the order of events scored by a run of task=sequence data=labels."""

    ASKS_LANGUAGE: ClassVar[bool] = True
    SEPARATES: ClassVar[bool] = True
    HAS_THRESHOLDS: ClassVar[bool] = False
    LEARNS_LENGTHS: ClassVar[bool] = True

    model: str = setting(
        "recurrent",
        "model from evaluation.language: recurrent, the trained model; ngram, an n-gram model of "
        "its training labels",
        choices=("recurrent", "ngram"),
    )
    order: int = setting(
        2,
        "number of past events that the search distinguishes; the model remembers more",
        at_least=1,
        at_most=4,
    )
    lag_s: float = setting(
        2.0,
        "time after its end during which an event may change; listen waits as long",
        unit="s",
        above=0,
    )

    def check(self, events: Sequence[Sequence[Event]], hop_s: float) -> None:
        """Reject overlapping events, which have no single order."""
        from sed_cli.decoding.event_model import is_joint

        if not is_joint(events, hop_s):
            raise UserError(
                "evaluation.decoder=language needs events in a single order, but classes overlap "
                "in training: evaluation.decoder=semi_markov decodes each class separately"
            )

    def fit(self, task: Fitting) -> LanguageDecoder:
        """Learn durations from the training events, and tune on validation."""
        from sed_cli.decoding.language import fit

        assert task.language is not None
        self.check([clip.events for clip in task.training()], task.hop_s)
        return fit(task, task.language(self.model), self.order, self.lag_s)

    @classmethod
    def read(
        cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float
    ) -> LanguageDecoder:
        """Undo :meth:`LanguageDecoder.as_json`."""
        from sed_cli.decoding.language import LanguageDecoder

        return LanguageDecoder.from_json(values, classes, hop_s)
