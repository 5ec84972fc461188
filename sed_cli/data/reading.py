"""How the annotations of a data set are read, and what was read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sed_cli.config.annotations import AnyFormatConfig
from sed_cli.config.data import AnnotatedConfig, RecordedConfig
from sed_cli.data.annotations import Annotations, Row, read_annotations
from sed_cli.data.notes import Notes
from sed_cli.data.relabelling import Relabelling


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How annotations are read; see :func:`.read_annotations`.

    ``notes`` are kept of what was read and guessed on the way.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    event_duration_s: float | None = None
    soft_threshold: float = 0.5
    whole_clips: bool = False
    time_unit: str = "auto"
    decimal_mark: str = "auto"
    soft_labels: bool | None = None
    unlabelled: str | None = None
    unknown_label: str | None = None
    relabelling: Relabelling = field(default_factory=Relabelling)
    notes: Notes = field(default_factory=Notes)
    _read: dict[Path, Annotations] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, data: AnyFormatConfig) -> Reading:
        """What a configuration says."""
        unknown_label = data.unknown_label if isinstance(data, RecordedConfig) else None
        classes = data.classes if isinstance(data, RecordedConfig) else None
        return cls(
            columns=data.columns,
            event_duration_s=data.event_duration_s,
            soft_threshold=data.soft_threshold,
            whole_clips=isinstance(data, AnnotatedConfig) and data.whole_clips,
            time_unit=data.time_unit,
            decimal_mark=data.decimal_mark,
            soft_labels=data.soft_labels,
            unlabelled=data.unlabelled,
            unknown_label=None if unknown_label in (classes or ()) else unknown_label,
            relabelling=Relabelling.of(data),
        )

    def read(self, path: Path) -> Annotations:
        """Read one file, once."""
        if path not in self._read:
            self._read[path] = self._read_anew(path)
        return self._read[path]

    def rows_of(self, rows: Iterable[Row]) -> tuple[Row, ...]:
        """Return rows of a recording with the labels that they are to have."""
        return self.relabelling.rows(rows) if self.relabelling.is_active else tuple(rows)

    def _read_anew(self, path: Path) -> Annotations:
        return read_annotations(
            path,
            columns=self.columns,
            event_duration_s=self.event_duration_s,
            soft_threshold=self.soft_threshold,
            whole_clips=self.whole_clips,
            time_unit=self.time_unit,
            decimal_mark=self.decimal_mark,
            soft_labels=self.soft_labels,
            unlabelled=self.unlabelled,
            unknown_label=self.unknown_label,
        )
