"""Untrusted XML: without entities, and within bounds."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from sed_cli.system.limits import SIZE_VARIABLE, raised_size
from sed_cli.system.text import one_line

_DEEPEST = 64
_MOST_ELEMENTS = 1_000_000
_LONG_TAG = re.compile("<[^<>]{100000}")  # of hundreds of thousands of attributes


class _Bounded(TreeBuilder):
    """Rejects XML that is nested too deeply or has too many elements."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._depth = self._n_elements = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        """Start an element."""
        self._depth += 1
        self._n_elements += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        if self._n_elements > self._most:
            raise ValueError(_too_many(self._most))
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)


def parse_xml(content: str) -> Element:
    """Parse XML; a document type is skipped, declarations within it are rejected.

    Raises:
        ValueError: if it is not XML, declares entities or attributes, or is out of bounds.
    """
    most = raised_size(_MOST_ELEMENTS)
    if content.count("</") + content.count("/>") > 2 * most:  # told without building them
        raise ValueError(_too_many(most))
    if _LONG_TAG.search(content):
        raise ValueError("a tag of more than 100,000 characters")
    parser = DefusedXMLParser(target=_Bounded(most), forbid_dtd=False, forbid_entities=True)
    parser.parser.StartDoctypeDeclHandler = _refuse_declarations
    try:
        # As bytes: for text, the parser would trust the encoding in its first line.
        parser.feed(_without_declaration(content).encode(errors="replace"))
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise ValueError("XML that declares entities, which are not followed") from error
    except ParseError as error:
        raise ValueError(f"broken XML: {one_line(error)}") from error
    return root


def _refuse_declarations(name: str, system: object, public: object, has_own: int) -> None:
    """Reject declarations of entities, and of attributes: each is compared with all before it."""
    if has_own:
        raise ValueError("XML that declares entities or attributes, which are not followed")


def _too_many(most: int) -> str:
    return f"more than {most:,} elements, the limit (the variable {SIZE_VARIABLE} raises it)"


def _without_declaration(content: str) -> str:
    """Drop ``<?xml ... encoding="UTF-16"?>``: the text has been decoded."""
    content = content.lstrip("\ufeff \t\r\n")
    if content.startswith("<?xml"):
        _, _, content = content.partition("?>")
    return content
