"""Settings of annotations: how they are read, and how what they list is divided into splits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sed_cli.config.faults import Faults
from sed_cli.config.settings import DEFAULT, Role, Settings, setting

SPLITS = ("train", "validation", "test")
WEAK = "weak"
UNLABELLED = "unlabelled"
SOURCES = (WEAK, UNLABELLED)
"""What a model is trained on beside the training split; manifests list it as splits."""
SPLIT_SHARES = [0.7, 0.15, 0.15]
# What a table of annotations may hold; data.columns says how a table calls them.
COLUMNS = ("filename", "onset", "offset", "duration", "event_label", "soft_label")
# What else it may hold.
OTHER_COLUMNS = ("annotated_classes",)
TIME_UNITS = ("auto", "s", "ms", "min", "h", "samples")
DECIMAL_MARKS = ("auto", "point", "comma")


@dataclass
class AnnotationsConfig(Settings):
    """How annotations of any kind are read."""

    soft_threshold: float = setting(
        0.5, "a segment with a higher soft label is active", at_least=0, below=1
    )
    strict: bool = setting(
        True, "refuse all faults; false: repair what is safe to repair, and report it"
    )
    merge: dict[str, str] = setting(
        {}, "labels to rename, as '{old: new, older: new}'", before=DEFAULT
    )
    exclude: list[str] = setting([], "labels whose events are left out", before=DEFAULT)
    relabel: str | None = setting(
        None,
        "table with the columns old and new, for many labels; an empty new leaves the label out",
        role=Role.PATH,
        before=DEFAULT,
    )


@dataclass
class AnyFormatConfig(AnnotationsConfig):
    """How annotations in any of the known formats are read."""

    columns: dict[str, str | None] = setting(
        dict.fromkeys(COLUMNS),
        "names of the columns in the tables; null: the usual names",
    )
    event_duration_s: float | None = setting(
        None, "duration of an event if only its onset is annotated", unit="s", above=0
    )
    time_unit: str = setting(
        "auto",
        "of all times; auto: as in the header, otherwise s",
        choices=TIME_UNITS,
        before=DEFAULT,
    )
    decimal_mark: str = setting(
        "auto",
        "point or comma, the other one separates thousands; auto: inferred from all times",
        choices=DECIMAL_MARKS,
        before=DEFAULT,
    )
    soft_labels: bool | None = setting(
        None,
        "numbers after the labels of a list: true: soft labels; false: confidences, which are "
        "ignored; null: soft labels if they fill a grid of segments",
        before=DEFAULT,
    )
    unlabelled: str | None = setting(
        None,
        "class of events without labels; null: call, if no event of the data set has a label",
        before=DEFAULT,
    )
    group: str | None = setting(
        None,
        "regular expression: recordings with the same match in their names stay together, such as "
        "'^[^_]*' for site_date_time.wav",
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of columns, times and the regular expression too."""
        faults = Faults(super().faults(prefix))
        known = (*COLUMNS, *OTHER_COLUMNS)
        unknown = [ours for ours in self.columns if ours not in known]
        faults.require(
            not unknown,
            f"{prefix}columns.{' and '.join(unknown)}: expected {', '.join(known)}, each with "
            f"the name of its column in the tables, such as data.columns.event_label=species",
        )
        faults.require(
            self.time_unit != "samples" or self.event_duration_s is None,
            f"{prefix}time_unit=samples and {prefix}event_duration_s={self.event_duration_s}: "
            f"onsets in samples need offsets or durations in samples beside them",
        )
        return [*faults, *group_faults(self.group, prefix)]


def split_faults(split: list[float], prefix: str) -> list[str]:
    """Faults of the shares of the splits."""
    faults = Faults()
    faults.require(
        len(split) == len(SPLITS)
        and min(split) >= 0
        and 0 < split[0] <= 1.0
        # Written so that not-a-number counts as a fault.
        and sum(split) <= 1 + 1e-6,
        f"{prefix}split={split}: expected the shares of training, validation and test, such as "
        f"[0.7,0.15,0.15], in all at most 1",
    )
    return faults


def group_faults(group: str | None, prefix: str) -> list[str]:
    """Faults of a regular expression."""
    try:
        re.compile(group or "")
    except re.error as error:
        return [f"{prefix}group={group}: no regular expression ({error})"]
    return []
