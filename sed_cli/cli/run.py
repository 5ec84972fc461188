"""A command from its overrides to its exit code: compose once, check, run, report errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import RunMode
from yaml import YAMLError

from sed_cli.cli import verbs
from sed_cli.cli.checks import check_job, check_names, compose
from sed_cli.cli.choices import with_choices, without_plugins
from sed_cli.cli.folders import check_folder, own_folder
from sed_cli.cli.hydra import FAULTS, Composer
from sed_cli.cli.messages import log_to_stderr, report, say
from sed_cli.cli.overrides import (
    is_given,
    literal,
    quoted,
    value_of,
    with_words,
)
from sed_cli.cli.task import DONE, INTERRUPTED, USER_ERROR, HydraTask, prepare
from sed_cli.cli.verbs import VERBS, Flags, Verb
from sed_cli.config import plugins
from sed_cli.config.identity import config_hash
from sed_cli.errors import SedtfError, UserError
from sed_cli.system import torchrun
from sed_cli.system.pool import terminate_as_interrupt
from sed_cli.system.shortage import shortage

if TYPE_CHECKING:
    from sed_cli.cli.resuming import Resumed


def run(verb_name: str, overrides: Sequence[str], flags: Flags) -> int:
    """Run a verb, or show its configuration; return the exit code, for any input."""
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
    except BrokenPipeError:  # closed by `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except RecursionError:
        say("settings refer to themselves endlessly, in a defaults list or by ${...}")
        return USER_ERROR
    except (SedtfError, *FAULTS, OSError, YAMLError) as error:
        if not (torchrun.local_rank() and isinstance(error, UserError)):  # another rank reports it
            report(error, verb_name)
        return error.exit_code if isinstance(error, SedtfError) else USER_ERROR
    except Exception as error:
        if not shortage(error):
            raise
        report(error, verb_name)
        return USER_ERROR


def complete(verb_name: str, words: Sequence[str], incomplete: str) -> list[str]:
    """Config groups, their options and keys that continue ``incomplete``, for the shell."""
    with suppress(UserError):  # completion does not report faults in the words
        words, files = without_plugins(words)
        plugins.use(files)
    folders: list[str] = []
    if VERBS[verb_name].words is not None and "=" not in incomplete:
        words = [word for word in words if "=" in word]
        folders = _folders(incomplete)
    found = Composer(verb_name, Flags()).complete(" ".join([*words, incomplete]))
    return sorted({*found, *folders})


def _folders(incomplete: str) -> list[str]:
    """Folders that complete a path, in the form it was typed."""
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


def _run(verb: Verb, overrides: list[str], flags: Flags) -> int:
    _check_flags(verb, overrides, flags)
    composer, overrides = _start(verb, overrides, flags)
    if flags.hydra_help:
        composer.show_help()
        return DONE
    if flags.info:
        composer.show_info(flags.info, overrides)
        return DONE
    if not flags.multirun and _asks_for_sweep(composer, overrides, flags):
        flags = replace(flags, multirun=True)
    check_names(composer, overrides, flags)
    if flags.cfg:
        compose(composer, overrides)
        return DONE if composer.show_config(overrides, flags) else USER_ERROR
    if flags.multirun:
        from sed_cli.cli.sweeps.run import run_sweep

        if torchrun.n_ranks() > 1:
            raise UserError("torchrun starts one training: drop -m, or use trainer.devices=N")
        return run_sweep(composer, verb, overrides, flags)
    named = frozenset(override.key_or_group for override in composer.parse(overrides))
    config, composed = check_job(composer, overrides, named)
    if not verb.leaves_run:
        check_folder(verb.name, config)
        with log_to_stderr():
            verbs.load(verb.function)(config)
        return DONE
    if flags.dry_run:
        from sed_cli.tasks.cost import tell_cost

        with log_to_stderr():
            tell_cost([config], ["this run"], parallel=1)
        return DONE
    return _run_job(composer, verb, flags, config, composed)


def _check_flags(verb: Verb, overrides: Sequence[str], flags: Flags) -> None:
    if not flags.cfg and (flags.package or flags.resolve):
        raise UserError("--package and --resolve need --cfg: add --cfg job")
    if flags.dry_run and verb.name != "train":
        raise UserError(f"--dry-run estimates trainings, not sedtf {verb.name}: drop it")
    if flags.multirun and not verb.leaves_run:
        raise UserError(f"sedtf {verb.name} does not support sweeps: drop -m")
    if flags.multirun and is_given("resume", overrides):
        raise UserError("resume= continues one run: drop -m, or name a sweep by resume_sweep=")
    if not flags.multirun and is_given("resume_sweep", overrides):
        raise UserError("resume_sweep= continues a sweep: add -m and repeat all of its settings")


def _start(verb: Verb, overrides: list[str], flags: Flags) -> tuple[Composer, list[str]]:
    """Read plugins and the resumed run; convert the overrides to Hydra's grammar."""
    # Choices of null are the default and are dropped; Hydra takes no null on the command line.
    overrides = [override for override in overrides if override not in verb.left_out]
    overrides, files = without_plugins(overrides)
    used = [quoted(file) for file in plugins.use(files)]
    for line in [] if torchrun.local_rank() else plugins.replaced():
        say(line)
    resumed, overrides = _resumed(verb, with_choices(overrides))
    overrides = with_words(verb, [literal(override, verb.text) for override in overrides])
    if used:
        overrides.append(f"plugins=[{','.join(used)}]")
    return Composer(verb.name, flags, resumed), overrides


