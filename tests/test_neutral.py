"""Third-party labels, names and messages cannot harm anyone who opens or displays the output."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path

import pytest

from sed_cli.cli.messages import log_to_stderr, say
from sed_cli.cli.sweeps.status import describe
from sed_cli.comparison.tables import _markdown, _write_csv
from sed_cli.data.annotations import Event, check_faults, read_annotations
from sed_cli.errors import CheckpointError, DataError
from sed_cli.reports.tables import results_console
from sed_cli.system.text import PlainFormatter, cell, one_line, plain
from sed_cli.tasks.detection.load import load

ESCAPE = "\x1b]0;owned\x07\x1b[31mdog\u202egod"
WRITTEN = r"\x1b]0;owned\x07\x1b[31mdog\u202egod"


def test_control_characters_are_written_out_and_letters_of_all_languages_stay() -> None:
    assert plain(ESCAPE) == WRITTEN
    assert plain("\x9b31m\u2028\ud800") == r"\x9b31m\u2028\ud800"
    for text in ("", "Zaunkönig", "мышь", "犬 🐕\u200d🦺", "a\tb\nc", "e\u0301", "שלום"):
        assert plain(text) == text
    assert one_line(f"a\n{ESCAPE}") == f"a {WRITTEN}"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+cmd|x", "-cmd|x", "\t=1+1"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_numbers_and_usual_texts_of_cells_stay() -> None:
    for value in (-1.5, None, 3, "-1.5", "+3", "1e-5", "dog", "a-b", "x=1", "é", ""):
        assert cell(value) == value
    assert cell("two\r\nlines") == "two lines"


def test_what_is_printed_and_logged_is_neutral(capfd: pytest.CaptureFixture[str]) -> None:
    say(ESCAPE)
    with log_to_stderr():
        logging.getLogger("sed_cli.test").warning("%s: odd", ESCAPE)
    results_console().print(ESCAPE)
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert out.strip() == WRITTEN.replace(r"\x07", "")  # rich drops this one
    assert err == f"sedtf: {WRITTEN}\n{WRITTEN}: odd\n"
    formatter = PlainFormatter("%(message)s")
    record = logging.LogRecord("a", 30, "a", 1, "%s\n%s", (ESCAPE, "next"), None)
    assert formatter.format(record) == f"{WRITTEN}\nnext"


def test_the_table_of_runs_is_neutral(tmp_path: Path) -> None:
    run = tmp_path / "a\x1b[31mb"
    run.mkdir()
    record = {"status": ESCAPE, "error": ESCAPE, "verb": "train"}
    (run / "run.json").write_text(json.dumps(record))
    lines = "\n".join(describe(tmp_path))
    assert "\x1b" not in lines
    assert r"a\x1b[31mb" in lines


def test_tables_of_a_comparison_are_neutral(tmp_path: Path) -> None:
    _write_csv(tmp_path / "a.csv", [["=1+1", ESCAPE, 0.5]])
    (row,) = csv.reader(io.StringIO((tmp_path / "a.csv").read_text()))
    assert row == ["'=1+1", WRITTEN, "0.5"]
    text = _markdown(["run"], [["<img src=x onerror=alert(1)>|"]])
    assert "<" not in text
    assert r"&lt;img src=x onerror=alert(1)&gt;\|" in text


def test_control_characters_of_labels_are_written_out_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"filename,onset,offset,event_label\na.wav,0,1,{ESCAPE}\n")
    read = read_annotations(path)
    assert read.faults == ()
    assert read.events == {"a.wav": [Event(0.0, 1.0, WRITTEN)]}


@pytest.mark.parametrize("label", ["=cmd|' /C calc'!A0", "@SUM(A1)", "+cmd|x"])
def test_a_label_that_acts_is_a_fault_of_annotations_and_of_a_checkpoint(
    label: str, tmp_path: Path, trained_run: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"filename,onset,offset,event_label\na.wav,0,1,{label}\na.wav,1,2,dog\n")
    read = read_annotations(path)
    assert [fault.line for fault in read.faults] == [2]
    assert read.events == {"a.wav": [Event(1.0, 2.0, "dog")]}
    best = tmp_path / "best"
    best.mkdir()
    for each in (trained_run / "checkpoints" / "best").iterdir():
        (best / each.name).write_bytes(each.read_bytes())
    (best / "classes.json").write_text(json.dumps([label, "low"]))
    with pytest.raises(CheckpointError, match=r"classes\.json: label"):
        load(best)
    with pytest.raises(DataError):
        check_faults(read.faults, strict=True)
