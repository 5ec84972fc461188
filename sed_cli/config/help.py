"""Which options the config groups of a verb have, for its help."""

from __future__ import annotations

from typing import Any

import yaml

from sed_cli.config.data import TokenSetConfig
from sed_cli.config.files import conf_dir, options_in
from sed_cli.config.groups import options
from sed_cli.config.training import LossConfig, SequenceEvaluationConfig, SequenceModelConfig

_SYNTH = ("soundscapes",)  # all that it writes


def group_help(verb: str) -> str:
    """Config groups of a verb with their options, in Markdown."""
    root = yaml.safe_load((conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
    groups = [
        name
        for entry in root["defaults"]
        if isinstance(entry, dict)
        for name in entry
        if name != "schema" and not name.startswith(("schema/", "override"))
    ]
    tasks = {group: _by_task(group) for group in groups}
    lines = ["Config groups:", ""]
    for group in groups:
        detector, _ = tasks[group]
        shown = _SYNTH if verb == "synth" else _of_verb(verb, group, detector)
        lines.append(f"- `{group}`: {', '.join(shown)}")
    if verb == "train":
        lines += ["", "With `task=sequence` there are instead:", ""]
        lines += [f"- `{group}`: {', '.join(own)}" for group, (_, own) in tasks.items() if own]
    return "\n".join(lines)


def _of_verb(verb: str, group: str, names: list[str]) -> list[str]:
    if group != "experiment":
        return names
    return [name for name in names if (name == "tutorial_curves") == (verb == "simulate")]


def _by_task(group: str) -> tuple[list[str], list[str]]:
    """Options of a group: those of the detector, and those of ``task=sequence`` alone."""
    classes = options().get(group, {})
    files = options_in(group)
    ordered = [*classes, *(name for name in files if name not in classes)]
    own = {name for name, cls in classes.items() if _is_of_sequences(cls)}
    chosen = yaml.safe_load((conf_dir() / "task" / "sequence.yaml").read_text(encoding="utf-8"))
    for entry in chosen["defaults"]:
        ((key, option),) = entry.items()
        if key == f"override /{group}" and option in files and group == "trainer":
            own.add(option)
    return [name for name in ordered if name not in own], [name for name in ordered if name in own]


def _is_of_sequences(cls: type[Any]) -> bool:
    if issubclass(cls, LossConfig):
        return cls.TASK == "sequence"
    return issubclass(cls, TokenSetConfig | SequenceModelConfig | SequenceEvaluationConfig)
