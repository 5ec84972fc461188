"""Jointly likely events, by durations and order of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import DEFAULT, setting

if TYPE_CHECKING:
    from sed_cli.decoding.decoder import Fitting
    from sed_cli.decoding.semi_markov import SemiMarkovDecoder


@component("decoder", "semi_markov")
class SemiMarkovConfig(DecoderConfig):
    """The most likely events, by durations, silences and order learnt from the training labels."""

    SEPARATES: ClassVar[bool] = True
    HAS_THRESHOLDS: ClassVar[bool] = False
    LEARNS_LENGTHS: ClassVar[bool] = True

    order: int = setting(
        1,
        "number of past events that predict the next one, if classes do not overlap",
        at_least=1,
        at_most=2,
    )
    lag_s: float = setting(
        2.0,
        "time after its end during which an event may change; listen waits as long",
        unit="s",
        above=0,
    )
    unbiased_times: bool = setting(
        False,
        "subtract the median error of onsets, and that of offsets, on validation from times "
        "between frames; a time changes by less than a frame",
        before=DEFAULT,
    )

    def fit(self, task: Fitting) -> SemiMarkovDecoder:
        """Learn from the training events, and tune on validation."""
        from sed_cli.decoding.semi_markov import fit

        return fit(task, self.order, self.lag_s, self.unbiased_times)

    @classmethod
    def read(
        cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float
    ) -> SemiMarkovDecoder:
        """Undo :meth:`SemiMarkovDecoder.as_json`."""
        from sed_cli.decoding.semi_markov import SemiMarkovDecoder

        return SemiMarkovDecoder.from_json(values, classes, hop_s)
