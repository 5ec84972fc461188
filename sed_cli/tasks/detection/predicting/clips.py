"""Each event as a separate audio clip with some context, for listening."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from sed_cli.audio import AudioReader, Channels
from sed_cli.system.files import replacing
from sed_cli.system.safe_names import safe_name
from sed_cli.tasks.detection.recording import Found

_CONFIDENCE = re.compile(r"(?<=.)_\d\.\d{3}(?=_)")
_PLACE = re.compile(r"(?P<channel>_ch\d+)?_\d+\.\d{3}s\.wav$")
_LEAST_ROOM = 2**20  # bytes; a disk with less counts as full


class Cutting(NamedTuple):
    """A segment of a channel, and its destination."""

    start_s: float
    end_s: float
    channel: int  # among the processed channels, from 0
    path: Path


def clips_of(found: Found, name: str, folder: Path, context_s: float) -> list[Cutting]:
    """Name the clips of a recording: ``CLASS/CLASS_CONFIDENCE_RECORDING_ONSET.wav``.

    Clips of a class are thus together, sorted by confidence, as in a bank of clips.

    Args:
        found: events of the recording.
        name: of the recording, as a path relative to the input folder.
        folder: of all clips.
        context_s: seconds before and after each event.
    """
    recording, clips = _recording(name), []
    for index, one in enumerate(found.values()):
        channel = f"_ch{one.channel}" if len(found) > 1 else ""
        for onset_s, offset_s, label, confidence in one.detections:
            of_class = safe_name(label)
            file = f"{of_class}_{confidence:.3f}_{recording}{channel}_{onset_s:09.3f}s.wav"
            span = max(0.0, onset_s - context_s), offset_s + context_s
            clips.append(Cutting(*span, index, folder / of_class / file))
    return sorted(clips)


def earlier_clips(folder: Path) -> dict[str, list[Path]]:
    """List the clips in the clip folder, by the recordings that they may belong to.

    Class names are arbitrary, so a file name may fit several recordings.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in folder.glob("*/*.wav"):
        place = _PLACE.search(path.name)
        for end in () if place is None else {place.start(), place.end("channel")} - {-1}:
            for confidence in _CONFIDENCE.finditer(path.name, endpos=end):
                found[path.name[confidence.end() + 1 : end]].append(path)
    return found


def remove_clips(name: str, earlier: dict[str, list[Path]]) -> None:
    """Delete the clips that were cut from a recording earlier, with other settings.

    Args:
        name: of the recording, as a path relative to the input folder.
        earlier: clips of all recordings, from :func:`earlier_clips`; those of this one are removed
            from it, so that a recording of the same name in another folder keeps its new clips.
    """
    for path in earlier.pop(_recording(name), ()):
        with suppress(OSError):
            path.unlink()


def _recording(name: str) -> str:
    return safe_name(Path(name).with_suffix("").as_posix().replace("/", "_"))


def cut(clips: Sequence[Cutting], reader: AudioReader, channels: Channels) -> None:
    """Write clips of a recording as 16-bit wav files at its rate, each atomically.

    Args:
        clips: sorted by start, at least one.
        reader: of the recording, at its beginning.
        channels: how channels are handled.

    Raises:
        DataError: if it cannot be decoded.
        OSError: if a clip cannot be written.
    """
    rate, at = reader.sample_rate, 0
    waiting = list(reversed(clips))
    with ExitStack() as stack, _as_system_error(clips[0].path):
        open_ones: list[_CutClip] = []
        for block in reader.blocks(channels=channels):
            samples = block.reshape(len(block), -1)
            while waiting and round(waiting[-1].start_s * rate) < at + len(samples):
                open_ones.append(stack.enter_context(_CutClip(waiting.pop(), rate)))
            for one in open_ones:
                one.take(samples[:, one.clip.channel], at)
            at += len(samples)
            open_ones = list(_close_complete(open_ones, at))
            if not (waiting or open_ones):
                return


@contextmanager
def _as_system_error(path: Path) -> Iterator[None]:
    """Raise the most likely error if libsndfile cannot write: it does not report the cause."""
    try:
        yield
    except soundfile.SoundFileError as error:
        is_full = shutil.disk_usage(path.parent).free < _LEAST_ROOM
        number = errno.ENOSPC if is_full else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from error


def _close_complete(clips: Iterable[_CutClip], at: int) -> Iterator[_CutClip]:
    for one in clips:
        if at >= one.last:
            one.close()
        else:
            yield one


class _CutClip:
    """A clip that is being written; at the end of a recording it is closed with the recording."""

    def __init__(self, clip: Cutting, rate: int) -> None:
        self.clip = clip
        self.first, self.last = round(clip.start_s * rate), round(clip.end_s * rate)
        self._stack = ExitStack()
        self._rate = rate

    def __enter__(self) -> _CutClip:
        path = self._stack.enter_context(replacing(self.clip.path))
        options = {"samplerate": self._rate, "channels": 1, "subtype": "PCM_16"}
        self._file = self._stack.enter_context(soundfile.SoundFile(path, "w", **options))
        return self

    def take(self, samples: NDArray[np.float32], at: int) -> None:
        """Write the part that belongs to the clip; the first sample has number ``at``."""
        own = samples[max(0, self.first - at) : max(0, self.last - at)]
        self._file.write(np.clip(own, -1.0, 1.0))

    def close(self) -> None:
        """Move the finished clip into place."""
        self._stack.close()

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]
