"""Hydra: composing, parsing, completing and showing configurations, and running jobs.

The only file that imports Hydra's private modules, hence ``hydra-core<1.4``. Hydra's own entry
point exits the process and prints its own errors, but exit codes are part of sedtf's interface.
So its steps are called one by one: the configuration is composed, checked (:mod:`.checks`), and
only then a run folder is created and the job started.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import configure_log, run_job
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override, read_write
from omegaconf.errors import OmegaConfBaseException

from sed_cli.cli.verbs import Flags
from sed_cli.config import groups, plugins
from sed_cli.config.files import conf_dir
from sed_cli.config.registry import KINDS
from sed_cli.errors import ConfigError, UserError
from sed_cli.system.structured import check_yaml

if TYPE_CHECKING:
    from sed_cli.cli.resuming import Resumed

FAULTS = (HydraException, OmegaConfBaseException)
"""Exceptions of Hydra and OmegaConf for invalid settings."""


class Composer:
    """Hydra for one verb: composes its configurations, shows them, and runs jobs.

    Args:
        verb_name: names the job, and the root config unless the flags name another.
        flags: of the command line; folders of configs among them.
        resumed: run whose values underlie those given now.

    Raises:
        UserError: if a folder of configs is missing.
    """

    def __init__(self, verb_name: str, flags: Flags, resumed: Resumed | None = None) -> None:
        register_schemas()
        self.config_name = flags.config_name or verb_name
        self.loader = _Loader(_search_path(flags), resumed)
        GlobalHydra.instance().clear()
        self._hydra = Hydra(verb_name, self.loader)
        GlobalHydra.instance().initialize(self._hydra)

    # ---------------------------------------------------------------------------- composing

    def compose(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """Compose a configuration; the caller may change it.

        Raises:
            HydraException: if a file is missing, or a key or value is invalid.
        """
        return self.loader.load_configuration(self.config_name, list(overrides), mode)

    def compose_choices(self, choices: Sequence[str]) -> DictConfig:
        """Compose options of groups alone; the result is shared and must not be changed.

        Raises:
            HydraException: if they are incompatible.
            OmegaConfBaseException: likewise.
        """
        return self.loader.composed(self.config_name, choices)

    def compose_or_none(self, choices: Sequence[str]) -> DictConfig | None:
        """:meth:`compose_choices`, or ``None`` if these are incompatible."""
        try:
            return self.compose_choices(choices)
        except FAULTS:
            return None

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Parse overrides.

        Raises:
            ConfigError: with all unreadable ones.
        """
        parser = OverridesParser.create(self.loader)
        faults, parsed = [], []
        for override in overrides:
            try:
                parsed += parser.parse_overrides([override])
            except HydraException:
                faults.append(
                    f"{override!r} is not a readable KEY=VALUE; "
                    f"quote a value with special characters: KEY=\"'VALUE'\""
                )
        if faults:
            raise ConfigError(faults)
        return parsed

    def options_of_groups(self, parent: str = "") -> dict[str, list[str]]:
        """Return the options of every group below ``parent``, except those of the schema.

        Uses the repository, since the loader copies everything registered on each call.
        """
        repository = self.loader.repository
        found: dict[str, list[str]] = {}
        for name in repository.get_group_options(parent, ObjectType.GROUP):
            group = f"{parent}/{name}" if parent else name
            if group == "schema":
                continue
            options = repository.get_group_options(group, ObjectType.CONFIG)
            below = self.options_of_groups(group)
            if options and group != "hydra":  # a folder of options, as experiment=study/scheduled
                for deeper in below:
                    folder = deeper.removeprefix(f"{group}/")
                    options = [*options, *(f"{folder}/{option}" for option in below[deeper])]
            found |= {group: options} if options else {}
            found |= below
        return found

    # ------------------------------------------------------------------------------ showing

    def complete(self, line: str) -> list[str]:
        """Return the groups, options and keys that continue the last word of a line."""
        found = list(BashCompletion(self.loader)._query(self.config_name, line))
        groups = self.options_of_groups()
        # Hydra ends a group with subgroups, such as sampler, without any suffix.
        whole = [word for word in found if word in groups]
        within = [word for word in whole if any(name.startswith(f"{word}/") for name in groups)]
        others = [word for word in found if word not in groups]
        return [*(f"{word}=" for word in whole), *(f"{word}/" for word in within), *others]

    def show_help(self) -> None:
        """Print Hydra's own help."""
        parser = get_args_parser()
        self._hydra.hydra_help(self.config_name, parser, parser.parse_args([]))

    def show_info(self, what: str, overrides: Sequence[str]) -> None:
        """Print where a configuration comes from."""
        self._hydra.show_info(what, self.config_name, list(overrides), RunMode.RUN)

    def show_config(self, overrides: Sequence[str], flags: Flags) -> bool:
        """Print a configuration; return whether the requested part exists."""
        try:
            self._hydra.show_cfg(
                self.config_name, list(overrides), str(flags.cfg), flags.package, flags.resolve
            )
        except SystemExit:  # Hydra has reported that there is no such package
            return False
        return True

    # ------------------------------------------------------------------------------ running

    def context(self, config: DictConfig) -> HydraContext:
        """Return the context of launchers and jobs, with the callbacks of a configuration."""
        return HydraContext(config_loader=self.loader, callbacks=Callbacks(config))

    def run(self, task: TaskFunction, config: DictConfig) -> Any:
        """Run a job with a composed configuration, as :meth:`Hydra.run` does after composing."""
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        with read_write(config.hydra):
            config.hydra.mode = RunMode.RUN
        context = self.context(config)
        context.callbacks.on_run_start(config=config, config_name=self.config_name)
        done = run_job(
            hydra_context=context,
            task_function=task,
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
        context.callbacks.on_run_end(config=config, config_name=self.config_name, job_return=done)
        return done.return_value


def register_schemas() -> None:
    """Register the classes of :mod:`sed_cli.config` with Hydra, and those of plugins in use."""
    _register(tuple(plugins.load()))


@lru_cache(maxsize=1)
def _register(files: tuple[Path, ...]) -> None:
    store = ConfigStore.instance()
    for kind in KINDS.values():  # those of plugins that are no longer in use
        store.repo.pop(kind.group, None)
    for name, node in groups.ROOTS.items():
        store.store(group="schema", name=name, node=node, package="_global_")
    for group, classes in [*groups.options().items(), *groups.bases().items()]:
        if group != "schema":
            for name, node in classes.items():
                store.store(group=group, name=name, node=node)


def _search_path(flags: Flags) -> ConfigSearchPath:
    main_dir = Path(flags.config_path).absolute() if flags.config_path else conf_dir()
    for folder in (flags.config_path, flags.config_dir):
        if folder is not None and not Path(folder).is_dir():
            raise UserError(
                f"{folder}: no such folder of configs; check --config-dir and --config-path"
            )
    search_path = cast(ConfigSearchPathImpl, create_config_search_path(str(main_dir)))
    if flags.config_dir is not None:
        # Before the main folder, so that a user's option of the same name takes precedence.
        search_path.prepend("command-line", f"file://{Path(flags.config_dir).absolute()}", "main")
    return search_path


def split_jobs(parsed: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job of a grid."""
    return BasicSweeper.split_arguments(list(parsed), None)[0]


def use_config(config: DictConfig) -> None:
    """Let ``${hydra:...}`` in the settings refer to a composed configuration."""
    HydraConfig.instance().set_config(config)


def settings_of(config: DictConfig) -> DictConfig:
    """Return a copy of a composed configuration without the settings of Hydra."""
    settings = copy.deepcopy(config)
    with flag_override(settings, ["struct", "readonly"], [False, False]):
        del settings["hydra"]
    return settings


def keys_of(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys of a configuration."""
    for key in map(str, config):
        name = prefix + key
        yield name
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from keys_of(child, f"{name}.")


class _Loader(ConfigLoaderImpl):
    """Composes each choice of group options once, and applies values to copies.

    Hydra takes a third of a second for each job of a sweep, once to check it and once to start it.
    """

    def __init__(self, search_path: ConfigSearchPath, resumed: Resumed | None) -> None:
        super().__init__(search_path)
        self.repository = _Repository(search_path)
        self.resumed = resumed
        self._composed: dict[tuple[str | None, ...], DictConfig] = {}

    def composed(self, config_name: str | None, choices: Sequence[str]) -> DictConfig:
        """Compose options of groups, with the values of the run that is resumed; see `Composer`."""
        key = (config_name, *choices)
        if key not in self._composed:
            config = super()._load_configuration_impl(config_name, list(choices), RunMode.RUN)
            if self.resumed is not None and "trainer" in config:
                chosen = [choice.partition("=")[0] for choice in choices]
                self.resumed.lay_over(config, [name for name in chosen if name != "task"])
            self._composed[key] = config
        return self._composed[key]

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(overrides)
        if run_mode != RunMode.RUN or any(each.is_sweep_override() for each in parsed):
            return super()._load_configuration_impl(
                config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
        values = [each for each in parsed if self._is_value(each)]
        choices = [str(each.input_line) for each in parsed if not self._is_value(each)]
        config = copy.deepcopy(self.composed(config_name, choices))
        self._apply_overrides_to_config(values, config)
        earlier = self.resumed.given if self.resumed is not None and "trainer" in config else []
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

    @staticmethod
    def _apply_overrides_to_config(overrides: list[Override], cfg: DictConfig) -> None:
        """Apply values; a table of numbers may get new keys."""
        for override in overrides:
            if isinstance(override.value(), dict):
                node = OmegaConf.select(cfg, override.key_or_group, throw_on_missing=False)
                is_table = isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict
                if is_table and all(isinstance(value, float) for value in node.values()):
                    OmegaConf.set_struct(node, False)
        ConfigLoaderImpl._apply_overrides_to_config(overrides, cfg)

    def _is_value(self, override: Override) -> bool:
        """Separate overrides of values from those that change the composed files."""
        name = override.key_or_group
        if override.package is not None or name.startswith("hydra.searchpath"):
            return False
        return "." in name or not self.repository.group_exists(name)

    def __getstate__(self) -> dict[str, Any]:
        """Launchers pickle a loader; its composed configurations are dropped."""
        return {**self.__dict__, "_composed": {}}


class _Repository(ConfigRepository):
    """Checks config files, including the user's, before Hydra loads them."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Repository:
        """A shallow copy whose list of sources Hydra may replace."""
        made = copy.copy(self)
        made.sources = list(self.sources)
        return made

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is not None and source.scheme() == "file":
            check_yaml(Path(source.path) / source._normalize_file_name(config_path))
        return super().load_config(config_path)
