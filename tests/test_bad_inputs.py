"""A table of bad inputs: each ends with its exit code and one clear error message."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import Sedtf

_LINES = Path(__file__).with_name("bad_inputs.tsv").read_text(encoding="utf-8").splitlines()
TABLE = [
    pytest.param(
        *line.split("\t"),
        id=line.split("\t")[1],
        marks=() if before.startswith("#") else pytest.mark.slow,
    )
    for before, line in pairwise(_LINES)
    if not line.startswith("#")
]


def test_the_table_has_at_least_300_rows_and_none_twice() -> None:
    commands = [line.split("\t")[1] for line in _LINES if not line.startswith("#")]
    assert len(commands) == len(set(commands)) >= 300


@pytest.mark.parametrize(("code", "command", "expected"), TABLE)
def test_a_bad_input_is_refused_with_its_code_and_message(
    code: str,
    command: str,
    expected: str,
    sedtf: Sedtf,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    verb, *words = shlex.split(command)
    overrides = [word for word in words if word != "-m"]

    ended = sedtf(verb, *overrides, multirun="-m" in words)

    out, err = capfd.readouterr()
    complaints = err.splitlines()
    assert ended == int(code)
    assert out == ""
    assert all(line.startswith("sedtf: ") for line in complaints), err
    assert expected in complaints[0]
    # A verb that fails while it is running has a run folder by then, which records the reason.
    assert {path.name for path in tmp_path.iterdir()} <= {"outputs"}
