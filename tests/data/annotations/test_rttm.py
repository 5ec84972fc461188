"""RTTM: the lines that are events, and spaces in labels of a format without spaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, dump_annotations, read_annotations
from sed_cli.errors import DataError


def read(folder: Path, content: str) -> Annotations:
    path = folder / "a.rttm"
    path.write_text(content, encoding="utf-8")
    return read_annotations(path)


def test_speaker_lines_are_events_and_nothing_else_is(tmp_path: Path) -> None:
    content = """\
;; by some tool
# by hand
SPKR-INFO rec 1 <NA> <NA> <NA> unknown dog <NA> <NA>

SPEAKER rec 1 0.500 0.250 <NA> <NA> dog <NA> <NA>
SPEAKER  rec  1  2.1  0.2  <NA>  <NA>  cat  0.9
SPEAKER\tother\t1\t0\t1\t<NA>\t<NA>\tdog\t<NA>\t<NA>
LEXEME rec 1 0.5 0.2 hello lex dog <NA> <NA>
"""

    annotations = read(tmp_path, content)

    assert (annotations.format, annotations.names_files) == ("rttm", True)
    assert annotations.faults == ()
    assert annotations.events == {
        "rec": [Event(0.5, 0.75, "dog"), Event(2.1, 2.3, "cat")],
        "other": [Event(0.0, 1.0, "dog")],
    }


def test_blanks_that_careless_writers_left_in_labels_are_theirs(tmp_path: Path) -> None:
    line = "SPEAKER rec 1 0.5 0.25 <NA> <NA> dog bark <NA> <NA>\n"

    assert read(tmp_path, line).events == {"rec": [Event(0.5, 0.75, "dog bark")]}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("site 1 1 0.5 0.25 <NA> <NA> dog <NA> <NA>", "site 1"),
        ("site 1 1 0.5 0.25 <NA> <NA> dog <NA>", "site 1"),
        ("my rec 2 1 0.5 0.25 <NA> <NA> dog", "my rec 2"),
        ("rec 1 0.5 0.25 NA NA dog NA NA", "rec"),
    ],
)
def test_blanks_in_a_file_name_are_its_own_by_the_fixed_fields(
    fields: str, name: str, tmp_path: Path
) -> None:
    annotations = read(tmp_path, f"SPEAKER {fields}\n")

    assert annotations.faults == ()
    assert annotations.events == {name: [Event(0.5, 0.75, "dog")]}
    assert bool(annotations.taken.notes) == (" " in name)


def test_surplus_fields_that_nothing_explains_are_a_fault(tmp_path: Path) -> None:
    for fields in ("site 1 1 1.78 1.14 x x dog <NA> <NA>", "site 1 1 1.78 1.14 x x dog <NA>"):
        (fault,) = read(tmp_path, f"SPEAKER {fields}\n").faults
        assert fault.line == 1
        assert "is there a blank in a name?" in fault.message


def test_a_file_of_comments_holds_no_events(tmp_path: Path) -> None:
    for content in ("", ";; nothing\n"):
        annotations = read(tmp_path, content)
        assert (annotations.format, annotations.faults) == ("rttm", ())
        assert list(annotations.events.values()) == [[]]


def test_faults_name_their_lines(tmp_path: Path) -> None:
    lines = [
        "SPEAKER rec 1 0.5 0.25 <NA> <NA> dog <NA> <NA>",
        "SPEAKER rec 1 0.5",
        "SPEEKER rec 1 0.5 0.25 <NA> <NA> dog <NA> <NA>",
        "SPEAKER rec 1 0.5 0.25 <NA> <NA> <NA> <NA> <NA>",
        "SPEAKER rec 1 0.5 0 <NA> <NA> dog <NA> <NA>",
        "SPEAKER rec 1 0.5 x <NA> <NA> dog <NA> <NA>",
        "SPEAKER rec 1 0.50 0.25 <NA> <NA> dog <NA> <NA>",
    ]

    annotations = read(tmp_path, "\n".join(lines))

    assert [fault.line for fault in annotations.faults] == [2, 3, 4, 5, 6, 7]
    assert annotations.events == {"rec": [Event(0.5, 0.75, "dog")]}


def test_names_and_labels_are_written_as_words_and_without_ending() -> None:
    found = {"audio/my rec.wav": [Event(0.5, 0.75, "dog  bark")], "quiet.wav": []}

    assert dump_annotations(found, "rttm") == (
        "SPEAKER my_rec 1 0.500000 0.250000 <NA> <NA> dog_bark <NA> <NA>\n"
    )


@pytest.mark.parametrize(
    ("names", "labels", "what"),
    [
        (("a.wav", "a.flac"), ("x", "x"), "file names 'a.wav' and 'a.flac' are both 'a'"),
        (("a b", "a_b"), ("x", "x"), "file names 'a b' and 'a_b' are both 'a_b'"),
        (("a", "b"), ("dog bark", "dog_bark"), "labels 'dog bark' and 'dog_bark' are both"),
    ],
)
def test_what_cannot_be_distinguished_is_not_written(
    names: tuple[str, str], labels: tuple[str, str], what: str
) -> None:
    found = {name: [Event(0.0, 1.0, label)] for name, label in zip(names, labels, strict=True)}
    with pytest.raises(DataError, match=what):
        dump_annotations(found, "rttm")
