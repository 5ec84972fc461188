"""The only bridge to Hydra: compose, check, run or sweep, and say in one line what went wrong.

Hydra's own command-line function exits the process and prints its errors as it likes. Exit codes
are part of sedtf's interface, so its pieces are called here one by one: compose the configuration,
check it, and only then let Hydra make the run folder and start the job. That uses Hydra's
internals, hence ``hydra-core<1.4``.
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sed_cli.cli.choices import with_choices, without_plugins
from sed_cli.cli.folders import check_unused
from sed_cli.cli.loader import Loader
from sed_cli.config import groups, plugins
from sed_cli.config.files import conf_dir
from sed_cli.config.identity import config_hash
from sed_cli.config.plain import unknown_homes
from sed_cli.config.registry import KINDS
from sed_cli.errors import ConfigError, SedtfError, UserError
from sed_cli.system import torchrun
from sed_cli.system.files import full_disk
from sed_cli.system.queue import TimeIsUpError, ends_as_interrupted
from sed_cli.system.records import RUN, InUseError, at_work, read_record, state

if TYPE_CHECKING:
    from sed_cli.cli.resuming import Resumed

log = logging.getLogger(__name__)

_LEFT_OUT = {
    "train": ("experiment=null",),
    "eval": ("data=null",),
    "simulate": ("experiment=null",),
}

# Options of groups that take an extra: its name, and the package that it brings.
_TASK = "task"  # the group that says which options the others have

_EXTRAS = {
    ("hydra/launcher", "slurm"): ("slurm", "submitit"),
    ("hydra/launcher", "slurm_gpu"): ("slurm", "submitit"),
    ("hydra/launcher", "ray"): ("ray", "ray"),
    ("hydra/sweeper", "optuna"): ("optuna", "optuna"),
}

DONE, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
WAITING = -1  # of a job of a sweep that never began


@dataclass(frozen=True)
class Flags:
    """Hydra's flags, as the command line received them."""

    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    package: str | None = None
    info: str | None = None
    hydra_help: bool = False
    dry_run: bool = False
    config_dir: str | None = None
    config_path: str | None = None
    config_name: str | None = None


@dataclass(frozen=True)
class Verb:
    """A verb, and where its work is done; its settings are checked by their class."""

    name: str
    function: str  # "module:function", imported when it is called: it pulls in torch
    prepare: str | None = None  # the same, called before the folder of a resumed run is touched
    leaves_run: bool = True  # with a run folder, a log and Hydra's records; else it runs at once
    words: str | None = None  # the key that takes words without "="; it ends in [] if it is a list
    text: tuple[str, ...] = ()  # keys whose value is taken as it stands, equals signs and all


VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "train",
            "sed_cli.tasks.train:train",
            prepare="sed_cli.tasks.train:prepare_resume",
        ),
        Verb("eval", "sed_cli.tasks.evaluate:evaluate"),
        Verb("export", "sed_cli.tasks.detection.export:export_checkpoint"),
        Verb("simulate", "sed_cli.reports.simulate:simulate_config"),
        Verb("synth", "sed_cli.tasks.detection.synth:synthesise"),
        Verb(
            "predict",
            "sed_cli.tasks.detection.predict:predict",
            leaves_run=False,
            text=("checkpoint", "input", "output_dir"),
        ),
        Verb(
            "listen",
            "sed_cli.tasks.detection.listen:listen",
            leaves_run=False,
            text=("checkpoint",),
        ),
        Verb(
            "compare",
            "sed_cli.comparison.compare:compare_runs",
            words="runs[]",
            text=("baseline",),
        ),
        Verb("report", "sed_cli.tasks.detection.report:report_run", words="run"),
        Verb("data", "sed_cli.tasks.detection.inspection.run:inspect_data"),
        Verb(
            "cache",
            "sed_cli.data.cache.report:manage_cache",
            leaves_run=False,
        ),
        Verb(
            "status",
            "sed_cli.cli.sweeps.status:show_status",
            leaves_run=False,
            words="dir",
        ),
    )
}


