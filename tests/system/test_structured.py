"""Small JSON and YAML files: content out of bounds is refused at once, without being built."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sed_cli.system import structured
from sed_cli.system.structured import (
    UnreadableError,
    check_yaml,
    read_json,
    read_json_object,
    read_plain,
    read_settings,
    read_yaml,
    why,
)

READERS = (read_json, read_json_object, read_yaml, read_settings, check_yaml)


def laughs(levels: int = 20) -> str:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


YAML = {
    "laughs": laughs(),
    "an anchor": "a: &b [1]",
    "itself": "&a [*a]",
    "an object": "a: !!python/object/apply:os.system ['true']",
    "a tag": "a: !unheard_of 1",
    "a set": "a: !!set {b}",
    "deep in brackets": "[" * 100_000,
    "deep in braces": "{a: " * 100_000,
    "deep in lines": "- " * 100_000,
    "deep by indentation": "".join(" " * i + "a:\n" for i in range(200)),
    "wide": "[" + "[]," * 300_000 + "]",
    "a number without end": "a: " + "9" * 100_000,
    "a number of base 60": "a: " + "1:" * 500_000 + "1",
    "no key": "? [a]\n: 1",
    "an incomplete character": 'a: "\\ud800"',
    "torn": "a: [1,",
}
JSON = {
    "deep": "[" * 100_000,
    "deep and whole": "[" * 500 + "]" * 500,
    "wide": "[" + "[]," * 5_000_000 + "1]",
    "a number without end": "9" * 100_000,
    "an incomplete character": '["\\ud800"]',
    "torn": '{"a": [1,',
    "nothing": "",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_out_of_bounds_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(YAML[name])
    with pytest.raises(UnreadableError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", JSON)
def test_json_out_of_bounds_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(JSON[name])
    with pytest.raises(UnreadableError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "read", [read_json, read_json_object, read_yaml, read_settings, check_yaml]
)
def test_what_is_no_file_is_refused_without_waiting(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "terminal").symlink_to("/dev/tty")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "endless", "terminal", "folder"):
        with pytest.raises((UnreadableError, FileNotFoundError)):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "read", [read_json, read_json_object, read_yaml, read_settings, check_yaml]
)
def test_bytes_that_are_no_text_and_files_without_end_are_refused(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(UnreadableError, match="UTF-8"):
        read(path)
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(UnreadableError, match="larger than"):
        read(path)


def test_settings_are_no_more_than_can_be_checked_in_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"pooling: [{','.join(['5'] * 30_000)}]")
    assert len(read_yaml(path)["pooling"]) == 30_000
    with pytest.raises(UnreadableError, match="more than 20000 values"):
        read_settings(path)


def test_texts_may_have_a_mark_and_are_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffä\n".encode())
    assert read_plain(path) == "ä\n"
    path.write_bytes(b"\xff")
    with pytest.raises(UnreadableError, match="UTF-8"):
        read_plain(path)


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (lambda values: values[3], "a value of another kind than expected"),
        (lambda values: values.items(), "a value of another kind than expected"),
        (float, "a value of another kind than expected"),
        (lambda values: {}["thresholds"], "no 'thresholds'"),
        (lambda values: int("x"), "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_pythons_text_on_types_is_no_message(access: Callable[[Any], Any], words: str) -> None:
    with pytest.raises((TypeError, AttributeError, KeyError, ValueError)) as caught:
        access(None)
    assert why(caught.value) == words


def test_plain_values_are_read_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: ${oc.env:HOME}\nb: [1, 1.5, null, true]\nc: 2026-01-31\nd: {e: 'x y'}\n")
    assert read_settings(path) == {
        "a": "${oc.env:HOME}",
        "b": [1, 1.5, None, True],
        "c": "2026-01-31",
        "d": {"e": "x y"},
    }
    path.write_text("")
    assert read_settings(path) == {}


def test_a_users_own_file_may_use_aliases_within_reason(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {b: 1}\nc: {<<: *a}\nd: *a\n")
    check_yaml(path)
    for text in (laughs(), "&a [*a]", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(UnreadableError):
            check_yaml(path)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_text_of_too_many_lines_is_refused(tmp_path: Path, end: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"1{end}" * 4, newline="")
    assert read_plain(path, most_lines=4).splitlines() == ["1"] * 4
    with pytest.raises(UnreadableError, match="more than 3 lines"):
        read_plain(path, most_lines=3)


def test_variables_raise_the_limits_of_tables_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structured, "_TEXT_BYTES", 10)
    monkeypatch.setattr(structured, "_JSON_VALUES", 3)
    table, record = tmp_path / "history.csv", tmp_path / "metrics.json"
    table.write_text("1\n" * 8)
    record.write_text("[1, 2, 3, 4]")
    with pytest.raises(UnreadableError, match=r"larger than 10 bytes, .*SEDTF_LARGEST_MB raises"):
        read_plain(table)
    with pytest.raises(UnreadableError, match=r"more than 3 values, .*SEDTF_LARGEST_MB raises"):
        read_json(record)
    monkeypatch.setenv("SEDTF_LARGEST_MB", "512")
    assert len(read_plain(table)) == 16
    assert read_json(record) == [1, 2, 3, 4]
    with pytest.raises(UnreadableError, match=r"more than 4 lines, .*SEDTF_MOST_LINES raises"):
        read_plain(table, most_lines=4)
    monkeypatch.setenv("SEDTF_MOST_LINES", "6e6")
    assert len(read_plain(table, most_lines=4)) == 16
    monkeypatch.setenv("SEDTF_LARGEST_MB", "1e-9")  # lowers the limits of annotations alone
    record.write_text("[1]")
    assert read_json(record) == [1]
