"""Conversion of typed overrides to Hydra's grammar: quotes and words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sed_cli.cli.verbs import Verb
from sed_cli.errors import UserError


def with_words(verb: Verb, overrides: list[str]) -> list[str]:
    """Collect words that are not KEY=VALUE under the key that takes them, such as run folders."""
    if verb.words is None:
        return overrides
    # A sweep may name its folders by their settings, such as gamma=0.1.
    words = [o for o in overrides if "=" not in o or _exists(o)]
    if not words:
        return overrides
    kept = [o for o in overrides if o not in words]
    if verb.words.endswith("[]"):
        listed = ",".join(quoted(word) for word in words)
        return [f"{verb.words.removesuffix('[]')}=[{listed}]", *kept]
    if len(words) > 1:
        raise UserError(
            f"sedtf {verb.name} takes one folder, got {len(words)}: {' '.join(words)}; "
            f"write settings as KEY=VALUE"
        )
    return [f"{verb.words}={quoted(words[0])}", *kept]


def literal(override: str, keys: Sequence[str]) -> str:
    """Quote values to be taken literally: those of some keys, and paths.

    A run of a sweep may be a folder named ``seed=0,model=crnn``.
    """
    key, equals, value = override.partition("=")
    if key not in keys:
        value = _at_home(value)
        override = f"{key}{equals}{value}"
    if not equals or value in ("", "null") or value[0] in "'\"":
        return override
    is_path = (
        re.search(r"[^\w./+-]", value)
        and value[0] not in "[{"
        and (value.startswith(("~", str(Path.home()))) or _exists(value))
    )
    return f"{key}={quoted(value)}" if key in keys or is_path else override


def _at_home(value: str) -> str:
    """Expand ``~`` at the start of a value or of a list item.

    Shells do not expand it after an equals sign.
    """

    def expanded(match: re.Match[str]) -> str:
        try:
            return f"{match[1]}{Path(match[2]).expanduser()}"
        except RuntimeError:  # unknown user
            return match[0]

    return re.sub(r"((?:^|[\[,])['\"]?)(~[\w.-]*)(?=/|$)", expanded, value)


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long for a name, or an unknown user
        return False


def quoted(value: Path | str) -> str:
    """Quote a path or text for Hydra, so that any character is literal."""
    text = str(value).replace("${", r"\${")
    # Within quotes a backslash is special before a quote only, the last one included.
    text = re.sub(r"(\\*)'", lambda match: 2 * match[1] + r"\'", text)
    text = re.sub(r"(\\+)$", lambda match: 2 * match[1], text)
    return f"'{text}'"


def value_of(key: str, overrides: Sequence[str]) -> str | None:
    """The last value that overrides give a key, without quotes."""
    values = [o.split("=", 1)[1] for o in overrides if o.split("=", 1)[0] == key and "=" in o]
    if not values:
        return None
    value = values[-1]
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1].replace(f"\\{value[0]}", value[0]) if is_quoted else value


def is_given(key: str, overrides: Sequence[str]) -> bool:
    """Whether overrides give a key a value other than ``null``."""
    return value_of(key, overrides) not in (None, "null", "")
