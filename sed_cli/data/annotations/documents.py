"""Annotation files that are documents: JSON, JSON Lines, XML; each is parsed once."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from sed_cli.data.annotations.bounds import largest_document_bytes
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError
from sed_cli.system.limits import SIZE_VARIABLE
from sed_cli.system.markup import parse_xml

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlong, _REPR.maxother = 2, 60, 30, 60
_DEEPEST = 64
_BYTES_OF_A_VALUE = 16  # of a document as large as is read: fewer, and it would hold more values
_JSON = re.compile(r'\s*(\{\s*("[^"\n]{0,200}"\s*:|\}\s*$)|\[\s*[\[{\]])')


def looks_like_json(text: Text) -> bool:
    """Whether a text starts like an object or a list of objects."""
    return _JSON.match(text.content) is not None


def json_of(text: Text) -> Any:
    """Return the content of a JSON file, or a list of its lines' contents.

    Raises:
        DataError: if it is invalid or nested too deeply.
    """
    return _once(text, "json", lambda: _load(text))


def json_or_none(text: Text) -> Any:
    """Return the content of a JSON file; ``None`` if it cannot be read."""
    if not looks_like_json(text):
        return None
    try:
        return json_of(text)
    except DataError:
        return None


def xml_of(text: Text) -> Element:
    """Return the root of an XML file.

    Raises:
        DataError: if it is invalid, or declares entities.
    """

    def parse() -> Element:
        try:
            return parse_xml(text.content)
        except ValueError as error:
            raise DataError(f"{text.path}: {error}") from error

    root: Element = _once(text, "xml", parse)
    return root


def xml_or_none(text: Text) -> Element | None:
    """Return the root of an XML file; ``None`` if it cannot be read."""
    if text.content[:10_000].lstrip()[:1] != "<":
        return None
    try:
        return xml_of(text)
    except DataError:
        return None


def shown(value: Any) -> str:
    """Return a JSON value for a message, however large or deep it is."""
    return _REPR.repr(value)


def as_dicts(values: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; empty if it is something else."""
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _once(text: Text, key: str, parse: Callable[[], Any]) -> Any:
    if key not in text.found:
        try:
            text.found[key] = parse()
        except DataError as error:
            text.found[key] = error
    found = text.found[key]
    if isinstance(found, DataError):
        raise found
    return found


def _load(text: Text) -> Any:
    n_values = sum(map(text.content.count, (",", "[", "{")))
    most = round(largest_document_bytes() / _BYTES_OF_A_VALUE)
    if n_values > most:
        raise DataError(
            f"{text.path}: JSON of some {n_values:,} values, but {most:,} are the limit (the "
            f"variable {SIZE_VARIABLE} raises it); split it"
        )
    try:
        try:
            content = json.loads(text.content)
        except ValueError:
            lines = [line for line in text.lines if line.strip()]
            if len(lines) < 2 or not all(line.lstrip()[:1] == "{" for line in lines[:10]):
                raise
            content = [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"{text.path}: broken JSON: {error}") from error
    except RecursionError as error:
        raise DataError(f"{text.path}: JSON with thousands of nested brackets") from error
    if _is_deeper(content, _DEEPEST):
        raise DataError(f"{text.path}: JSON nested more than {_DEEPEST} deep")
    return content


def _is_deeper(content: Any, depth: int) -> bool:
    level = [content]
    for _ in range(depth):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True
