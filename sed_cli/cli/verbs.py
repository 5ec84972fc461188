"""The verbs: their functions and command lines."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True)
class Flags:
    """The options that every verb takes, as the command line received them."""

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
    """A verb and its function; its settings are checked by their class.

    Args:
        name: of the verb and of its root config.
        function: ``module:function``, imported when it is called, since it imports torch.
        prepare: the same, called before the folder of a resumed run is touched.
        leaves_run: whether it writes a run folder with a log and Hydra's records; else it runs
            directly.
        words: key that takes words without ``=``; it ends in ``[]`` if it is a list.
        text: keys whose value is taken literally, including equals signs.
        left_out: choices of ``null`` that are the default; Hydra does not accept null on the
            command line.
    """

    name: str
    function: str
    prepare: str | None = None
    leaves_run: bool = True
    words: str | None = None
    text: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "train",
            "sed_cli.tasks.train:train",
            prepare="sed_cli.tasks.train:prepare_resume",
            left_out=("experiment=null",),
        ),
        Verb("eval", "sed_cli.tasks.verbs:evaluate", left_out=("data=null",)),
        Verb("export", "sed_cli.tasks.detection.export:export_checkpoint"),
        Verb(
            "simulate",
            "sed_cli.reports.simulate:simulate_config",
            left_out=("experiment=null",),
        ),
        Verb("synth", "sed_cli.tasks.detection.synth:synthesise"),
        Verb(
            "predict",
            "sed_cli.tasks.verbs:predict",
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
        Verb("report", "sed_cli.tasks.verbs:report", words="run"),
        Verb("data", "sed_cli.tasks.detection.inspection.run:inspect_data"),
        Verb("cache", "sed_cli.data.cache.report:manage_cache", leaves_run=False),
        Verb("status", "sed_cli.cli.sweeps.status:show_status", leaves_run=False, words="dir"),
    )
}


def load(name: str) -> Callable[..., Any]:
    """Import the ``module:function`` of a verb."""
    module, function = name.split(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), function))
