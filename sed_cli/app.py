"""The command line: the verbs, their help, and nothing else.

Everything heavy is imported inside the functions, so that ``--help`` and a shell's completion
answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand

from sed_cli import __version__

TRAIN = """Train a detector, keep its best epoch by validation, evaluate that on the test split.

Without any setting it trains on generated soundscapes.

Examples:

- `sedtf train`
- `sedtf train model=crnn sampler.gamma=0.08 trainer.epochs=50`
- `sedtf train -m sampler=scheduled,free_running seed=0,1,2`
- `sedtf train data=annotated data.root=recordings data.sequence_length=500`
- `sedtf train resume=outputs/train/2026-01-31/12-00-00-000000 trainer.epochs=80`

Config groups:

- `feature`: logmel, mel, logmel_torchlibrosa
- `model`: crnn, crnn_paper, crnn_baseline
- `sampler`: scheduled, tutorial, teacher_forcing, free_running, linear, exponential,
  inverse_sigmoid
- `data`: soundscapes, annotated
- `trainer`: default, smoke, paper
- `evaluation`: default (`evaluation.metric=event` tunes thresholds for events,
  `evaluation.tune=false` keeps 0.5)
- `experiment`: tutorial, paper, baseline, smoke, birdsong

All keys with their values: `sedtf train --cfg job`
"""

EVAL = """Evaluate a checkpoint on a split: frame, segment and event based F1 and error rate.

Thresholds and filters are those of the checkpoint, unless `evaluation.metric` asks for others.

Examples:

- `sedtf eval checkpoint=outputs/train/2026-01-31/12-00-00-000000`
- `sedtf eval checkpoint=RUN/checkpoints/last split=validation`
- `sedtf eval checkpoint=RUN data=annotated data.root=other_recordings`
- `sedtf eval checkpoint=RUN evaluation.metric=event evaluation.min_gap_s=0.1`
- `sedtf eval checkpoint=RUN evaluation.tune=false evaluation.psds=true`

Config groups:

- `data`: soundscapes, annotated (without it, the data of the training run)
- `evaluation`: default
"""

EXPORT = """Export a checkpoint as ONNX graphs, checked against PyTorch, with a model card.

`stream.onnx` takes chunks of a stream, `recording.onnx` whole recordings, `waveform.onnx` their
samples; `detect.py` beside them shows how to run them without PyTorch. Needs `sedtf[onnx]`.

Examples:

- `sedtf export checkpoint=outputs/train/2026-01-31/12-00-00-000000`
- `sedtf export checkpoint=RUN/checkpoints/last output_dir=exported waveform=false`
- `sedtf export checkpoint=RUN licence=cc-by-4.0 data_licence=cc-by-3.0`
"""

SIMULATE = """Write a sampler's curve and its coins, without any model.

Examples:

- `sedtf simulate`
- `sedtf simulate sampler.gamma=0.02 n_batches=100`
- `sedtf simulate experiment=tutorial_curves`
- `sedtf simulate sampler=linear n_batches=1000 animate=false`
- `sedtf simulate '+samplers.slow.gamma=0.02' '+samplers.fast.gamma=0.1'`

Config groups:

- `sampler`: tutorial, scheduled, teacher_forcing, free_running, linear, exponential,
  inverse_sigmoid
- `experiment`: tutorial_curves
"""

COMPARE = """Join runs or a sweep into one table with the spread over seeds, and figures.

Words without `=` are folders: runs of `train` or `eval`, or anything that such runs lie below.
Runs that failed or did not finish are listed, and take no part.

Examples:

- `sedtf compare outputs/train/2026-01-31/12-00-00-000000`
- `sedtf compare SWEEP OTHER_SWEEP baseline=free_running`
- `sedtf compare SWEEP metric=event 'baseline=sampler=free_running model.rnn_hidden=32'`
- `sedtf compare RUN_1 RUN_2 RUN_3 output_dir=table`

Folds (runs that differ in `data.fold` alone) are joined by summing their counts. Keys: `metric`
(frame, segment, segment_100ms, event, event_onset), `baseline`, `output_dir`.
"""


REPORT = """Write one HTML page of a run: scores, curves, errors, and test files to listen to.

The page needs no network and no other file. Its recordings are played beside the spectrogram,
the reference, the detected events and the probabilities. The word without `=` is the folder of a
run of `train` or `eval`.

Examples:

- `sedtf report outputs/train/2026-01-31/12-00-00-000000`
- `sedtf report RUN output_dir=page` writes `page/report.html`
- `sedtf report RUN files=10` shows the 10 worst files, `files=null` all, `files=0` none
- `sedtf report RUN longest_s=60` shows a minute of longer recordings: that with most errors

Keys: `files`, `longest_s`, `device`, `threads`, `output_dir`.
"""

_WORDS = {"compare": "RUN...", "report": "RUN"}


class _RichHelp(TyperCommand):
    """A verb whose help is laid out by rich; for the plain list of verbs rich loads too slowly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "rich_markup_mode": "markdown"})
        if self.name in _WORDS:  # verbs that take words without =
            self.params[0].metavar = f"{_WORDS[self.name]} [KEY=VALUE]..."


app = typer.Typer(
    name="sedtf",
    help="Train, compare and use recurrent sound event detectors.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete(ctx: typer.Context, args: list[str], incomplete: str) -> list[str]:
    from sed_cli import job

    return job.complete(str(ctx.info_name), ctx.params.get("overrides") or [], incomplete)


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
    """Declare a verb: all of them take settings and Hydra's flags, and differ in their job."""

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
            bool, typer.Option("--resolve", help="With --cfg: fill in references.")
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
            typer.Option("--config-name", help="Another root config than the verb's own."),
        ] = None,
    ) -> None:
        from sed_cli import job

        flags = job.Flags(
            multirun=multirun,
            cfg=cfg,
            resolve=resolve,
            package=package,
            info=info,
            hydra_help=hydra_help,
            config_dir=config_dir,
            config_path=config_path,
            config_name=config_name,
        )
        raise typer.Exit(job.run(name, overrides or [], flags))


for _name, _text in (("train", TRAIN), ("eval", EVAL), ("export", EXPORT), ("simulate", SIMULATE)):
    _add_verb(_name, _text)
_add_verb("compare", COMPARE)
_add_verb("report", REPORT)


def main() -> NoReturn:
    """Run the command line and exit with sedtf's codes: 0, 1, 2 or 130."""
    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # A usage error of Typer's has a message for the user; anything else is a defect.
        describe = getattr(error, "format_message", None)
        if describe is None or os.environ.get("SEDTF_DEBUG"):
            raise
        sys.stderr.write(f"sedtf: {' '.join(describe().split())}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
