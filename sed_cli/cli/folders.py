"""Ownership of folders: one with a run, a sweep or a checkpoint is not written to by others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sed_cli.errors import UserError
from sed_cli.system.records import RUN, SWEEP, InUseError, at_work, read_record, state
from sed_cli.system.structured import read_settings

WEIGHTS = "model.safetensors"
# Their output can be reproduced from their input, so that a later run may replace it.
_MAY_REPLACE = ("compare", "data", "export", "report", "simulate")


def check_unused(folder: Path, verb: str) -> None:
    """Refuse to overwrite files of a run, a sweep or a checkpoint.

    Raises:
        UserError: with the contents of the folder.
    """
    held = _held(folder)
    if held is None or (held == verb and verb in _MAY_REPLACE):
        return
    if verb == "train" and held == verb and not (folder / RUN).exists():
        return  # it ended before its work started
    if held == verb and _holds_nothing(folder, verb):
        return  # it is created anew
    what = {"sweep": "a sweep", "checkpoint": "a checkpoint"}.get(held, f"a run of sedtf {held}")
    if held == verb:
        what = "a run"
    go_on = f", or continue it with resume={folder}" if verb == held == "train" else ""
    raise UserError(f"output_dir={folder} already holds {what}: name another folder{go_on}")


def _holds_nothing(folder: Path, verb: str) -> bool:
    """Whether a run failed or was interrupted before it had any results.

    An evaluation never has any to lose, a training has none before its first epoch.
    """
    names = ("checkpoints", "history.csv", "teachers") if verb == "train" else ()
    kept = [folder / name for name in names]
    if verb not in ("train", "eval") or any(path.exists() for path in kept):
        return False
    with suppress(OSError, ValueError):
        return state(folder / RUN, read_record(folder) or {}) in ("failed", "interrupted")
    return False


def check_folder(verb: str, config: Any) -> None:
    """Reserve a folder for one run: files of two runs would be confused.

    Raises:
        UserError: with the contents of the folder.
    """
    given = getattr(config, "output_dir", None)
    if given is None:
        return
    folder = Path(given)
    resume = getattr(config, "resume", None)
    resumed = resume is not None and Path(resume).resolve() == folder.resolve()
    if not resumed:
        check_unused(folder, verb)
    with suppress(ValueError):  # nothing is known about an unreadable record
        if resumed and state(folder / RUN, read_record(folder) or {}) == "running":
            raise UserError(f"resume={resume}: the run is still active: wait for it, or end it")


@contextmanager
def own_folder(verb: str, config: Any) -> Iterator[None]:
    """Reserve the run folder for this command, before anything is written there."""
    check_folder(verb, config)
    with taken_folder(Path(config.output_dir), "name another folder, or wait for it"):
        check_folder(verb, config)  # another may have come and gone in the meantime
        yield


@contextmanager
def taken_folder(folder: Path, remedy: str) -> Iterator[None]:
    """Reserve a folder for this command.

    Raises:
        UserError: if another command has it, or it is not writable.
    """
    with ExitStack() as held:
        try:
            held.enter_context(at_work(folder))
        except InUseError as error:
            raise UserError(f"output_dir={folder}: {error}: {remedy}") from error
        except OSError as error:
            raise UserError(
                f"output_dir={folder}: not writable ({error.strerror}): name another folder"
            ) from error
        yield


def check_no_links(folder: Path, named: str) -> None:
    """Refuse to write into a folder with links to files elsewhere.

    Raises:
        UserError: naming the first.
    """
    inside = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise UserError(
                    f"{named}: {path} is a link to {path.resolve()}, outside the folder: files "
                    f"would be written there; replace the link by a copy"
                )


def _held(folder: Path) -> str | None:
    """The verb of the run in a folder, ``sweep`` or ``checkpoint``; None: none of them."""
    hydra = folder / ".hydra" / "hydra.yaml"
    try:
        if (folder / RUN).exists():
            return str((read_record(folder) or {}).get("verb", "train"))
        if hydra.exists():
            return str(read_settings(hydra)["hydra"]["job"]["name"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged, but in use
        return "train"
    if (folder / SWEEP).exists() or (folder / "multirun.yaml").exists():
        return "sweep"
    places = (folder, folder / "best", folder / "last")
    return "checkpoint" if any((one / WEIGHTS).exists() for one in places) else None
