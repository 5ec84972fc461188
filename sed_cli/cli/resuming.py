"""``resume=RUN``: a run continues with its recorded values; its folder may be untrusted.

The values are read as plain text and numbers and checked by the schema. The original command
line is only shown, never applied: Hydra's grammar can set callbacks, log files and plugins.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from sed_cli.cli.folders import check_no_links
from sed_cli.cli.sweeps.names import is_plain
from sed_cli.config.identity import paths_of
from sed_cli.config.plain import config_of
from sed_cli.config.plugins import needed
from sed_cli.config.values import literal
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import CheckpointError, ConfigError, UserError
from sed_cli.system.files import standing
from sed_cli.system.hydra_records import choices_in, given_words
from sed_cli.system.structured import read_settings, why
from sed_cli.training.checkpoint import CONFIG, read_config

log = logging.getLogger(__name__)

_OF_THE_COMMAND = ("output_dir", "resume", "resume_sweep", "plugins", "memory_limit_gb")
_NAME = re.compile(r"[\w/.-]+")


@dataclass(frozen=True)
class Resumed:
    """Settings of a resumed run.

    Args:
        folder: of the run.
        config: its configuration.
        choices: the chosen option of each config group, by its name.
        given: overrides of its command line, to be recorded again.
    """

    folder: Path
    config: AnyTrainConfig
    choices: Mapping[str, str]
    given: Sequence[str]

    def without_known(self, overrides: Sequence[str]) -> list[str]:
        """Drop choices that equal the run's own: they would undo its other settings.

        Raises:
            UserError: for another task or experiment.
        """
        left = []
        for override in overrides:
            group, _, option = override.partition("=")
            if self.choices.get(group, "") == option != "":
                continue
            if group in ("task", "experiment"):
                raise UserError(
                    f"resume={self.folder} continues with the settings it was started with, "
                    f"{group}={self.choices.get(group, 'null')}: drop {override}, or start a new "
                    f"run"
                )
            left.append(override)
        return left

    def lay_over(self, config: DictConfig, chosen: Sequence[str]) -> None:
        """Apply the values of the run to a configuration composed with its task.

        Args:
            config: Hydra's configuration, changed in place.
            chosen: groups with another option chosen now.
        """
        values = {key: value for key, value in vars(self.config).items() if key not in chosen}
        # Choices within an otherwise unchanged group, such as evaluation/decoder.
        within = [key.replace("/", ".") for key in chosen if "/" in key and "hydra/" not in key]
        parts = {key: OmegaConf.select(config, key) for key in within}
        with open_dict(config):
            for key, value in values.items():
                if key in _OF_THE_COMMAND:
                    continue
                if is_dataclass(value) and not isinstance(value, type):
                    node = OmegaConf.structured(value)  # with the components it has
                    config[key] = OmegaConf.merge(node, literal(asdict(value)))
                else:
                    config[key] = literal(value)
            for (
                key,
                part,
            ) in parts.items():  # such as the decoder of an unchanged evaluation
                OmegaConf.update(config, key, part, merge=False)
        choices = config.hydra.runtime.choices
        with read_write(choices), open_dict(choices):
            kept = {key: value for key, value in self.choices.items() if key not in chosen}
            choices.update({key: kept[key] for key in choices if key in kept})


def read_resumed(resume: str) -> Resumed:
    """Read the run named by ``resume=``.

    Raises:
        UserError: if it does not exist, or would write elsewhere.
        CheckpointError: if its configuration is not understood.
    """
    folder = Path(resume)
    with suppress(RuntimeError):  # of no such user
        folder = folder.expanduser()
    config = _config(folder, resume)
    _find_data(config, folder)
    check_no_links(folder, f"resume={resume}")
    return Resumed(folder, config, _choices(folder), _given(folder))


def _config(folder: Path, resume: str) -> AnyTrainConfig:
    recorded = folder / ".hydra" / "config.yaml"
    saved = folder / "checkpoints" / "last" / CONFIG
    if not recorded.exists() and not saved.exists():
        raise UserError(
            f"resume={resume}: no {recorded}; name the folder of a run, such as "
            f"outputs/train/DATE/TIME"
        )
    try:
        values = read_settings(recorded if recorded.exists() else saved)
        words = needed(values)
        _drop(values)
        # from an earlier version, which did not resolve values
        if "${" in str(values) and saved.exists():
            recorded, values = saved, read_settings(saved)
            _drop(values)
        cache_dir = (values.get("data") or {}).get("cache_dir")
        config = config_of(values)
    except ConfigError as error:  # an unknown component
        raise CheckpointError(f"resume={resume}: {error}{words}") from error
    except (OSError, OmegaConfBaseException, ValueError, TypeError, KeyError, AttributeError) as e:
        raise CheckpointError(
            f"resume={resume}: {recorded}: cannot be understood ({why(e)})"
        ) from e
    if cache_dir is not None:
        log.warning("data.cache_dir=%s is not taken from the run: set it again", cache_dir)
    return config


def _find_data(config: AnyTrainConfig, folder: Path) -> None:
    """Use the data of the run: paths on its command line were relative to its working folder."""
    last = folder / "checkpoints" / "last"
    if not standing(last).is_dir():
        return
    saved = read_config(standing(last))
    # Not read again, but part of the run's identity.
    for name in {*paths_of(config)} & {*paths_of(saved)}:
        setattr(config, name, getattr(saved, name))
    config.take_files_of(standing(last))
    found = saved.data
    for key in paths_of(config.data):
        path = getattr(found, key, None)
        if isinstance(path, str) and Path(path).exists():
            setattr(config.data, key, path)


def _drop(values: dict[str, Any]) -> None:
    for key in _OF_THE_COMMAND:
        values.pop(key, None)
    values["output_dir"] = "."


def _choices(folder: Path) -> dict[str, str]:
    return {
        group: option
        for group, option in choices_in(folder).items()
        if _NAME.fullmatch(group) and _NAME.fullmatch(option)
    }


def _given(folder: Path) -> list[str]:
    return [word for word in given_words(folder) if is_plain(word)]
