"""How fast runs learnt, from their histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.comparison.learning import joined_over_folds, learning_of

HEAD = "epoch,update,validation_f1,seconds\n"


def history(folder: Path, rows: str) -> Path:
    (folder / "history.csv").write_text(HEAD + rows)
    return folder


def test_updates_to_90_percent_and_the_cost_of_one_by_hand(tmp_path: Path) -> None:
    """0.9 x 0.8 is reached after 20 updates; a resumed epoch has fewer of them."""
    rows = "1,10,0.1,30\n2,20,0.72,5\n3,30,0.6,4\n4,35,0.8,3\n"
    assert learning_of(history(tmp_path, rows)) == {
        "updates_to_90": 20,
        "update_s": pytest.approx((0.5 + 0.6) / 2),  # of 3.0, 0.5, 0.4, 0.6
    }


@pytest.mark.parametrize(
    "rows", ["", "1,10,nan,nan\n", "1,10,0.0,0\n", "1,,,1\n", "1,10,x,1\n"], ids=repr
)
def test_what_a_history_does_not_tell_is_none(rows: str, tmp_path: Path) -> None:
    assert set(learning_of(history(tmp_path, rows)).values()) == {None}


def test_a_run_without_a_history_is_ignored(tmp_path: Path) -> None:
    assert set(learning_of(tmp_path).values()) == {None}


def test_folds_are_averaged_where_all_of_them_tell() -> None:
    one, other = {"updates_to_90": 10, "update_s": 0.1}, {"updates_to_90": 30, "update_s": None}
    assert joined_over_folds([one, other]) == {"updates_to_90": 20, "update_s": None}
