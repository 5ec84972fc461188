"""The record of completed recordings, so that a prediction resumes where it was stopped.

One line of JSON per recording is appended to ``predictions/predictions.jsonl`` once all of its
files are written: a hash of the recording, the settings, and the events found. A line for the
table of all recordings shows whether that table was corrected since. Lines are never changed; a
line that was cut short by a kill is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sed_cli import __version__
from sed_cli.audio import Signature, signature
from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import Detection, Findings
from sed_cli.data.cache.digests import digest, file_digest
from sed_cli.data.endings import PREDICTIONS
from sed_cli.errors import DataError, UserError
from sed_cli.system import locks
from sed_cli.system.files import make_folder
from sed_cli.tasks.detection.items import unwritable
from sed_cli.tasks.detection.recording import Found
from sed_cli.training.checkpoint import resolve_checkpoint


@dataclass(frozen=True, kw_only=True)
class Done:
    """A completed recording.

    Args:
        name: of the recording, as a path relative to the input folder.
        path: its absolute path; ``None`` if it is not a file.
        content: hash of the file; empty if none was needed.
        signature: of the hashed file.
        sample_rate: in Hz.
        recorded: start of the recording; ``None`` if unknown.
        found: events in the recording, or in each of its channels.
        written: names of the files written for it with these settings.
    """

    name: str
    path: Path | None
    content: str
    signature: Signature | None
    sample_rate: int
    recorded: datetime | None
    found: Found
    written: frozenset[str] = frozenset()

    def has(self, path: Path) -> bool:
        """Whether an output file is still there: unchanged, or corrected."""
        return path.name in self.written and path.exists()

    @property
    def n_events(self) -> int:
        """Number of events in all channels."""
        return sum(len(one.detections) for one in self.found.values())


def settings_digest(config: PredictConfig) -> str:
    """Hash of everything that affects the events: the checkpoint, the settings and this program."""
    folder = resolve_checkpoint(config.checkpoint)
    return digest(
        {
            "version": __version__,
            "checkpoint": {
                path.name: file_digest(path) for path in folder.iterdir() if path.is_file()
            },
            "plugins": [file_digest(Path(file).expanduser()) for file in config.plugins],
            **{
                name: getattr(config, name)
                for name in ("channels", "threshold", "min_duration_s", "min_gap_s")
            },
        }
    )


class Ledger:
    """Reads and extends the record of a folder; one process at a time, until it is closed.

    Args:
        folder: where the record is; created if missing.
        settings: hash of the current ones: recordings done with others count as not done.

    Raises:
        UserError: if another process predicts into the folder, or nothing can be written.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self._settings = settings
        try:
            make_folder(folder)
            self._file = (folder / PREDICTIONS).open("a+b")
        except OSError as error:
            raise UserError(unwritable(folder.parent, error)) from error
        if locks.take(self._file) is False:
            self._file.close()
            raise UserError(
                f"{folder}: another sedtf predict writes into this folder: wait for it, or name "
                f"another folder with output_dir="
            )
        self._lines = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        content = self._file.read()
        if content and not content.endswith(b"\n"):  # cut short by a kill: end the line here
            self._file.write(b"\n")
            self._file.flush()
        known = {}
        for line in content.splitlines():
            try:
                values = json.loads(line)
                known[str(values["name"])] = values  # the last line counts
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        return {
            name: values
            for name, values in known.items()
            if values.get("settings") == self._settings
        }

    def known(self, name: str, path: Path) -> Done | None:
        """Earlier results of a recording, if its file has not changed since.

        Args:
            name: of the recording, as it was added.
            path: of the file. Its content is compared, unless it is provably untouched.
        """
        values = self._lines.get(name)
        try:
            if values is None or not _is_same(values, path):
                return None
            return _from_json(values, path)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, DataError):
            return None  # damaged, or the recording is gone: process it again, and report it then

    def add(self, done: Done) -> None:
        """Record that a recording is done and all of its files are written."""
        self._append(_as_json(done))

    def is_corrected(self, table: Path) -> bool:
        """Whether a table of all recordings differs from the one that these settings wrote."""
        values = self._lines.get(_name_of(table))
        return (
            values is not None and table.is_file() and values.get("content") != file_digest(table)
        )

    def add_table(self, table: Path) -> None:
        """Record the contents of a table of all recordings."""
        self._append({"name": _name_of(table), "content": file_digest(table)})

    def _append(self, values: Mapping[str, Any]) -> None:
        line = json.dumps({"settings": self._settings, **values}, ensure_ascii=True)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let another process predict into the folder."""
        self._file.close()


def _name_of(table: Path) -> str:
    """A name that no recording has, since that folder is skipped."""
    return f"{table.parent.name}/{table.name}"


def _is_same(values: Mapping[str, Any], path: Path) -> bool:
    if Signature(*values["signature"]) == signature(path):
        return True
    return bool(values["content"]) and values["content"] == file_digest(path)


def _as_json(done: Done) -> dict[str, Any]:
    return {
        "name": done.name,
        "content": done.content,
        "signature": done.signature,
        "sample_rate": done.sample_rate,
        "recorded": None if done.recorded is None else done.recorded.isoformat(),
        "written": sorted(done.written),
        "found": {
            name: {
                "channel": one.channel,
                "duration_s": one.duration_s,
                "band_hz": one.band_hz,
                "events": one.detections,
            }
            for name, one in done.found.items()
        },
    }


def _from_json(values: Mapping[str, Any], path: Path) -> Done:
    path = path.absolute()
    recorded = values["recorded"]
    return Done(
        name=values["name"],
        path=path,
        content=str(values["content"]),
        signature=Signature(*values["signature"]),
        sample_rate=int(values["sample_rate"]),
        recorded=None if recorded is None else datetime.fromisoformat(recorded),
        written=frozenset(map(str, values["written"])),
        found={
            name: Findings(
                detections=[
                    Detection(float(onset), float(offset), str(label), float(confidence))
                    for onset, offset, label, confidence in one["events"]
                ],
                path=path,
                duration_s=float(one["duration_s"]),
                band_hz=None if one["band_hz"] is None else _pair(*one["band_hz"]),
                channel=int(one["channel"]),
            )
            for name, one in values["found"].items()
        },
    )


def _pair(low: float, high: float) -> tuple[float, float]:
    return float(low), float(high)