@dataclass(frozen=True)
class Outcome:
    """How one job ended; what a launcher hands back, so it must survive pickling."""

    status: int
    folder: str
    objective: float | None = None
    error: str = ""


# ------------------------------------------------------------------------------ entry points


def run(verb_name: str, overrides: Sequence[str], flags: Flags) -> int:
    """Run a verb, or show its configuration; return the exit code, whatever the user gave."""
    verb = VERBS[verb_name]
    try:
        with terminate_as_interrupt():
            code = _run(verb, list(overrides), flags)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        if not torchrun.rank():
            say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except RecursionError:
        say("settings that refer to themselves, in a defaults list or by ${...}, without an end")
        return USER_ERROR
    except (SedtfError, HydraException, OmegaConfBaseException, OSError, YAMLError) as error:
        if not (torchrun.local_rank() and isinstance(error, UserError)):  # said by another one
            _report(error)
        return error.exit_code if isinstance(error, SedtfError) else USER_ERROR


def complete(verb_name: str, words: Sequence[str], incomplete: str) -> list[str]:
    """Config groups, their options and keys that continue ``incomplete``, for the shell."""
    verb = VERBS[verb_name]
    folders: list[str] = []
    if verb.words is not None and "=" not in incomplete:
        words = [word for word in words if "=" in word]
        folders = _folders(incomplete)
    hydra = start_hydra(verb_name, Flags())
    line = " ".join([*words, incomplete])
    return sorted({*BashCompletion(hydra.config_loader)._query(verb_name, line), *folders})


def _folders(incomplete: str) -> list[str]:
    """Folders that continue a path, written as it was begun."""
    parent, slash, start = incomplete.rpartition("/")
    try:
        inside = list(Path(parent + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    return [
        f"{parent}{slash}{path.name}/"
        for path in inside
        if path.name.startswith(start) and path.is_dir()
    ]


# -------------------------------------------------------------------------------- the bridge


def _run(verb: Verb, overrides: list[str], flags: Flags) -> int:
    config_name = flags.config_name or verb.name
    if not flags.cfg and (flags.package or flags.resolve):
        raise UserError("--package and --resolve say how --cfg shows the settings: add --cfg job")
    # What is null unless chosen can be left out; Hydra takes no null on the command line.
    overrides = [o for o in overrides if o not in _LEFT_OUT.get(verb.name, ())]
    if flags.dry_run and verb.name != "train":
        raise UserError(f"--dry-run tells what training takes, not sedtf {verb.name}: drop it")
    if flags.multirun and not verb.leaves_run:
        raise UserError(f"sedtf {verb.name} is no experiment to be swept over: drop -m")
    if flags.multirun and value_of("resume", overrides) not in (None, "null", ""):
        raise UserError("resume= goes on with one run: drop -m, or name a sweep by resume_sweep=")
    if not flags.multirun and value_of("resume_sweep", overrides) not in (None, "null", ""):
        raise UserError("resume_sweep= goes on with a sweep: give -m and all of its settings again")
    overrides, files = without_plugins(overrides)
    files = [str(file) for file in plugins.use(files)]
    resumed, overrides = _resumed(verb, with_choices(overrides))
    overrides = [_path(_literal(override, verb.text)) for override in overrides]
    overrides = _with_words(verb, overrides)
    if files:
        overrides.append(f"plugins=[{','.join(quoted(file) for file in files)}]")
    hydra = start_hydra(verb.name, flags)
    cast(Loader, hydra.config_loader).resumed = resumed
    if flags.hydra_help:
        args_parser = get_args_parser()
        hydra.hydra_help(config_name, args_parser, args_parser.parse_args([]))
        return DONE
    if flags.info:
        hydra.show_info(flags.info, config_name, overrides, RunMode.RUN)
        return DONE
    if not flags.multirun and _asks_for_sweep(hydra, config_name, overrides, flags):
        flags = replace(flags, multirun=True)
    _check_names(hydra, config_name, overrides, flags)
    if flags.cfg:
        _compose(hydra, config_name, overrides, RunMode.RUN)
        try:
            hydra.show_cfg(config_name, overrides, flags.cfg, flags.package, flags.resolve)
        except SystemExit:  # Hydra has said that there is no such package
            return USER_ERROR
        return DONE
    if flags.multirun:
        from sed_cli.cli.sweeps.run import run_sweep

        if torchrun.n_ranks() > 1:
            raise UserError("torchrun starts one training: drop -m, or use trainer.devices=N")
        return run_sweep(hydra, verb, config_name, overrides, flags)
    named = frozenset(override.key_or_group for override in parse(hydra, overrides))
    config = Checker(verb, hydra, config_name)(overrides, named)
    if not verb.leaves_run:
        _check_folder(verb, config)
        with log_to_stderr():
            _function(verb.function)(config)
        return DONE
    if flags.dry_run:
        from sed_cli.tasks.cost import tell_cost

        with log_to_stderr():
            tell_cost([config], ["this run"], parallel=1)
        return DONE
    if torchrun.n_ranks() == 1:
        _check_folder(verb, config)
    # Before the folder is taken: what is refused leaves nothing there.
    task = Task(verb.name, flags, _prepared(verb, config))
    with ExitStack() as held:
        if verb.name == "train" and torchrun.n_ranks() > 1:
            folder = _agreed_folder(verb, config, held)
            if torchrun.rank():
                return _run_beside(verb, config, folder)
            kept = [o for o in overrides if o.split("=")[0] != "output_dir"]
            overrides = [*kept, f"output_dir={quoted(str(folder))}"]
        else:
            held.enter_context(_own_folder(verb, config))
        outcome = hydra.run(config_name, task, overrides).return_value
    if outcome.error:
        say(outcome.error)
    return int(outcome.status)


def _asks_for_sweep(hydra: Hydra, config_name: str, overrides: list[str], flags: Flags) -> bool:
    """Whether a configuration is that of a sweep by itself (``hydra.mode: MULTIRUN``)."""
    chosen = [o for o in overrides if o.startswith(("experiment=", "hydra.mode="))]
    if not chosen and flags.config_name is None:  # none of ours is
        return False
    config = _composed_or_none(hydra, config_name, chosen)  # what is wrong is told later
    return config is not None and config.hydra.mode == RunMode.MULTIRUN


def _function(name: str) -> Callable[..., Any]:
    """Import what does the work of a verb."""
    module, function = name.split(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), function))


