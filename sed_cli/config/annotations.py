"""Settings of annotations: how they are read, and how recordings are divided into splits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sed_cli.config.faults import Faults
from sed_cli.config.settings import DEFAULT, Role, Settings, setting

SPLITS = ("train", "validation", "test")
WEAK = "weak"
UNLABELLED = "unlabelled"
SOURCES = (WEAK, UNLABELLED)
"""Additional training data; manifests list them as splits."""
SPLIT_SHARES = [0.7, 0.15, 0.15]
# Columns of an annotation table; data.columns maps them to a table's own names.
COLUMNS = ("filename", "onset", "offset", "duration", "event_label", "soft_label")
# Further columns.
OTHER_COLUMNS = ("annotated_classes",)
TIME_UNITS = ("auto", "s", "ms", "min", "h", "samples")
DECIMAL_MARKS = ("auto", "point", "comma")


@dataclass
class AnnotationsConfig(Settings):
    """Reading of annotations of any kind."""

    soft_threshold: float = setting(
        0.5, "segments with a higher soft label are active", at_least=0, below=1
    )
    strict: bool = setting(
        True, "reject any fault; false: repair faults where that is safe, and report them"
    )
    merge: dict[str, str] = setting(
        {}, "labels to rename, as '{old: new, older: new}'", before=DEFAULT
    )
    exclude: list[str] = setting([], "labels whose events are ignored", before=DEFAULT)
    relabel: str | None = setting(
        None,
        "table with the columns old and new, for many labels; an empty new drops the label",
        role=Role.PATH,
        before=DEFAULT,
    )


@dataclass
class AnyFormatConfig(AnnotationsConfig):
    """Reading of annotations in any supported format."""

    columns: dict[str, str | None] = setting(
        dict.fromkeys(COLUMNS),
        "names of the columns in the tables; null: the usual names",
    )
    event_duration_s: float | None = setting(
        None, "duration of an event if only its onset is annotated", unit="s", above=0
    )
    time_unit: str = setting(
        "auto",
        "unit of all times; auto: as in the header, otherwise s",
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
        """Add faults in columns, times and the regular expression."""
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
    """Faults in the shares of the splits."""
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
    """Faults in a regular expression."""
    try:
        re.compile(group or "")
    except re.error as error:
        return [f"{prefix}group={group}: not a valid regular expression ({error})"]
    return []
