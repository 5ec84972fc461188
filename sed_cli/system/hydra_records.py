"""Hydra's records of a run: its command line, choices and working folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sed_cli.system.structured import read_settings, read_yaml


def given_words(folder: Path) -> list[str]:
    """Overrides on the command line of a run, as text; empty if unreadable."""
    try:
        words = read_yaml(folder / ".hydra" / "overrides.yaml")
    except (OSError, ValueError):
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def choices_in(folder: Path) -> dict[str, str]:
    """Recorded options of config groups of a run; empty if unreadable."""
    choices = of_hydra(folder, "runtime").get("choices", {})
    return {
        str(group): str(option)
        for group, option in (choices if isinstance(choices, dict) else {}).items()
        if option is not None and not str(group).startswith(("schema/", "hydra/"))
    }


def found_from(folder: Path, path: str) -> Path:
    """Resolve a run's ``path``, relative to its working folder or to the current one."""
    with suppress(RuntimeError):  # unknown user
        path = str(Path(path).expanduser())
    here = Path(path)
    there = Path(str(of_hydra(folder, "runtime").get("cwd", ""))) / here
    return there if there.exists() else here


def of_hydra(folder: Path, part: str) -> dict[str, Any]:
    """A part of Hydra's records of a run; empty if unreadable."""
    try:
        found = read_settings(folder / ".hydra" / "hydra.yaml")["hydra"][part]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