@contextmanager
def _own_folder(verb: Verb, config: Any) -> Iterator[None]:
    """Keep the run folder to this command, before anything is written there."""
    _check_folder(verb, config)
    with taken_folder(Path(config.output_dir), "name another folder, or wait for it"):
        _check_folder(verb, config)  # another may have come and gone meanwhile
        yield


@contextmanager
def taken_folder(folder: Path, remedy: str) -> Iterator[None]:
    """Keep a folder to this command; say so where another has it, or nothing can be written."""
    with ExitStack() as held:
        try:
            held.enter_context(at_work(folder))
        except InUseError as error:
            raise UserError(f"output_dir={folder}: {error}: {remedy}") from error
        except OSError as error:
            raise UserError(
                f"output_dir={folder}: nothing can be written there ({error.strerror}): "
                f"name another folder"
            ) from error
        yield


def _check_folder(verb: Verb, config: Any) -> None:
    """Keep one folder to one run: files of two would be taken for one."""
    given = getattr(config, "output_dir", None)
    if given is None:
        return
    folder = Path(given)
    resume = getattr(config, "resume", None)
    resumed = resume is not None and Path(resume).resolve() == folder.resolve()
    if not resumed:
        check_unused(folder, verb.name)
    with suppress(ValueError):  # of a record that cannot be read nothing is known
        if resumed and state(folder / RUN, read_record(folder) or {}) == "running":
            raise UserError(f"resume={resume}: the run is still at work: wait for it, or end it")


