"""The command line: verbs and their help.

Heavy modules are imported inside the functions, so that ``--help`` and shell completion
respond immediately.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand

from sed_cli import __version__
from sed_cli.help_texts import VERBS
from sed_cli.system import working_folder

_WORDS = {"compare": "RUN...", "report": "RUN", "status": "DIR"}


class _RichHelp(TyperCommand):
    """A verb with help formatted by rich, which loads too slowly for the plain list of verbs."""

    _plugins: Sequence[str] = ()  # words of the command before its help is shown

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Record the plugins, so that the help lists their components."""
        self._plugins = [word for word in args if word.startswith("plugins=")]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill in the config groups; their options are looked up only when help is shown."""
        from sed_cli.config.help import group_help

        if self._plugins:
            _use_plugins(self._plugins)
        self.help = (self.help or "").replace("{groups}", group_help(str(self.name)))
        super().format_help(ctx, formatter)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "rich_markup_mode": "markdown"})
        if self.name in _WORDS:  # verbs that take words without =
            self.params[0].metavar = f"{_WORDS[self.name]} [KEY=VALUE]..."


def _use_plugins(words: Sequence[str]) -> None:
    from sed_cli.cli.choices import without_plugins
    from sed_cli.config import plugins
    from sed_cli.errors import UserError

    try:
        plugins.use(without_plugins(words)[1])
    except UserError as error:
        typer.echo(f"sedtf: {error}", err=True)
        raise typer.Exit(2) from error


app = typer.Typer(
    name="sedtf",
    help="Train, compare and use recurrent sound event detectors.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete(ctx: typer.Context, args: list[str], incomplete: str) -> list[str]:
    from sed_cli.cli.run import complete

    return complete(str(ctx.info_name), ctx.params.get("overrides") or [], incomplete)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"sedtf {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass


def _add_verb(name: str, text: str) -> None:
    """Declare a verb: all take settings and Hydra's flags, and differ in the job they run."""

    @app.command(name=name, cls=_RichHelp, help=text, short_help=text.splitlines()[0])
    def verb(
        overrides: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[KEY=VALUE]...",
                help="GROUP=OPTION chooses a file of a group, GROUP.KEY=VALUE sets a value.",
                autocompletion=_complete,
                show_default=False,
            ),
        ] = None,
        multirun: Annotated[
            bool,
            typer.Option("--multirun", "-m", help="Sweep: run all combinations of KEY=a,b,c."),
        ] = False,
        cfg: Annotated[
            Literal["job", "hydra", "all"] | None,
            typer.Option("--cfg", "-c", help="Show the configuration instead of running."),
        ] = None,
        resolve: Annotated[
            bool, typer.Option("--resolve", help="With --cfg: resolve references.")
        ] = False,
        package: Annotated[
            str | None,
            typer.Option("--package", "-p", help="With --cfg: only this part, such as sampler."),
        ] = None,
        info: Annotated[
            Literal["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"] | None,
            typer.Option("--info", "-i", help="Show where the configuration comes from."),
        ] = None,
        hydra_help: Annotated[
            bool, typer.Option("--hydra-help", help="Show Hydra's own help.")
        ] = False,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="With train: measure a few updates and estimate the duration."
            ),
        ] = False,
        config_dir: Annotated[
            str | None,
            typer.Option("--config-dir", help="Folder of your own configs, searched first."),
        ] = None,
        config_path: Annotated[
            str | None,
            typer.Option("--config-path", help="Folder that replaces the built-in configs."),
        ] = None,
        config_name: Annotated[
            str | None,
            typer.Option("--config-name", help="Use another root config."),
        ] = None,
    ) -> None:
        import logging

        from sed_cli.cli.run import run
        from sed_cli.cli.verbs import Flags

        logging.raiseExceptions = False  # a log on a full disk: what else is written reports it
        flags = Flags(
            multirun=multirun,
            cfg=cfg,
            resolve=resolve,
            package=package,
            info=info,
            hydra_help=hydra_help,
            dry_run=dry_run,
            config_dir=config_dir,
            config_path=config_path,
            config_name=config_name,
        )
        raise typer.Exit(run(name, overrides or [], flags))


for _name, _text in VERBS.items():
    _add_verb(_name, _text)


def _speak_utf8() -> None:
    """Use UTF-8 for pipes and files, whatever the system or environment variables request.

    A terminal keeps its encoding; unsupported characters become question marks.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def main() -> NoReturn:
    """Run the command line and exit with sedtf's codes: 0, 1, 2 or 130."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)
    working_folder.keep_out()
    _speak_utf8()
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # Typer's usage errors have a message for the user; anything else is a bug.
        describe = getattr(error, "format_message", None)
        if describe is None or os.environ.get("SEDTF_DEBUG"):
            raise
        from sed_cli.cli.messages import say
        from sed_cli.system.text import one_line

        say(one_line(describe()))
        sys.exit(2)


if __name__ == "__main__":
    main()
