"""One or two recordings cut in time into separate splits.

The parts are written into the cache, beside the soundscapes, so that later steps read separate
audio files: training and test data do not differ by path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from sed_cli.audio import AudioReader, inspect_audio
from sed_cli.data.annotations import Event
from sed_cli.data.annotations.numbers import END_DIGITS
from sed_cli.data.cache.digests import digest, file_digest
from sed_cli.data.cache.upkeep import cache_root, hold
from sed_cli.data.manifest import Clip
from sed_cli.data.notes import Notes
from sed_cli.data.soundscapes.recipe import RECIPE_FILE
from sed_cli.data.times import Times
from sed_cli.errors import UserError
from sed_cli.system.files import replacing_folder, write_json

_GAP_S = 2.0  # between parts, or ...
_GAP_SHARE = 0.02  # ... of a recording, if that is less
_SHORTEST_S = 1.0  # of a part
_VERSION = 1


class _Part(NamedTuple):
    split: str
    start_s: float
    end_s: float


def cut_in_time(
    listed: Sequence[Clip],
    shares: Mapping[str, float],
    *,
    time_unit: str,
    cache_dir: str | None,
    notes: Notes,
) -> dict[str, list[Clip]]:
    """Cut recordings in time: first training, then validation, then test.

    No event is cut in two: parts start and end between events.

    Args:
        listed: the recordings.
        shares: of each split; those of 0 are left out.
        time_unit: ``data.time_unit``.
        cache_dir: ``data.cache_dir``.
        notes: on the cuts.

    Raises:
        UserError: if a recording is too short.
    """
    times = Times(time_unit)
    for one in listed:
        facts = inspect_audio(one.path)
        times.look_at(one, facts.duration_s, facts.sample_rate, is_whole=facts.loss is None)
    if guessed := times.settle():
        notes.add(guessed)
    wanted = {name: share for name, share in shares.items() if share > 0}
    splits: dict[str, list[Clip]] = {name: [] for name in wanted}
    for one in listed:
        facts = inspect_audio(one.path)
        one = times.in_seconds(one, facts.sample_rate)
        events = sorted(row.event for row in one.rows if row.event is not None)
        parts = _parts(events, wanted, facts.duration_s)
        if min(part.end_s - part.start_s for part in parts) < _SHORTEST_S:
            raise UserError(
                f"{len(listed)} recordings cannot be divided into {len(wanted)} splits "
                f"({', '.join(wanted)}), and {one.name} of {facts.duration_s:.2f} s is too short "
                f"to be cut in time; use fewer, or add recordings"
            )
        folder = _written(one, parts, cache_root(cache_dir))
        for part in parts:
            splits[part.split].append(_clip(one, part, parts[-1], folder))
        n_lost = sum(not any(_of_part([e], part) for part in parts) for e in events)
        said = ", ".join(f"{part.split} {part.start_s:.1f}-{part.end_s:.1f} s" for part in parts)
        lost = f"; {n_lost} events between them are dropped" if n_lost else ""
        notes.add(
            f"fewer recordings than splits, so cut in time: {one.name} into {said}{lost} (to "
            f"keep everything in one split: data.validation=null data.test=null)"
        )
    return splits


def _parts(events: Sequence[Event], shares: Mapping[str, float], length_s: float) -> list[_Part]:
    """Cuts of a recording: by its length, or by its events if a part would have none."""
    ends = list(accumulate(share / sum(shares.values()) for share in shares.values()))[:-1]
    by_length = _cut(events, list(shares), [end * length_s for end in ends], length_s)
    if len(events) < len(shares) or all(_of_part(events, part) for part in by_length):
        return by_length
    # At least one event on each side of each cut.
    places = [round(end * len(events)) for end in ends]
    for i in range(len(places)):
        lowest = i + 1 if i == 0 else places[i - 1] + 1
        places[i] = min(max(places[i], lowest), len(events) - (len(places) - i))
    times = [(events[at - 1].offset_s + events[at].onset_s) / 2 for at in places]
    return _cut(events, list(shares), times, length_s)


def _cut(
    events: Sequence[Event], names: Sequence[str], times: Sequence[float], length_s: float
) -> list[_Part]:
    gap_s = min(_GAP_S, _GAP_SHARE * length_s)
    parts, start_s = [], 0.0
    for name, time_s in zip(names, times, strict=False):
        end_s = _between(events, max(start_s, time_s - gap_s / 2))
        parts.append(_Part(name, start_s, end_s))
        start_s = _between(events, end_s + gap_s)
    return [*parts, _Part(names[-1], start_s, length_s)]


def _of_part(events: Sequence[Event], part: _Part) -> list[Event]:
    """Events that start in a part; none crosses its end."""
    return [event for event in events if part.start_s <= event.onset_s < part.end_s]


def _between(events: Sequence[Event], time_s: float) -> float:
    """The next time within no event; events are in order of onset."""
    for event in events:
        if event.onset_s < time_s < event.offset_s:
            time_s = event.offset_s
    return time_s


def _clip(one: Clip, part: _Part, last: _Part, folder: Path) -> Clip:
    rows = []
    for row in one.rows:
        if row.event is None:
            rows.append(row)
        elif part.start_s <= row.event.onset_s and (
            row.event.offset_s <= part.end_s or part is last
        ):
            onset_s, offset_s, label = row.event
            onset_s, offset_s = (
                round(time - part.start_s, END_DIGITS) for time in (onset_s, offset_s)
            )
            moved = Event(onset_s, offset_s, label)
            rows.append(row._replace(event=moved))
        elif row.annotated is not None:  # which holds for the whole recording
            rows.append(row._replace(event=None))
    name = PurePath(one.name)
    return Clip(
        name=name.with_name(_name(one, part)).as_posix(),
        path=folder / "audio" / part.split / _name(one, part),
        annotations=one.annotations,
        rows=tuple(rows),
        part_of=one.path,
    )


def _name(one: Clip, part: _Part) -> str:
    return f"{PurePath(one.name).stem}.{part.split}.wav"


def _written(one: Clip, parts: Sequence[_Part], root: Path) -> Path:
    """Write the parts of a recording, unless they exist."""
    recipe = {"version": _VERSION, "name": one.name, "content": file_digest(one.path)}
    recipe["parts"] = [list(part) for part in parts]
    folder = root / "soundscapes" / digest(recipe)
    while not hold(folder):
        with replacing_folder(folder) as new:
            for part in parts:
                path = new / "audio" / part.split / _name(one, part)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_part(one.path, part, path)
            write_json(new / RECIPE_FILE, {"cut": recipe})
    return folder


def _write_part(source: Path, part: _Part, path: Path) -> None:
    import soundfile

    with AudioReader(source, salvage=lambda _: None) as reader:
        rate = reader.sample_rate
        first, last, at = round(part.start_s * rate), round(part.end_s * rate), 0
        # Plain wav files are limited to 4 GiB; all samples are kept bit-identical.
        kind = {"format": "RF64", "subtype": "FLOAT"}
        with soundfile.SoundFile(path, "w", rate, reader.n_channels, **kind) as file:
            for block in reader.blocks(channels="each"):
                kept = block[max(0, first - at) : max(0, last - at)]
                file.write(np.asarray(kept))
                at += len(block)
                if at >= last:
                    break
