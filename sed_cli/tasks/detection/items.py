"""The recordings that ``sedtf predict`` processes, and the names of their output files."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from sed_cli.audio import AudioReader, Channels
from sed_cli.data.endings import AUDIO_ENDINGS, PREDICTIONS
from sed_cli.data.walking import is_of_run
from sed_cli.errors import DataError
from sed_cli.system.files import fitting_name

log = logging.getLogger(__name__)

_SHOWN = 10
_UNFINISHED = re.compile(
    r"\.(?P<base>.+)\.(events|scores|timeline)(\.[a-z]+)?-[0-9a-f]{8}(\.part)?\.[a-z]+"
)
_ABANDONED_AFTER_S = 60.0  # without writes: a live run writes to its files all the time


@dataclass(frozen=True, kw_only=True)
class AudioInput:
    """A recording to process, and the names of its output files."""

    path: Path
    base: Path  # path of output files, without the ending
    pipe_is_stdin: bool = False

    @property
    def name(self) -> str:
        """Name of the recording in tables."""
        return "stdin" if self.pipe_is_stdin else self.path.name

    @property
    def absolute(self) -> Path | None:
        """Absolute path; ``None`` if the recording is not a file."""
        return None if self.pipe_is_stdin else self.path.absolute()

    def open(self, say: Callable[[str], None] = log.warning) -> AudioReader:
        """Open it; the readable part of a damaged recording is used, and ``say`` gets a warning."""
        pipe = sys.stdin.buffer if self.pipe_is_stdin else None
        return AudioReader(self.path, pipe=pipe, salvage=say)

    def written(self, ending: str, channel: str | None = None) -> Path:
        """Path of an output file for the recording, or for one of its channels."""
        suffix = PurePath(channel or self.name).stem.removeprefix(PurePath(self.name).stem)
        return self.base.with_name(fitting_name(self.base.name, f"{suffix}{ending}"))


def find_items(
    folder: Path, output_dir: Path | None, channels: Channels = "mix"
) -> tuple[list[AudioInput], list[Path]]:
    """List the recordings in a folder and its subfolders, by their endings.

    Hidden files and folders are skipped, and so are folders that sedtf wrote; links to folders
    are not followed.

    Args:
        folder: the folder to search.
        output_dir: root of the same tree of output files; ``None``: beside the audio.
        channels: with ``each``, every channel may have its own files.

    Returns:
        The recordings, in order, and the folders that could not be searched.

    Raises:
        DataError: if there is no audio.
    """
    items: list[AudioInput] = []
    unsearched: list[Path] = []

    def note(error: OSError) -> None:
        log.warning("%s: cannot be searched (%s)", error.filename, error.strerror)
        unsearched.append(Path(error.filename))

    passed_over: Counter[str] = Counter()
    for root, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root)
        if here != folder and is_of_run((*folders, *files)):
            if PREDICTIONS not in files:  # the output of an earlier prediction is expected here
                log.warning("%s: written by sedtf, skipped (input=%s includes it)", here, here)
            folders.clear()
            continue
        for link in (here / name for name in folders):
            if link.is_symlink():
                log.warning("%s: a link to a folder, so it is not followed", link)
        target = here if output_dir is None else output_dir / here.relative_to(folder)
        visible = [here / name for name in sorted(files) if not name.startswith(".")]
        audio = [path for path in visible if _is_audio(path)]
        passed_over.update(path.suffix for path in visible if not _is_audio(path))
        items += _named(audio, target, channels)
    if not items:
        seen = ", ".join(sorted(filter(None, passed_over))[:_SHOWN])
        what = f"only files that end in {seen}" if seen else "no files"
        raise DataError(
            f"input={folder}: {what}, "
            f"expected audio such as {', '.join(sorted(AUDIO_ENDINGS)[-4:])}"
        )
    return items, unsearched


def unwritable(folder: Path, error: OSError) -> str:
    """Message that nothing can be written to a folder of results, with the remedy."""
    return (
        f"{folder}: cannot be written to ({error.strerror}); name another folder with output_dir="
    )


def sweep(items: Iterable[AudioInput]) -> None:
    """Delete the leftovers of an earlier, killed prediction of the same recordings."""
    bases = defaultdict(list)
    for item in items:
        bases[item.base.parent].append(item.base.name)
    for folder, names in bases.items():
        ours = tuple(names)
        with suppress(OSError):
            for path in folder.iterdir():
                match = _UNFINISHED.fullmatch(path.name)
                if match is None or not match["base"].startswith(ours):
                    continue
                with suppress(OSError):
                    age_s = time.time() - path.stat().st_mtime
                    # One far in the future is from before the clock was set back.
                    if abs(age_s) > _ABANDONED_AFTER_S:
                        path.unlink()


def _is_audio(path: Path) -> bool:
    """Whether to try the file: reading pipes and the like in a folder would block."""
    if path.suffix.lower() not in AUDIO_ENDINGS:
        return False
    try:
        return path.is_file() or not path.exists()
    except OSError:  # not accessible: an error will name it
        return True


def _named(audio: Sequence[Path], target: Path, channels: Channels) -> list[AudioInput]:
    """Name the output files for the recordings of a folder, so that no two share a name.

    Where names without endings would collide, the recordings keep their endings.
    """
    items = [AudioInput(path=path, base=target / path.stem) for path in audio]
    n_channels = [_n_channels(path) if channels == "each" else 1 for path in audio]
    while True:
        going_out = [_going_out(item, n) for item, n in zip(items, n_channels, strict=True)]
        counts = Counter(name for names in going_out for name in names)
        renamed = [
            replace(item, base=target / item.path.name)
            if any(counts[name] > 1 for name in names)
            else item
            for item, names in zip(items, going_out, strict=True)
        ]
        if renamed == items:  # names with endings are file names, which differ
            return items
        items = renamed


def _going_out(item: AudioInput, n_channels: int) -> set[str]:
    """Return the names of the files to be written, without the endings common to all."""
    base = item.base.name.lower()  # some file systems ignore case
    return {base, *(f"{base}.ch{i + 1}" for i in range(n_channels if n_channels > 1 else 0))}


def _n_channels(path: Path) -> int:
    try:
        with AudioReader(path) as reader:
            return reader.n_channels
    except (DataError, OSError):  # an error will name it when it is processed
        return 1