def _agreed_folder(verb: Verb, config: Any, held: ExitStack) -> Path | None:
    """Take the run folder of rank 0 in all ranks of ``torchrun``; ``None``: it has refused."""
    if config.trainer.devices not in (None, torchrun.n_ranks()):
        raise UserError(
            f"trainer.devices={config.trainer.devices}, but torchrun has started "
            f"{torchrun.n_ranks()} processes: drop trainer.devices"
        )
    if torchrun.rank():
        return torchrun.announced_folder(config_hash(config))
    folder = None
    try:
        held.enter_context(_own_folder(verb, config))
        folder = Path(config.output_dir).absolute()
    finally:
        torchrun.announce(folder, config_hash(config))
    return folder


def _run_beside(verb: Verb, config: Any, folder: Path | None) -> int:
    """Do the work of a rank above 0 of ``torchrun``: rank 0 has the folder, the log and the say."""
    if folder is None:
        return USER_ERROR
    logging.getLogger().setLevel(logging.ERROR)
    config.output_dir = str(folder)
    _function(verb.function)(config, folder)
    return DONE


@dataclass
class Prepared:
    """What was done for a run before its folder was touched, and what was said meanwhile."""

    values: dict[str, Any] = field(default_factory=dict)  # more arguments of the verb's function
    records: list[logging.LogRecord] = field(default_factory=list)

    def tell_files(self) -> None:
        """Put what was said into the log of the run, where it would stand otherwise."""
        files = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
        for record in self.records:
            for handler in files:
                handler.handle(record)


def _prepared(verb: Verb, config: Any) -> Prepared:
    """Do what may end in a refusal before a run that goes on is touched.

    The ranks of torchrun check it each for itself, once the folder is theirs.
    """
    prepared = Prepared()
    if verb.prepare is None or not config.resume or torchrun.n_ranks() > 1:
        return prepared
    noting = logging.Handler()
    noting.emit = prepared.records.append  # type: ignore[assignment,method-assign]
    logging.getLogger().addHandler(noting)
    try:
        with log_to_stderr():
            prepared.values = _function(verb.prepare)(config)
    finally:
        logging.getLogger().removeHandler(noting)
    return prepared


class Task:
    """The function that Hydra calls for each job; picklable, so that launchers can send it on."""

    def __init__(self, verb_name: str, flags: Flags, prepared: Prepared | None = None) -> None:
        self.verb_name, self.flags = verb_name, flags
        self.prepared = prepared or Prepared()

    def __call__(self, raw: DictConfig) -> Outcome:
        """Do the work of the verb; whatever goes wrong is told in the outcome."""
        plugins.use(list(raw.get("plugins", [])))
        register_schemas()
        run_dir = Path(HydraConfig.get().runtime.output_dir)
        raw.output_dir = str(run_dir)
        with suppress(OmegaConfBaseException):  # what cannot be resolved is told below
            # Hydra writes what refers to other places, which resuming must not look at.
            if (recorded := run_dir / ".hydra" / "config.yaml").exists():
                OmegaConf.save(raw, recorded, resolve=True)
        if self.flags.multirun and "resume" in raw and (run_dir / RUN).exists():
            raw.resume = str(run_dir)  # of a sweep that is resumed, or put back into a queue
        try:
            with ends_as_interrupted(), self._own(run_dir):
                return self._outcome(raw, run_dir)
        except InUseError as error:
            return Outcome(USER_ERROR, str(run_dir), error=f"{run_dir}: {error}")
        except TimeIsUpError as error:
            return Outcome(INTERRUPTED, str(run_dir), error=one_line(error))

    def _own(self, run_dir: Path) -> AbstractContextManager[None]:
        """Keep the folder of a job of a sweep to it; that of a run is kept before Hydra writes."""
        return at_work(run_dir) if self.flags.multirun else nullcontext()

    def _outcome(self, raw: DictConfig, run_dir: Path) -> Outcome:
        try:
            config: Any = OmegaConf.to_object(raw)
            plugins.keep_sources(config.plugins, run_dir)
            work = _function(VERBS[self.verb_name].function)
            self.prepared.tell_files()
            objective = work(config, run_dir, **self.prepared.values)
            return Outcome(DONE, str(run_dir), objective=objective)
        except (Exception, SystemExit) as error:
            return self._failed(error, run_dir)

    def _failed(self, error: BaseException, run_dir: Path) -> Outcome:
        text = "".join(traceback.format_exception(error))
        story = run_dir / f"{self.verb_name}.log"
        with suppress(OSError), story.open("a", encoding="utf-8") as file:
            file.write(text)
        if os.environ.get("SEDTF_DEBUG"):
            sys.stderr.write(text)
        if isinstance(error, UserError):
            return Outcome(USER_ERROR, str(run_dir), error=one_line(error))
        full = full_disk(error)
        if full is not None:
            place = full if full.parts else run_dir
            go_on = f", then: sedtf train resume={run_dir}" if self.verb_name == "train" else ""
            return Outcome(
                USER_ERROR,
                str(run_dir),
                error=f"no room left on the disk of {place}, or within its quota: make some{go_on}",
            )
        hint = f"; the whole story is in {story}"
        name = "" if isinstance(error, SedtfError) else f"{type(error).__name__}: "
        return Outcome(FAILED, str(run_dir), error=f"{name}{one_line(error)}{hint}")


