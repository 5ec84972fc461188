"""Untrusted small JSON and YAML files: read as plain values within bounds, or rejected.

Files of a run, a checkpoint or a data set may be untrusted or damaged. So only regular files
are opened (a pipe would block, a device has no end), size, depth and the number of values are
bounded before anything is built, and YAML may contain neither tags, which instantiate objects,
nor aliases, by which a few lines expand to billions. Text such as ``${...}`` stays text.
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
from sed_cli.system.limits import LINES_VARIABLE, SIZE_VARIABLE, raised_lines, raised_size
from sed_cli.system.text import one_line

_JSON_BYTES, _YAML_BYTES, _TEXT_BYTES = 64 * 2**20, 4 * 2**20, 64 * 2**20
_TEXT_LINES = 1_000_000
_MOST_EPOCHS, _MOST_CELLS = 200_000, 4_000_000  # lines of a history, and its cells
_JSON_VALUES, _YAML_VALUES, _SETTINGS = 4_000_000, 200_000, 20_000
_DEEPEST = 64
_LONGEST_REASON = 300  # characters; numbers may have thousands
_LONGEST_NUMBER = 64  # digits; YAML's base 60 numbers would take forever
_NUMBER = re.compile(r"[-+]?[.\d]")
# Python's messages for a value of the wrong type, which do not describe the file.
_OF_PYTHON = re.compile(
    r"\b(object|argument must|NoneType|str instance|must be real number)\b|operand"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableError(UserError, ValueError):
    """An invalid file; ``reason`` is the message without its path."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


def why(error: Exception) -> str:
    """Message of an error from reading a file, in one line, without the path."""
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
    """Open a regular file for reading: a pipe would block, a device has no end.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is something else, such as a folder, a pipe or a device.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # before opening, which may act on a device
        raise UnreadableError(path, "expected a file, got a folder, a pipe or a device")
    # A pipe that has replaced it in the meantime does not block.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    file = os.fdopen(descriptor, "rb")  # buffered, so that it can be hashed
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise UnreadableError(path, "expected a file, got a folder, a pipe or a device")
    return file


def check_arrays(path: Path, longest_header: int) -> None:
    """Reject what is no file, and a header of more arrays than a file of safetensors may have.

    Raises:
        OSError: if it is missing or may not be read.
        ValueError: with the reason.
    """
    with open_regular(path) as file:  # a pipe would block
        length = int.from_bytes(file.read(8), "little")
    if length > longest_header:
        raise ValueError(f"a header of {length} bytes, more than {longest_header}")


def read_limited(path: Path, limit: int, *, most_lines: int | None = None) -> bytes:
    """Read a regular file of at most ``limit`` bytes, and so many lines, unless variables raise it.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is something else, such as a folder, a pipe or a device, or longer.
    """
    limit = raised_size(limit)
    with open_regular(path) as file:
        is_longer = os.fstat(file.fileno()).st_size > limit  # known without reading it
        content = b"" if is_longer else file.read(limit + 1)
    if is_longer or len(content) > limit:
        size = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit} bytes"
        raise _too_much(path, f"larger than {size}", SIZE_VARIABLE)
    if most_lines is not None:
        most = raised_lines(most_lines)
        if max(content.count(b"\n"), content.count(b"\r")) > most:
            raise _too_much(path, f"more than {most:,} lines", LINES_VARIABLE)
    return content


def _too_much(path: Path, fault: str, variable: str) -> UnreadableError:
    return UnreadableError(
        path, f"{fault}, so hardly a file of sedtf (the variable {variable} raises this limit)"
    )


def read_plain(path: Path, *, most_lines: int = _TEXT_LINES) -> str:
    """Read a text in UTF-8, with or without BOM, such as a table or a list of names.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is not such text, or out of bounds.
    """
    try:
        content = read_limited(path, _TEXT_BYTES, most_lines=most_lines)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"not a text in UTF-8 (byte {error.start})") from error


def read_history_text(path: Path) -> str:
    """Read the text of a table of epochs.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is not such text, or out of bounds.
    """
    text = read_plain(path, most_lines=_MOST_EPOCHS)
    most = raised_size(_MOST_CELLS)
    if text.count(",") > most:
        raise _too_much(path, f"more than {most:,} cells", SIZE_VARIABLE)
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is not JSON, or out of bounds.
    """
    content = read_limited(path, _JSON_BYTES)
    most = raised_size(_JSON_VALUES)
    if sum(map(content.count, (b",", b"[", b"{"))) > most:
        raise _too_much(path, f"more than {most:,} values", SIZE_VARIABLE)
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
        UnreadableError: if it is not YAML, is out of bounds, or has tags or aliases.
    """
    return _read_yaml(path, _YAML_VALUES)


def _read_yaml(path: Path, most: int) -> Any:
    content = read_limited(path, _YAML_BYTES)

    def parse() -> Any:
        text = content.decode("utf-8")
        _check_events(text, is_own=True, most=most)
        # A kind of SafeLoader: it creates plain values, never objects of classes named in the file.
        return yaml.load(text, Loader=_PlainSafeLoader)

    return _checked(path, parse)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings by name; empty if the file is. See :func:`read_yaml`."""
    values = _read_yaml(path, _SETTINGS)  # since checking each takes time
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UnreadableError(path, f"expected settings, KEY: VALUE, got {_kind(values)}")
    return values


def check_yaml(path: Path) -> None:
    """Reject a YAML file of the user that would take forever to read; aliases are allowed.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is not YAML, or too large after expanding its aliases.
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
    """Reject values nested too deeply, and text that cannot be encoded."""
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
                raise ValueError("text with an incomplete character (a lone surrogate)")
        level = inner


# ------------------------------------------------------------------------------------- YAML

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainSafeLoader(_SafeLoader):  # type: ignore[misc]  # of one of two types
    """A safe loader that reads dates as text, like OmegaConf."""


_PlainSafeLoader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _check_events(text: str, *, is_own: bool, most: int = _YAML_VALUES) -> None:
    """Scan a YAML text without building values.

    Args:
        text: to check.
        is_own: whether sedtf wrote it, which uses neither tags nor aliases.
        most: maximum number of values.
    """
    sizes: dict[str, int] = {}  # of anchored values, with expanded aliases
    open_ones: list[tuple[str | None, int]] = []  # anchors of open values, and counts
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
                    raise ValueError(f"{_line(event)}: *{anchor} contains itself")
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
