"""Settings of the splits of annotated recordings."""

from __future__ import annotations

from dataclasses import dataclass

from sed_cli.config.faults import Faults
from sed_cli.config.settings import DEFAULT, MISSING, Settings, setting


@dataclass
class SplitConfig(Settings):
    """One split of an annotated data set: all paths are relative to ``data.root``."""

    annotations: str = setting(MISSING, "a file, or a folder with one file per recording")
    audio: str = setting("audio", "folder of its recordings")
    files: str | None = setting(None, "list of its recordings, if the annotations are not split")
    annotated_classes: list[str] | None = setting(
        None, "data.annotated_classes for this split", before=DEFAULT
    )
    background: str | None = setting(
        None,
        "folder of additional recordings without events, where every detection is a false alarm",
        before=DEFAULT,
    )


@dataclass
class TrainSplitConfig(SplitConfig):
    """The training split, and additional training data."""

    weak: str | None = setting(
        None,
        "weakly labelled recordings, with classes but without times: a table of recordings and "
        "their classes, or a folder with one subfolder per class",
        before=DEFAULT,
    )
    weak_audio: str | None = setting(
        None,
        "folder of the recordings of that table; null: audio/... of metadata/....tsv, a folder "
        "with the table's name, or that of the split",
        before=DEFAULT,
    )

    unlabelled: str | None = setting(
        None, "folder of recordings without labels, see trainer.unlabelled", before=DEFAULT
    )

    def faults(self, prefix: str = "data.train.") -> list[str]:
        """Faults in audio without a table."""
        faults = Faults(super().faults(prefix))
        faults.require(
            self.weak_audio is None or self.weak is not None,
            f"{prefix}weak_audio={self.weak_audio}, but {prefix}weak is not set: give "
            f"the table of its recordings, or drop it",
        )
        return faults
