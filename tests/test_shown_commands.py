"""Commands in README, docs and ``--help`` run on small data, or have a reason not to."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sed_cli.app import app
from tests.shown_commands import NOT_RUN, PAGES, made_small, make_workshop, shown, why_not

SHOWN = shown()
# RUN stands for a detector, or for a sequence model if the command continues lines.
_OF_WORDS = re.compile(r"fox|prefixes|yes ''|data=tokens")


def test_commands_are_found_on_all_pages_and_in_every_help() -> None:
    assert {"README.md", "tutorial_own_recordings.md", "commands.md", "--help train"} <= set(SHOWN)
    assert sum(map(len, SHOWN.values())) > 150


def test_each_reason_not_to_run_a_command_still_holds_for_one() -> None:
    every = [f"{where}: {command}" for where, commands in SHOWN.items() for command in commands]
    for each in NOT_RUN:
        assert any(re.search(each.pattern, line) for line in every), each.pattern


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    make_workshop(folder, recordings)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [where for where in SHOWN if any(why_not(where, command) is None for command in SHOWN[where])],
)
def test_commands_run_as_they_are_shown(
    where: str, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(workshop, tmp_path / "workshop", symlinks=True)
    monkeypatch.chdir(folder)
    runnable = [command for command in SHOWN[where] if why_not(where, command) is None]
    codes = {command: run(command, folder) for command in runnable}
    assert {command: code for command, code in codes.items() if code} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [("tutorial_teacher_forcing.md", "sedtf simulate")])
def test_output_that_is_always_the_same_is_printed_as_it_is_shown(
    page: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = next(each for each in PAGES if each.name == page).read_text(encoding="utf-8")
    (output,) = re.findall(
        rf"^```sh\n{re.escape(command)}\n```\n\n```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    assert run(command, tmp_path) == 0
    printed = capfd.readouterr().out.splitlines()
    assert [line for line in output.splitlines() if line not in printed] == []


def run(command: str, folder: Path) -> int:
    """Run a command in a prepared folder: in this process, unless it needs a shell."""
    if _OF_WORDS.search(command):
        command = command.replace("checkpoint=RUN", "checkpoint=WORDS")
    words = shlex.split(command, comments=True)
    before, _, after = command.partition("sedtf ")
    given, _, into = after.partition(" > ")
    if before or into:
        small = shlex.join(made_small(shlex.split(given, comments=True)))
        return in_a_shell(
            f"{before}sedtf {small} > {into.split()[0] if into else '/dev/null'}", folder
        )
    return int(app(made_small(words[1:]), standalone_mode=False) or 0)


def in_a_shell(line: str, folder: Path) -> int:
    """Run a line with stand-ins for recorders and downloads first on the path."""
    program = folder / "bin" / "sedtf"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sed_cli "$@"\n')
        program.chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(PAGES[0].parent)},
        check=False,
    )
    return done.returncode