def register_schemas() -> None:
    """Make the classes of :mod:`sed_cli.config` known to Hydra, with those of plugins in use."""
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


def make_callbacks(config: DictConfig) -> Callbacks:
    """Callbacks of Hydra's that a configuration names."""
    return Callbacks(config)


def start_hydra(task_name: str, flags: Flags) -> Hydra:
    """Start Hydra with the folders of configs that the flags name.

    Raises:
        UserError: if there is no such folder.
    """
    register_schemas()
    main_dir = Path(flags.config_path).absolute() if flags.config_path else conf_dir()
    for folder in (flags.config_path, flags.config_dir):
        if folder is not None and not Path(folder).is_dir():
            raise UserError(f"{folder}: no such folder of configs")
    search_path = cast(ConfigSearchPathImpl, create_config_search_path(str(main_dir)))
    if flags.config_dir is not None:
        # Before the main folder, so that a user's own option of the same name wins.
        search_path.prepend("command-line", f"file://{Path(flags.config_dir).absolute()}", "main")
    GlobalHydra.instance().clear()
    hydra = Hydra.create_main_hydra2(task_name, search_path)
    hydra.config_loader = Loader(search_path)
    return hydra


def _resumed(verb: Verb, overrides: list[str]) -> tuple[Resumed | None, list[str]]:
    """Read the run named by ``resume=``, and complete what is given now."""
    resume = value_of("resume", overrides)
    if verb.name != "train" or resume in (None, "null", ""):
        return None, overrides
    from sed_cli.cli.resuming import read_resumed

    resumed = read_resumed(str(resume))
    overrides = resumed.without_known(overrides)
    # In place, unless told otherwise: the continued run is the same run.
    place = [] if value_of("output_dir", overrides) else [f"output_dir={quoted(resumed.folder)}"]
    return resumed, [f"task={resumed.config.task}", *place, *overrides]


def _with_words(verb: Verb, overrides: list[str]) -> list[str]:
    """Gather words that are no KEY=VALUE under the key that takes them, such as folders of runs."""
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
            f"settings are written KEY=VALUE"
        )
    return [f"{verb.words}={quoted(words[0])}", *kept]


def _literal(override: str, keys: Sequence[str]) -> str:
    """Quote the value of a path or text, so that it is taken as it stands."""
    key, equals, value = override.partition("=")
    plain = key in keys and equals and value not in ("", "null") and value[0] not in "'\""
    return f"{key}={quoted(value)}" if plain else override


def _path(override: str) -> str:
    """Quote what names a file or folder, such as a run of a sweep: ``seed=0,model=crnn``."""
    key, _, value = override.partition("=")
    if not re.search(r"[^\w./+-]", value) or value[0] in "'\"[{":
        return override
    is_path = value.startswith("~") or _exists(value)
    return f"{key}={quoted(value)}" if is_path else override


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long for a name, or of no such user
        return False


def quoted(value: Path | str) -> str:
    """Quote a path or text for Hydra: any character stands for itself."""
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


# -------------------------------------------------------------------------------- the checks


