"""A threshold and a median filter for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component

if TYPE_CHECKING:
    from sed_cli.decoding.decoder import Fitting
    from sed_cli.decoding.thresholds import ThresholdDecoder


@component("decoder", "threshold", original=True)
class ThresholdConfig(DecoderConfig):
    """A threshold and a median filter for each class, both tuned."""

    ORDER = -1

    def fit(self, task: Fitting) -> ThresholdDecoder:
        """Tune both on validation; 0.5 and no filter without tuning."""
        from sed_cli.decoding.thresholds import ThresholdDecoder
        from sed_cli.decoding.tuning import tune

        if task.tunes:
            made = tune(
                task.validation,
                task.scored(),
                task.classes,
                task.hop_s,
                task.metric,
                collar_s=task.collar_s,
                min_gap_s=task.min_gap_s,
                min_duration_s=task.min_duration_s,
            )
            return ThresholdDecoder(classes=task.classes, hop_s=task.hop_s, postprocessing=made)
        least = {"min_gap_s": task.min_gap_s, "min_duration_s": task.min_duration_s}
        return ThresholdDecoder.plain(task.classes, task.hop_s, **least)

    @classmethod
    def read(
        cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float
    ) -> ThresholdDecoder:
        """Undo :meth:`ThresholdDecoder.as_json`."""
        from sed_cli.decoding.postprocessing import PostProcessing
        from sed_cli.decoding.thresholds import ThresholdDecoder

        made = PostProcessing.from_json(values, classes)
        return ThresholdDecoder(classes=tuple(classes), hop_s=hop_s, postprocessing=made)