def _resumed(verb: Verb, overrides: list[str]) -> tuple[Resumed | None, list[str]]:
    """Read the run named by ``resume=``, and complete the current overrides."""
    if verb.name != "train" or not is_given("resume", overrides):
        return None, overrides
    from sed_cli.cli.resuming import read_resumed

    resumed = read_resumed(str(value_of("resume", overrides)))
    overrides = resumed.without_known(overrides)
    # In the same folder by default: the resumed run is the same run.
    place = [] if value_of("output_dir", overrides) else [f"output_dir={quoted(resumed.folder)}"]
    return resumed, [f"task={resumed.config.task}", *place, *overrides]


def _asks_for_sweep(composer: Composer, overrides: Sequence[str], flags: Flags) -> bool:
    """Whether a configuration itself requests a sweep (``hydra.mode: MULTIRUN``)."""
    chosen = [o for o in overrides if o.startswith(("experiment=", "hydra.mode="))]
    if not chosen and flags.config_name is None:  # none of ours is
        return False
    config = composer.compose_or_none(chosen)  # faults are reported later
    return config is not None and config.hydra.mode == RunMode.MULTIRUN


def _run_job(composer: Composer, verb: Verb, flags: Flags, config: Any, composed: Any) -> int:
    """Reserve the run folder and run the job in it."""
    if torchrun.n_ranks() == 1:
        check_folder(verb.name, config)
    # Before the folder is reserved: a refused run leaves nothing there.
    task = HydraTask(verb.name, flags, prepare(verb, config))
    with ExitStack() as held:
        if verb.name == "train" and torchrun.n_ranks() > 1:
            folder = _agreed_folder(verb, config, held)
            if torchrun.rank():
                return _run_beside(verb, config, folder)
            config.output_dir = str(folder)
        else:
            held.enter_context(own_folder(verb.name, config))
        # The reserved one: the time in its name would be evaluated again.
        composed.output_dir = config.output_dir
        outcome = composer.run(task, composed)
    if outcome.error:
        say(outcome.error)
    return int(outcome.status)


def _agreed_folder(verb: Verb, config: Any, held: ExitStack) -> Path | None:
    """Use the run folder of rank 0 in all ranks of ``torchrun``; ``None``: rank 0 refused."""
    if config.trainer.devices not in (None, torchrun.n_ranks()):
        raise UserError(
            f"trainer.devices={config.trainer.devices}, but torchrun has started "
            f"{torchrun.n_ranks()} processes: drop trainer.devices"
        )
    if torchrun.rank():
        return torchrun.announced_folder(config_hash(config))
    folder = None
    try:
        held.enter_context(own_folder(verb.name, config))
        folder = Path(config.output_dir).absolute()
    finally:
        torchrun.announce(folder, config_hash(config))
    return folder


def _run_beside(verb: Verb, config: Any, folder: Path | None) -> int:
    """Do the work of a rank above 0 of ``torchrun``: rank 0 owns the folder, and reports."""
    if folder is None:
        return USER_ERROR
    logging.getLogger().setLevel(logging.ERROR)
    config.output_dir = str(folder)
    verbs.load(verb.function)(config, folder)
    return DONE