def parse(hydra: Hydra, overrides: Sequence[str]) -> list[Override]:
    """Parse overrides.

    Raises:
        ConfigError: naming all that cannot be read.
    """
    parser = OverridesParser.create(hydra.config_loader)
    faults, parsed = [], []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except HydraException:
            faults.append(
                f"{override!r} is no KEY=VALUE that can be read; "
                f"quote a value with special characters: KEY=\"'VALUE'\""
            )
    if faults:
        raise ConfigError(faults)
    return parsed


def _check_names(hydra: Hydra, config_name: str, overrides: list[str], flags: Flags) -> None:
    """Find mistyped groups, options and keys, and overrides that would be ignored silently."""
    parsed = parse(hydra, overrides)
    groups = _options_of_groups(hydra)
    faults: list[str] = []
    good_groups: list[str] = []
    bad_groups: set[str] = set()
    for override in parsed:
        name = override.key_or_group
        if name in groups:
            fault = _group_fault(override, groups[name], flags)
            if fault:
                faults.append(fault)
                bad_groups.add(name)
            else:
                good_groups.append(_first_choice(override))
    composed = _compose(hydra, config_name, good_groups, RunMode.RUN)
    keys = set(_keys(composed)) | set(groups)
    for override in parsed:
        name = override.key_or_group
        group = name.split(".")[0]
        if name in groups or override.is_delete() or group == "hydra":
            continue
        if group in bad_groups:  # which keys it has is not known
            continue
        found = _key_faults(override, keys, composed)
        owner = _option_with(hydra, config_name, name, good_groups, groups) if found else None
        belongs = f"{override.input_line}: there is no key {name}; it belongs to {owner}"
        faults += [belongs] if owner else found
    if faults:
        raise ConfigError(faults)


