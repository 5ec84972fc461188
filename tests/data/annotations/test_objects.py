"""Any JSON, XML and MATLAB files: what is found in them, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from sed_cli.data.annotations import Annotations, Event, check_faults, read_annotations
from sed_cli.errors import DataError
from tests.data.annotations import bank
from tests.data.annotations.test_hostile import read_or_refuse

CALL = {"start": 1.0, "end": 1.5, "label": "call"}
SONG = {"start": 2.0, "end": 2.5, "label": "song"}


def read(folder: Path, content: Any, name: str = "a.json") -> Annotations:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return read_annotations(folder / name)


def events(folder: Path, content: Any) -> dict[str, list[tuple[float, float, str]]]:
    found = read(folder, content)
    check_faults(found.faults, strict=True)
    return {name: [tuple(event) for event in of] for name, of in found.events.items()}


BOTH = [(1.0, 1.5, "call"), (2.0, 2.5, "song")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([CALL, SONG], {"a": BOTH}),
        ({"train": [CALL], "test": [SONG]}, {"a": BOTH}),
        ([{"audio": "x.wav", "calls": [CALL]}, {"audio": "y.wav", "calls": [SONG]}],
         {"x.wav": BOTH[:1], "y.wav": BOTH[1:]}),
        ({"x.wav": [CALL], "y.wav": []}, {"x.wav": BOTH[:1], "y.wav": []}),
        ({"call": [{"start": 1.0, "end": 1.5}], "song": [{"start": 2.0, "end": 2.5}]},
         {"a": BOTH}),
        ([{"begin_ms": 1000, "dur_ms": 500, "class": {"id": 3, "name": "call"}}],
         {"a": BOTH[:1]}),
        ([{"start": "00:00:01.0", "end": "1,5", "tags": 0, "species": "call"}], {"a": BOTH[:1]}),
        ([{"start": 1.0, "end": 1.5, "labels": ["call", "song"]}],
         {"a": [(1.0, 1.5, "call"), (1.0, 1.5, "song")]}),
        ({"segments": [{**CALL, "words": [{"word": "x", "start": 1.1, "end": 1.2}]}]},
         {"a": BOTH[:1]}),
    ],
)  # fmt: skip
def test_events_are_found_wherever_they_stand(
    content: Any, expected: dict[str, Any], tmp_path: Path
) -> None:
    assert events(tmp_path, content) == expected


def test_lists_of_another_kind_are_named(tmp_path: Path) -> None:
    words = [{"word": "x", "start": 1.1, "end": 1.2}]
    found = read(tmp_path, {"segments": [{"start": 1, "end": 2, "text": "x y"}], "words": words})

    assert [event.label for event in found.events["a"]] == ["x y"]
    assert "skipped (words): 1" in str(found.taken)


def test_faults_count_events(tmp_path: Path) -> None:
    (fault,) = read(tmp_path, [CALL, {**SONG, "end": 1.0}]).faults
    assert fault.place_and_message == "event 2: offset 1 is not after onset 2"


KEYS = st.sampled_from(
    ("start", "end", "label", "labels", "annotations", "data", "result", "value", "audio", "file",
     "metadata", "attribute", "vid", "z", "av", "categories", "sound_id", "category_id", "tags",
     "event_annotation", "sound_event_annotations", "collection_type", "onset", "x.wav")
)  # fmt: skip
VALUES = st.sampled_from((None, True, 0, 1.5, -1, 10**400, float("nan"), "x", "\ud800", "a.wav"))


def test_any_json_of_these_keys_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.json"
    inner = st.recursive(
        VALUES,
        lambda of: st.lists(of, max_size=3) | st.dictionaries(KEYS, of, max_size=4),
        max_leaves=20,
    )

    @settings(max_examples=25, deadline=None)
    @given(content=inner)
    def check(content: Any) -> None:
        for whole in (content, [content], {"data": content}):
            path.write_text(json.dumps(whole), encoding="utf-8")
            read_or_refuse(path)

    check()


# ------------------------------------------------------------------------------- XML, MATLAB

BOMB = '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>\n'
_ATTRIBUTES = " ".join(f'a{i}=""' for i in range(20_000))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.eaf", f"{BOMB}<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>", "declares entities"),
        (
            "a.svl",
            '<!DOCTYPE sv [<!ENTITY x SYSTEM "file:///etc/passwd">]><sv>&x;</sv>',
            "entities",
        ),
        (
            "a.eaf",  # each would be compared with all before it
            f"<!DOCTYPE a [{'<!ATTLIST a b CDATA #IMPLIED>' * 9000}]><ANNOTATION_DOCUMENT/>",
            "declares entities or attributes",
        ),
        (
            "a.eaf",
            f"<ANNOTATION_DOCUMENT {_ATTRIBUTES}/>",
            "a tag of more than 100,000 characters",
        ),
        ("a.eaf", "<a>" * 1000, "nested more than 64 deep"),
        ("a.eaf", "<ANNOTATION_DOCUMENT>", "broken XML"),
        ("a.xml", "<html></html>", "not a known format"),
    ],
)
def test_xml_that_is_no_data_is_refused(
    name: str, content: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path, content, name)


def test_annotations_that_hang_on_others_have_their_times(tmp_path: Path) -> None:
    text = bank.elan("a", [Event(1.0, 1.5, "x")]).replace(
        '<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="remarks"/>',
        '<TIER TIER_ID="species" PARENT_REF="calls"><ANNOTATION><REF_ANNOTATION '
        'ANNOTATION_ID="b" ANNOTATION_REF="a0"><ANNOTATION_VALUE>wren</ANNOTATION_VALUE>'
        "</REF_ANNOTATION></ANNOTATION></TIER>",
    )
    (tmp_path / "a.eaf").write_text(text)

    found = read_annotations(tmp_path / "a.eaf", columns={"event_label": "species"})

    assert found.events == {"a": [Event(1.0, 1.5, "wren")]}


def test_a_matlab_file_of_something_else_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    savemat(buffer, {"spectrogram": [[1.0, 2.0]]})
    (tmp_path / "a.mat").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="a MATLAB file without onsets, offsets and labels"):
        read_annotations(tmp_path / "a.mat")


@pytest.mark.parametrize("n_labels", [2, 4])
def test_syllables_without_their_letter_are_refused(n_labels: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    times = [1.0, 2.0, 3.0]
    savemat(buffer, {"onsets": times, "offsets": times, "labels": "x" * n_labels})
    (tmp_path / "a.wav.not.mat").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=f"3 onsets, 3 offsets and {n_labels} labels"):
        read_annotations(tmp_path / "a.wav.not.mat")


@pytest.mark.parametrize("n_bytes", [128, 200, 400, 700])
def test_damaged_matlab_files_are_refused(n_bytes: int, tmp_path: Path) -> None:
    whole = next(iter(bank.not_mat(".wav").values()))
    (tmp_path / "a.wav.not.mat").write_bytes(bytes(whole)[:n_bytes])
    read_or_refuse(tmp_path / "a.wav.not.mat")


@pytest.mark.parametrize("is_cells", [False, True])
def test_compressed_syllables_are_read(is_cells: bool, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    labels = np.array(["a", "b"], dtype=object) if is_cells else "ab"
    more = {"note": {"nested": np.zeros(3)}, "labels": labels}
    savemat(buffer, {"onsets": [1e3, 3e3], "offsets": [2e3, 4e3], **more}, do_compression=True)
    (tmp_path / "a.wav.not.mat").write_bytes(buffer.getvalue())

    found = read_annotations(tmp_path / "a.wav.not.mat").events
    assert list(found.values()) == [[Event(1.0, 2.0, "a"), Event(3.0, 4.0, "b")]]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([np.zeros(2**20)] * 20, "labels takes more than 128 MiB when unpacked"),
        ([{"name": "a"}] * 2, "labels is not an array of numbers or text"),
    ],
)
def test_what_a_small_matlab_file_unpacks_to_is_bounded(
    labels: list[Any], reason: str, tmp_path: Path
) -> None:
    cells = np.empty(len(labels), dtype=object)
    cells[:] = labels
    buffer = io.BytesIO()
    times = np.arange(len(labels), dtype=float)
    savemat(buffer, {"labels": cells, "onsets": times, "offsets": times + 0.5}, do_compression=True)
    assert len(buffer.getvalue()) < 2**20
    (tmp_path / "a.wav.not.mat").write_bytes(buffer.getvalue())

    with pytest.raises(DataError, match=reason):
        read_annotations(tmp_path / "a.wav.not.mat")
