"""One class for each segment between silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import setting

if TYPE_CHECKING:
    from sed_cli.decoding.decoder import Fitting
    from sed_cli.decoding.voting import VoteDecoder


@component("decoder", "vote")
class VoteConfig(DecoderConfig):
    """Segments between silences get their majority class; one event at a time."""

    threshold: float | None = setting(
        None,
        "a frame is silent if no class exceeds this threshold; null: tuned",
        at_least=0,
        at_most=1,
    )
    longest_s: float = setting(
        2.0,
        "maximum length of a segment, longer ones are voted on in pieces; listen waits as long",
        unit="s",
        above=0,
    )

    def fit(self, task: Fitting) -> VoteDecoder:
        """Tune the threshold and the minimum duration on validation."""
        from sed_cli.decoding.voting_tuning import fit

        return fit(task, self.longest_s, self.threshold)

    @classmethod
    def read(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> VoteDecoder:
        """Undo :meth:`VoteDecoder.as_json`."""
        from sed_cli.decoding.voting import VoteDecoder

        return VoteDecoder.from_json(values, classes, hop_s)