def _option_with(
    hydra: Hydra,
    config_name: str,
    key: str,
    chosen: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> str | None:
    """Name the option of the key's group that has the key, or the task and option that have it."""
    group = key.split(".")[0]
    unsuited = []
    for option in groups.get(group, ()):
        choice = f"{group}={option}"
        composed = _composed_or_none(hydra, config_name, [*chosen, choice])
        if composed is None:
            unsuited.append(choice)
        elif key in set(_keys(composed)):
            return choice
    for task in _other_tasks(hydra, config_name, chosen, groups):
        for choice in ("", *unsuited):
            choices = [task, choice] if choice else [task]
            composed = _composed_or_none(hydra, config_name, choices)
            if composed is not None and key in set(_keys(composed)):
                return " ".join(choices)
    return None


def _unsuited(
    hydra: Hydra,
    config_name: str,
    groups: Mapping[str, Sequence[str]],
    choices: Sequence[str],
) -> list[str]:
    """Say which of some options of groups go with another task: with one they compose with.

    Verbs without tasks have groups, and options of them, that others do not.
    """
    plain = _composed_or_none(hydra, config_name, [])
    if plain is None:
        return []
    if _TASK not in plain:
        return _unknown_to_verb(hydra, config_name, plain, groups, choices)
    # An experiment may name its task, and may be what does not go with the task that is given.
    for named in (f"{_TASK}=", "experiment="), (f"{_TASK}=",):
        base = [choice for choice in choices if choice.startswith(named)]
        others = _other_tasks(hydra, config_name, base, groups)
        if others:
            break
    else:
        return []
    (task,) = {f"{_TASK}={one}" for one in groups[_TASK]} - set(others)
    faults = []
    for choice in choices:
        if choice in base or _goes(hydra, config_name, task, choice):
            continue
        if fitting := [one for one in others if _goes(hydra, config_name, one, choice)]:
            group = choice.split("=")[0]
            options = [
                one for one in groups[group] if _goes(hydra, config_name, task, f"{group}={one}")
            ]
            there = f"{group}={', '.join(options)}" if options else f"no {group}"
            faults.append(
                f"{choice} goes with {' or '.join(fitting)}, not with {task}, which has {there}"
            )
    return faults


def _unknown_to_verb(
    hydra: Hydra,
    config_name: str,
    plain: DictConfig,
    groups: Mapping[str, Sequence[str]],
    choices: Sequence[str],
) -> list[str]:
    """Say which groups, or options of them, a verb without tasks does not have."""
    known = [str(name) for name in plain.hydra.runtime.choices if "/" not in str(name)]
    faults = []
    for choice in choices:
        group = choice.split("=")[0]
        if group not in known:
            there = f"there are {', '.join(known)}" if known else "there are no groups"
            faults.append(f"{choice}: sedtf {config_name} has no group {group}; {there}")
        elif _composed_or_none(hydra, config_name, [choice]) is None:
            options = [f"{group}={one}" for one in groups[group]]
            fitting = [o for o in options if _composed_or_none(hydra, config_name, [o]) is not None]
            faults.append(
                f"{choice} is nothing for sedtf {config_name}; there are {', '.join(fitting)}"
            )
    return faults


def _other_tasks(
    hydra: Hydra, config_name: str, choices: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the tasks that some choices are not of; none where they do not go together."""
    composed = _composed_or_none(hydra, config_name, choices)
    if composed is None or _TASK not in composed:
        return []
    return [f"{_TASK}={one}" for one in groups[_TASK] if one != composed[_TASK]]


def _goes(hydra: Hydra, config_name: str, task: str, choice: str) -> bool:
    return _composed_or_none(hydra, config_name, [task, choice]) is not None


def _composed_or_none(hydra: Hydra, config_name: str, choices: Sequence[str]) -> DictConfig | None:
    try:
        return hydra.compose_config(
            config_name, list(choices), RunMode.RUN, with_log_configuration=False
        )
    except (HydraException, OmegaConfBaseException):
        return None


def _options_of_groups(hydra: Hydra, parent: str = "") -> dict[str, list[str]]:
    """Return the options of every group below ``parent``, but for those of the schema.

    Asks the repository: the loader copies all that is registered for each question.
    """
    repository = cast(ConfigLoaderImpl, hydra.config_loader).repository
    found: dict[str, list[str]] = {}
    for name in repository.get_group_options(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if group == "schema":
            continue
        options = repository.get_group_options(group, ObjectType.CONFIG)
        found |= {group: options} if options else {}
        found |= _options_of_groups(hydra, group)
    return found


def _first_choice(override: Override) -> str:
    value = next(override.sweep_string_iterator()) if override.is_sweep_override() else None
    chosen = override.get_value_element_as_str() if value is None else value
    return f"{override.key_or_group}={chosen}"


def _group_fault(override: Override, options: list[str], flags: Flags) -> str | None:
    group = override.key_or_group
    if override.is_add():
        return (
            f"{override.input_line}: {group} is a config group that is always there, a + would add "
            f"a key beside it that nothing reads; write {(override.input_line or '').lstrip('+')}"
        )
    if group in ("hydra/launcher", "hydra/sweeper") and not flags.multirun:
        return f"{override.input_line}: that acts on the jobs of a sweep; add -m, or drop it"
    if override.is_delete():
        return f"{override.input_line}: {group} is always there; choose one of {', '.join(options)}"
    chosen: Iterator[Any] = iter(())
    if override.is_sweep_override():
        chosen = override.sweep_string_iterator()
    else:
        value = override.value()
        chosen = iter(value if isinstance(value, list) else [value])
    for option in ("null" if choice is None else str(choice) for choice in chosen):
        extra, package = _EXTRAS.get((group, option), ("", "sys"))
        if find_spec(package) is None:
            return f"{group}={option} needs {package}: pip install 'sedtf[{extra}]'"
        if option not in options:
            near = _nearest(option, options)
            own = "; one of your own comes with plugins=[FILE.py]" if _is_component(group) else ""
            return f"{group}={option}: no such option; there are {', '.join(options)}{near}{own}"
    return None


def _is_component(group: str) -> bool:
    return any(kind.group == group for kind in KINDS.values())


def _key_faults(override: Override, keys: set[str], composed: DictConfig) -> list[str]:
    name = override.key_or_group
    if name in keys:
        return []
    parent = OmegaConf.select(composed, name.rsplit(".", 1)[0]) if "." in name else composed
    free = isinstance(parent, DictConfig) and OmegaConf.get_type(parent) is dict
    if free or name.split(".")[0] == "samplers":
        return (
            []
            if override.is_add() or override.is_force_add()
            else [f"{override.input_line}: {name} is new there; write +{override.input_line}"]
        )
    candidates = sorted(key for key in keys if not key.startswith("hydra"))
    return [f"{override.input_line}: there is no key {name}{_nearest(name, candidates)}"]


def _nearest(word: str, candidates: Sequence[str]) -> str:
    """Name the candidate nearest to ``word``, or say nothing."""
    near = get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not near and "." not in word:
        last = {c.rsplit(".", 1)[-1]: c for c in candidates}
        near = [last[n] for n in get_close_matches(word, list(last), n=1, cutoff=0.6)]
    if not near and "." in word:
        same_end = [c for c in candidates if c.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
        near = same_end[:1]
    return f"; did you mean {near[0]}?" if near else ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        name = prefix + key
        yield name
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{name}.")


def _compose(hydra: Hydra, config_name: str, overrides: list[str], mode: RunMode) -> DictConfig:
    try:
        return hydra.compose_config(config_name, overrides, mode, with_log_configuration=False)
    except (HydraException, OmegaConfBaseException) as error:
        groups = _options_of_groups(hydra)
        choices = [_first_choice(o) for o in parse(hydra, overrides) if o.key_or_group in groups]
        faults = _unsuited(hydra, config_name, groups, choices)
        raise ConfigError(faults or [_explain(error)]) from error


def _explain(error: BaseException) -> str:
    """The innermost reason of a composition error, without Hydra's paragraphs around it."""
    reasons = []
    cause: BaseException | None = error
    while cause is not None:
        reasons.append(cause)
        cause = cause.__cause__
    inner = next((e for e in reversed(reasons) if isinstance(e, OmegaConfBaseException)), None)
    if inner is None:
        return one_line(error)
    full_key = getattr(inner, "full_key", None)
    message = one_line(Exception(str(inner).split("\n")[0]))
    return f"{full_key}: {message}" if full_key else message


class Checker:
    """Composes jobs of a verb in full and holds them against the checks of the schema."""

    def __init__(self, verb: Verb, hydra: Hydra, config_name: str) -> None:
        self.verb, self.hydra, self.config_name = verb, hydra, config_name

    def __call__(self, overrides: Sequence[str], named: frozenset[str] = frozenset()) -> Any:
        """Return the typed configuration of a job.

        Args:
            overrides: of the job.
            named: keys that the user gave for this job; a grid may hold keys that some of its jobs
                have no use for.

        Raises:
            ConfigError: with all that is wrong with it.
        """
        composed = _compose(self.hydra, self.config_name, list(overrides), RunMode.RUN)
        raw = copy.deepcopy(composed)
        with flag_override(raw, ["struct", "readonly"], [False, False]):
            del raw["hydra"]
        missing = sorted(OmegaConf.missing_keys(raw))
        if missing:
            raise ConfigError([f"{key} is not set: give {key}=..." for key in missing])
        HydraConfig.instance().set_config(composed)
        config: Any = OmegaConf.to_object(raw)
        faults = [*unknown_homes(asdict(config)), *config.faults(named)]
        if faults:
            raise ConfigError(faults)
        return config


# ---------------------------------------------------------------------------------- speaking


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show what is logged while a verb without a log of its own is at work."""
    handler = logging.StreamHandler(sys.stderr)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let a polite kill (SIGTERM) end a job the way Ctrl-C does: records written, nothing lost."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(error: BaseException) -> None:
    if os.environ.get("SEDTF_DEBUG"):
        traceback.print_exception(error)
    full = full_disk(error)
    if full is not None:
        place = f" of {full}" if full.parts else ""
        say(f"no room left on the disk{place}, or within its quota: make some, or write elsewhere")
        return
    faults = error.faults if isinstance(error, ConfigError) else [one_line(error)]
    for fault in faults:
        say(fault)


def one_line(error: BaseException) -> str:
    """What an error says, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


def say(line: str) -> None:
    """Tell the user, on standard error."""
    sys.stderr.write(f"sedtf: {line}\n")
