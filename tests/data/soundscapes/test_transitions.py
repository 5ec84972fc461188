"""A given syntax: from a table, JSON or a mapping; as weights."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.data.annotations import read_annotations
from sed_cli.data.soundscapes.composing import compose_recording, syntax_of
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.transitions import read_transition
from sed_cli.errors import DataError
from tests.conftest import Sedtf

CLASSES = ("bell", "call", "siren")
WEIGHTS = {"bell": {"siren": 3, "bell": 1}, "siren": {"call": 2}, "call": {"bell": 1, "call": 1}}
EXPECTED = ((0.25, 0.0, 0.75), (0.5, 0.5, 0.0), (0.0, 1.0, 0.0))


def test_a_mapping_is_weights_in_any_order() -> None:
    assert read_transition(WEIGHTS, CLASSES) == EXPECTED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(WEIGHTS)),
        ("b.json", json.dumps({"classes": CLASSES, "transition": EXPECTED})),
        ("c.json", json.dumps({"syntax": {"classes": CLASSES, "transition": EXPECTED}})),
        ("d.csv", "from,siren,bell,call\nbell,3,1,0\ncall,,2,2\n\nsiren,0,,7\n"),
        ("e.tsv", "\tbell\tcall\tsiren\nsiren\t0\t1\t0\ncall\t0.5\t0.5\t\nbell\t1\t0\t3\n"),
    ],
)
def test_files_of_every_kind_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_transition(str(tmp_path / name), CLASSES) == EXPECTED


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"bell": {"bell": 1}}, "it has no transitions from call, siren"),
        ({**WEIGHTS, "oboe": {"bell": 1}}, "oboe: not among the classes bell, call, siren"),
        ({**WEIGHTS, "bell": {"call": -1}}, "after bell: call -1; expected numbers of at least 0"),
        ({**WEIGHTS, "bell": {"call": "x"}}, "after bell: call 'x'"),
        ({**WEIGHTS, "bell": {"call": 0}}, "nothing follows bell"),
        ([[1, 2], [3, 4]], "expected a mapping"),
        ({"bell": 3}, "expected a mapping"),
        ("nowhere.csv", "data.transition=nowhere.csv: no such file"),
    ],
)
def test_faults_are_reported(given: Any, expected: str) -> None:
    with pytest.raises(DataError, match=r"^data\.transition") as caught:
        read_transition(given, CLASSES)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{not json", "not readable as JSON"),
        ("from,bell,call,siren\nbell,1,2\n", "rows of [2] numbers under 3 classes"),
        ("from,bell\nbell,much\n", "could not convert string to float: 'much'"),
        ("from,bell,bell\nbell,1,1\n", "a class is listed twice"),
        ("", "expected a mapping"),
        ('{"classes": ["bell"], "transition": [[1], [2]]}', "rows of [1] numbers under 1 classes"),
        ('{"classes": 3, "transition": 4}', "expected a mapping"),
    ],
)
def test_faulty_files_are_reported(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_transition(str(tmp_path / "given"), CLASSES)
    assert expected in str(caught.value)


def test_the_syntax_of_a_set_that_is_there_can_be_followed(
    recordings: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    assert sedtf("data", "data=annotated", f"data.root={recordings}", "output_dir=look") == 0
    found = read_transition(str(tmp_path / "look" / "data.json"), ("high", "low"))
    counts = np.zeros((2, 2))
    for split in ("train", "validation", "test"):
        for events in read_annotations(recordings / f"{split}.tsv").events.values():
            for before, after in pairwise(event.label for event in events):
                counts[int(before == "low"), int(after == "low")] += 1
    assert counts.sum() > 10
    np.testing.assert_allclose(found, counts / counts.sum(axis=1, keepdims=True), rtol=1e-12)


def test_a_given_syntax_is_followed_and_the_gaps_stay_drawn() -> None:
    cycle = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    drawn = SoundscapeSettings(
        n_train=6, classes=CLASSES, polyphony=1, duration_s=10.0, sample_rate=8000
    )
    given = SoundscapeSettings(**{**drawn.as_json(), "transition": cycle})
    np.testing.assert_array_equal(syntax_of(given).transition, cycle)
    np.testing.assert_array_equal(syntax_of(given).gap_s, syntax_of(drawn).gap_s)
    heard: Counter[tuple[str, str]] = Counter()
    for number in range(given.n_train):
        scene, _ = compose_recording(given, "train", number)
        labels = [event.source.label for event in scene.events]
        heard.update(pairwise(labels))
    assert heard.total() > 15
    assert set(heard) <= {("bell", "call"), ("call", "siren"), ("siren", "bell")}


def test_a_table_of_too_many_classes_is_refused_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "wide.tsv"
    path.write_text("\t".join(map(str, range(2000))) + "\n" + "not\ta\tnumber\n")
    with pytest.raises(DataError, match="more than 1,000 classes; expected a mapping"):
        read_transition(str(path), CLASSES)
    with pytest.raises(DataError, match="0, 1, 10, 11, 12, 13, 14, 15 and 12 more: not among"):
        read_transition({str(n): {"bell": 1} for n in range(20)} | WEIGHTS, CLASSES)
