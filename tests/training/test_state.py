"""The training state beside a checkpoint."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sed_cli.training.state import STATE, load_state, save_state


def test_a_state_is_read_back(tmp_path: Path) -> None:
    state = {"progress": {"epoch": 3}, "optimizer": {}, "coins": {}, "data": "abc"}
    save_state(tmp_path, state)

    assert load_state(tmp_path).items() >= state.items()


def test_a_full_disk_is_reported_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / STATE).symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space") as raised:
        save_state(tmp_path, {"epoch": 3})
    assert raised.value.errno == errno.ENOSPC
