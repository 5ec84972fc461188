"""Sound event bounding boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import setting

if TYPE_CHECKING:
    from sed_cli.decoding.boxes import BoxDecoder
    from sed_cli.decoding.decoder import Fitting


@component("decoder", "boxes")
class BoxesConfig(DecoderConfig):
    """Boxes between changes of a class's level, each with one confidence; for PSDS above all."""

    threshold: float | None = setting(
        None, "confidence threshold of events, for all classes; null: tuned", at_least=0, at_most=1
    )
    longest_s: float = setting(
        10.0,
        "maximum length of a box, longer ones are divided; listen may wait for two of them",
        unit="s",
        at_least=0.1,
        at_most=600,
    )

    def fit(self, task: Fitting) -> BoxDecoder:
        """Tune the parameters of boxes for PSDS and the threshold for the metric on validation."""
        from sed_cli.decoding.boxes_tuning import fit

        return fit(task, self.longest_s, self.threshold)

    @classmethod
    def read(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> BoxDecoder:
        """Undo :meth:`BoxDecoder.as_json`."""
        from sed_cli.decoding.boxes import BoxDecoder

        return BoxDecoder.from_json(values, classes, hop_s)
