"""Tables of all settings, made from their classes: ``python -m sed_cli.config.reference``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from typing import Any, get_type_hints

from sed_cli.config.files import meaning_of, options_in
from sed_cli.config.groups import ROOTS, bases, options
from sed_cli.config.registry import components, is_settings
from sed_cli.config.settings import MISSING, default_of

_HEAD = """# Settings
Every key, by config group and by verb. This page is generated from the classes that define the
settings: `python -m sed_cli.config.reference > docs/settings.md`.

`sedtf VERB --cfg job` shows the values that a command would use. Options such as
`sampler=tutorial` are files in `conf/` that change some of these values.
"""
_FILES_ALONE = ("task", "experiment", "hydra/launcher", "hydra/sweeper")
_BY_NAME = {
    "format": "Annotation formats",
    "logger": "Loggers (`trainer.loggers`)",
    "metric": "Metrics",
}


def reference() -> str:
    """All settings in Markdown."""
    parts = [_HEAD, "## Config groups"]
    for group, classes in options().items():
        parts += [f"### `{group}`"]
        parts += [_table(group, name, cls) for name, cls in classes.items()]
        if group == "data":
            parts += [_table(group, "a published data set", bases()["schema/data"]["published"])]
        parts += _files(group)
    for group in _FILES_ALONE:
        parts += [f"### `{group}`", *_files(group)]
    parts += ["## Components chosen by name", *map(_named, _BY_NAME), "## Verbs"]
    parts += [_table("", name, cls) for name, cls in ROOTS.items()]
    return "\n".join(parts)


def _files(group: str) -> list[str]:
    """Option files of a group."""
    rows = [[f"`{group}={name}`", meaning_of(group, name)] for name in options_in(group)]
    return [*map(_line, (["option", "what it is"], ["---", "---"], *rows)), ""] if rows else []


def _named(kind: str) -> str:
    """Components of a kind without a group."""
    head = ["name", "what it is"]
    known = components(kind)
    rows = [[f"`{name}`", _summary(cls).replace("``", "`")] for name, cls in known.items()]
    if kind == "format":
        head += ["several recordings in a file", "written as"]
        for row, cls in zip(rows, known.values(), strict=True):
            written = f"`{cls.ending}`" if cls.IS_WRITTEN else "read only"
            row += ["yes" if cls.names_files else "no", written]
    table = [_line(cells) for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"### {_BY_NAME[kind]}", *table, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(group: str, name: str, cls: type[Any]) -> str:
    prefix = f"{group.replace('/', '.')}." if group else ""
    title = f"`{group}={name}`" if group and " " not in name else name
    title = title if group else f"`sedtf {name.replace('train_sequence', 'train task=sequence')}`"
    lines = [f"#### {title}", _summary(cls), ""]
    rows = [_row(prefix, each, get_type_hints(cls)[each.name]) for each in _shown(cls)]
    if rows:
        lines += ["| key | default | unit | range | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += rows
    return "\n".join([*lines, ""])


def _summary(cls: type[Any]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _shown(cls: type[Any]) -> Iterator[Field[Any]]:
    """Fields with plain values; groups have their own tables."""
    for each in fields(cls):
        if each.metadata.get("help"):
            yield each


def _row(prefix: str, each: Field[Any], hint: Any) -> str:
    rule, default = each.metadata, default_of(each)
    if default == MISSING:
        shown = "(required)"
    elif is_settings(default):
        shown = ", ".join(f"{f.name}: {_value(getattr(default, f.name))}" for f in fields(default))
    else:
        shown = f"`{_value(default)}`"
    cells = (f"`{prefix}{each.name}`", shown, rule["unit"], _range(rule), rule["help"])
    return _line(cells)


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(part)}" for key, part in value.items()) + "}"
    return str(value)


def _range(rule: Any) -> str:
    if rule["choices"]:
        return ", ".join(rule["choices"])
    signs = {"at_least": "≥", "above": ">", "at_most": "≤", "below": "<"}
    return ", ".join(f"{sign} {rule[key]}" for key, sign in signs.items() if rule[key] is not None)


if __name__ == "__main__":
    sys.stdout.write(reference())
