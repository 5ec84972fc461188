"""Hydra's composing, done once for jobs that choose the same options."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig

from sed_cli.system.structured import check_yaml

if TYPE_CHECKING:
    from sed_cli.cli.resuming import Resumed


class Loader(ConfigLoaderImpl):
    """Composes what chooses the same options of groups once, and lays values over copies.

    Hydra takes a third of a second for each job of a sweep, once to check it and once to start it.

    Of a run that goes on (``resumed``) the values are those that it wrote down, below those that
    are given now.
    """

    resumed: Resumed | None = None

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(overrides)
        how: dict[str, Any] = {
            "run_mode": run_mode,
            "from_shell": from_shell,
            "validate_sweep_overrides": validate_sweep_overrides,
        }
        if run_mode != RunMode.RUN or any(each.is_sweep_override() for each in parsed):
            return super()._load_configuration_impl(config_name, overrides, **how)
        values = [each for each in parsed if self._is_value(each)]
        choices = [str(each.input_line) for each in parsed if not self._is_value(each)]
        # Not in __init__: launchers send a loader on, and what it has composed need not travel.
        kept: dict[Any, DictConfig] = self.__dict__.setdefault("_composed", {})
        key = (config_name, *choices)
        if key not in kept:
            kept[key] = super()._load_configuration_impl(config_name, choices, **how)
        config = copy.deepcopy(kept[key])
        earlier: list[str] = []
        if self.resumed is not None and "trainer" in config:
            chosen = [e.key_or_group for e in parsed if not self._is_value(e)]
            self.resumed.lay_over(config, [name for name in chosen if name != "task"])
            earlier = list(self.resumed.given)
        self._apply_overrides_to_config(values, config)
        task = [each for each in parsed if not each.is_hydra_override()]
        config.hydra.overrides.task = [*earlier, *(each.input_line for each in task)]
        config.hydra.overrides.hydra = [e.input_line for e in parsed if e.is_hydra_override()]
        style = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=task,
            kv_sep=style.kv_sep,
            item_sep=style.item_sep,
            exclude_keys=style.exclude_keys,
        )
        return config

    def _is_value(self, override: Override) -> bool:
        """Tell what changes a value from what changes the files that are composed."""
        name = override.key_or_group
        if override.package is not None or name.startswith("hydra.searchpath"):
            return False
        return "." in name or not self.repository.group_exists(name)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_composed"}


class _Repository(ConfigRepository):
    """Looks at the files of configs, a user's own among them, before Hydra takes them in."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is not None and source.scheme() == "file":
            check_yaml(Path(source.path) / source._normalize_file_name(config_path))
        return super().load_config(config_path)
