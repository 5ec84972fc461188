"""Small JSON and YAML files, whoever wrote them: read as plain values, within bounds, or refused.

What is read here came from a run, a checkpoint or a set that may be a stranger's, or damaged. So
only regular files are opened (a pipe would be waited for, a device has no end), size, depth and the
number of values are bounded before anything is built of them, and YAML has neither tags, which name
objects to be made, nor aliases, by which a few lines stand for billions. Text such as ``${...}`` is
text.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

from sed_cli.errors import UserError
from sed_cli.system.text import one_line

_JSON_BYTES, _YAML_BYTES, _TEXT_BYTES = 64 * 2**20, 4 * 2**20, 64 * 2**20
_TEXT_LINES = 1_000_000
MOST_EPOCHS = 200_000  # lines of a history
_JSON_VALUES, _YAML_VALUES, _SETTINGS = 4_000_000, 200_000, 20_000
_DEEPEST = 64
_LONGEST_REASON = 300  # characters; a number in it may have thousands
_LONGEST_NUMBER = 64  # digits; those of base 60, which YAML has, would take for ever
_NUMBER = re.compile(r"[-+]?[.\d]")
# What Python says of a value that was taken for one of another type: nothing of the file.
_OF_PYTHON = re.compile(
    r"\b(object|argument must|NoneType|str instance|must be real number)\b|operand"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableError(UserError, ValueError):
    """A file that is not what it should be; ``reason`` is the message without its path."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


def why(error: Exception) -> str:
    """What an error of reading a file says, in a line, without the path."""
    if isinstance(error, UnreadableError):
        return error.reason
    if isinstance(error, KeyError):
        return f"no {one_line(error)}"[:_LONGEST_REASON]
    if isinstance(error, AttributeError) or (
        isinstance(error, TypeError) and _OF_PYTHON.search(str(error))
    ):
        return "a value of another kind than expected"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text.strip() or type(error).__name__)[:_LONGEST_REASON]


def open_regular(path: Path) -> BufferedReader:
    """Open a file to be read, if it is one: a pipe would be waited for, a device has no end.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is something else, such as a folder, a pipe or a device.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # before it is opened, which may act on a device
        raise UnreadableError(path, "expected a file, got a folder, a pipe or a device")
    # If a pipe has taken its place meanwhile, it is not waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    file = os.fdopen(descriptor, "rb")  # buffered, so that it can be hashed
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise UnreadableError(path, "expected a file, got a folder, a pipe or a device")
    return file


def read_limited(path: Path, limit: int, *, most_lines: int | None = None) -> bytes:
    """Read a regular file of at most ``limit`` bytes, and so many lines.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is something else, such as a folder, a pipe or a device, or longer.
    """
    with open_regular(path) as file:
        is_longer = os.fstat(file.fileno()).st_size > limit  # told without reading it
        content = b"" if is_longer else file.read(limit + 1)
    if is_longer or len(content) > limit:
        raise UnreadableError(path, f"longer than {limit // 2**20} MiB, so none of sedtf's")
    if most_lines is not None and max(content.count(b"\n"), content.count(b"\r")) > most_lines:
        raise UnreadableError(path, f"more than {most_lines:,} lines, so none of sedtf's")
    return content


def read_plain(path: Path, *, most_lines: int = _TEXT_LINES) -> str:
    """Read a text in UTF-8, with or without its mark, such as a table or a list of names.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is no such text, or out of bounds.
    """
    try:
        content = read_limited(path, _TEXT_BYTES, most_lines=most_lines)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"not a text in UTF-8 (byte {error.start})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is no JSON, or out of bounds.
    """
    content = read_limited(path, _JSON_BYTES)
    if sum(map(content.count, (b",", b"[", b"{"))) > _JSON_VALUES:
        raise UnreadableError(path, f"more than {_JSON_VALUES} values")
    return _checked(path, lambda: json.loads(content.decode("utf-8")))


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; see :func:`read_json`."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise UnreadableError(path, f"expected a JSON object, got {_kind(values)}")
    return values


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is no YAML, is out of bounds, or has tags or aliases.
    """
    return _read_yaml(path, _YAML_VALUES)


def _read_yaml(path: Path, most: int) -> Any:
    content = read_limited(path, _YAML_BYTES)

    def parse() -> Any:
        text = content.decode("utf-8")
        _check_events(text, is_own=True, most=most)
        # A kind of SafeLoader: it makes plain values, never objects of a class that the file names.
        return yaml.load(text, Loader=_PlainSafeLoader)

    return _checked(path, parse)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings by name; none where it is empty. See :func:`read_yaml`."""
    values = _read_yaml(path, _SETTINGS)  # each of which takes its time to be checked
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UnreadableError(path, f"expected settings, KEY: VALUE, got {_kind(values)}")
    return values


def check_yaml(path: Path) -> None:
    """Refuse a YAML file of the user's own that would take for ever to read; aliases are free.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is no YAML, or would be too much when its aliases are followed.
    """
    content = read_limited(path, _YAML_BYTES)
    _checked(path, lambda: _check_events(content.decode("utf-8-sig"), is_own=False))


def _kind(values: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(values), "a number")


def _checked(path: Path, parse: Callable[[], Any]) -> Any:
    try:
        values = parse()
        _check_values(values)
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"not a text in UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise UnreadableError(path, f"nested more than {_DEEPEST} deep") from error
    except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:
        raise UnreadableError(path, one_line(error)) from error
    return values


def _check_values(values: object) -> None:
    """Refuse what is nested too deep to be worked on, and text that cannot be written."""
    level, depth = [values], 0
    while level:
        if (depth := depth + 1) > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
                raise ValueError("a text with half a character (a lone surrogate)")
        level = inner


# ------------------------------------------------------------------------------------- YAML

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainSafeLoader(_SafeLoader):  # type: ignore[misc]  # of one of two types
    """A safe loader to which dates are text, as they are to OmegaConf."""


_PlainSafeLoader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _check_events(text: str, *, is_own: bool, most: int = _YAML_VALUES) -> None:
    """Go through a YAML text without building anything of it.

    Args:
        text: to be checked.
        is_own: it was written by sedtf, which uses neither tags nor aliases.
        most: values there may be.
    """
    sizes: dict[str, int] = {}  # of what has an anchor, with all that its aliases stand for
    open_ones: list[tuple[str | None, int]] = []  # anchors of what is not closed yet, and counts
    count = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_ones.pop()
            if anchor:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            anchor = event.anchor
            if is_own and (anchor or getattr(event, "tag", None) not in (None, "!")):
                raise ValueError(f"{_line(event)}: a tag, an anchor or an alias")
            if isinstance(event, yaml.AliasEvent):
                if anchor not in sizes:
                    raise ValueError(f"{_line(event)}: *{anchor} holds itself")
                count += sizes[anchor]
            else:
                count += 1
                _check_scalar(event)
            if isinstance(event, yaml.CollectionStartEvent):
                open_ones.append((anchor, count))
            elif anchor and not isinstance(event, yaml.AliasEvent):
                sizes[anchor] = 1
        if len(open_ones) > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        if count > most:
            raise ValueError(f"more than {most} values")


def _check_scalar(event: yaml.Event) -> None:
    if not isinstance(event, yaml.ScalarEvent) or event.style in ("'", '"'):
        return
    if len(event.value) > _LONGEST_NUMBER and _NUMBER.match(event.value):
        raise ValueError(f"{_line(event)}: a number of {len(event.value)} characters")


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_SafeLoader)
