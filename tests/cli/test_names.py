"""Folder names of jobs: readable, safe on any file system, and always distinct."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.cli.sweeps.names import name_job


def test_a_job_is_named_by_what_varies() -> None:
    overrides = ["data=annotated", "sampler.gamma=0.08", "seed=1"]
    assert name_job(overrides, {"sampler.gamma", "seed"}, []) == "sampler.gamma=0.08,seed=1"
    assert name_job(overrides, set(), []) == "data=annotated,sampler.gamma=0.08,seed=1"
    assert name_job([], set(), []) == "defaults"


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("data.snr_db=[0, 20]", "data.snr_db=0,20"),
        ("data.root='/data/my set'", "data.root=_data_my_set"),
        ("data.root=..", "data.root="),
        ("+new=a", "new=a"),
        ("~model", "model"),
        ("data.classes=[größe]", "data.classes=größe"),
        ("trainer.lr=0.0012345678901234", "trainer.lr=0.00123457"),
    ],
)
def test_a_name_holds_nothing_that_a_file_system_dislikes(override: str, name: str) -> None:
    assert name_job([override], set(), []) == name


def test_names_that_differ_only_in_case_are_distinguished() -> None:
    taken = [name_job(["a=X"], {"a"}, [])]
    assert name_job(["a=x"], {"a"}, taken) == "a=x-2"
    assert name_job(["a=x"], {"a"}, [*taken, "a=x-2"]) == "a=x-3"


@given(values=st.lists(st.text(max_size=300), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_values_give_different_folders_that_can_be_made(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        names: list[str] = []
        for value in [*values, *values]:
            name = name_job([f"key={value}"], {"key"}, names)
            names.append(name)
            (Path(place) / name).mkdir()
            assert not name.startswith(("-", "."))
            assert Path(name).name == name
    assert len({name.casefold() for name in names}) == 2 * len(values)
