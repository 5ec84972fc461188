"""The page on file formats lists the files that commands write, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from tests.conftest import TINY, TINY_SOUNDSCAPES

PAGE = Path(__file__).parent.parent / "docs" / "file_formats.md"
_ROW = re.compile(r"^\| (.+?) \| (.+?) \|$", re.MULTILINE)
_OPTIONAL = {"front_end.onnx"}  # with feature=onnx alone
_OF_ALL_VERBS = {"run.json", ".hydra"}


def rows_below(heading: str) -> dict[str, str]:
    """The tables of a section: second column by first."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(_ROW.findall(section))


def names_in(cell: str) -> list[str]:
    """Names of files in a cell; ``a.{b,c}`` are two."""
    names = []
    for name in re.findall(r"`([^`]+)`", cell):
        before, _, rest = name.partition("{")
        endings, _, after = rest.partition("}")
        names += [f"{before}{each}{after}" for each in endings.split(",")] if rest else [name]
    return [name for name in names if re.search(r"[./]", name) and " " not in name]


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_run_folder_and_its_checkpoints_hold_what_is_listed(drawn: None, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*TINY, *TINY_SOUNDSCAPES, f"output_dir={run}"]
    assert run_verb("train", words, Flags()) == 0
    rows = rows_below("A run folder")
    verbs = {"eval", "predict", "simulate", "compare", "report", "data", "synth", "export"}
    listed = {
        name.rstrip("/").split("/")[0]
        for first, _ in rows.items()
        if first.strip("`") not in verbs
        for name in names_in(first)
    }
    assert listed == entries(run)
    assert set(names_in(rows["`figures/`"])) == entries(run / "figures")
    checkpoint = {name for first in rows_below("A checkpoint") for name in names_in(first)}
    assert checkpoint - _OPTIONAL == entries(run / "checkpoints" / "last") | {"postprocessing.json"}
    assert entries(run / "checkpoints" / "best") == checkpoint - _OPTIONAL - {"training_state.pt"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb", ["eval", "compare", "report", "export", "data", "synth", "simulate"]
)
def test_other_verbs_write_what_is_listed(
    verb: str, trained_run: Path, drawn: None, tmp_path: Path
) -> None:
    if verb == "export":
        pytest.importorskip("onnxruntime")
    words = {
        "eval": [f"checkpoint={trained_run}"],
        "export": [f"checkpoint={trained_run}"],
        "compare": [str(trained_run)],
        "report": [str(trained_run)],
        "simulate": ["n_batches=3"],
    }.get(verb, [*TINY_SOUNDSCAPES[:4]])
    folder = tmp_path / "folder"
    assert run_verb(verb, [*words, f"output_dir={folder}"], Flags()) == 0
    listed = names_in(rows_below("A run folder")[f"`{verb}`"])
    assert listed
    assert [name for name in listed if not (folder / name).exists()] == []
    others = entries(folder) - _OF_ALL_VERBS - {f"{verb}.log"}
    if verb != "synth":  # audio and annotations are named by split
        assert others == {name.rstrip("/").split("/")[0] for name in listed}
