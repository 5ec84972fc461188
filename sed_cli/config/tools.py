"""Settings of the verbs other than train and eval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sed_cli.config.data import DataConfig, SoundscapesConfig
from sed_cli.config.evaluation import DecodingConfig
from sed_cli.config.every_verb import CHECKPOINT, DEVICE, DEVICES, THREADS, SizedConfig, VerbConfig
from sed_cli.config.faults import Faults
from sed_cli.config.registry import Names
from sed_cli.config.settings import MISSING, Role, setting
from sed_cli.config.trainer import MOST_THREADS
from sed_cli.config.training import SamplerConfig
from sed_cli.config.values import vary_sampler

JSONL = "jsonl"  # events as they are found, one JSON object per line


_HIGHEST_RATE, _MOST_CHANNELS = 5_000_000, 256
_MOST_ITERATIONS = 10**8  # one row of curve.csv each

PCM_DTYPES = ("s16", "s32", "f32")


@dataclass
class ExportConfig(VerbConfig):
    """``sedtf export``; the licences are copied to the model card."""

    checkpoint: str = setting(MISSING, CHECKPOINT)
    output_dir: str = setting(MISSING, "folder of the exported model", role=Role.PLACE)
    waveform: bool = setting(
        True, "also write a graph that takes samples; adds 9 MB at the default features"
    )
    tolerance: float = setting(
        1e-5,
        "maximum difference of a probability from PyTorch's; a larger one fails the export",
        above=0,
    )
    licence: str | None = setting(None, "licence of the model, for its card, such as cc-by-4.0")
    data_licence: str | None = setting(None, "licence of the training data, for the card")


@dataclass
class SimulateConfig(SizedConfig):
    """``sedtf simulate``: ``samplers`` plots named variations of ``sampler`` in one figure."""

    seed: int = setting(0, "seed of the teacher masks", at_least=0, at_most=2**32 - 1)
    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE
    )
    sampler: SamplerConfig = setting()
    samplers: dict[str, dict[str, Any]] = setting(
        {},
        "variations of sampler in one figure: '+samplers.slow.gamma=0.02' "
        "'+samplers.line={schedule: linear, c: 0.0002}'",
    )
    n_batches: int | None = setting(
        None,
        "number of batches to draw, and N_b unless sampler.batches_per_epoch is set; null: 10 "
        "epochs of 50 if all samplers count updates, otherwise 50",
        at_least=1,
    )
    batch_size: int = setting(16, "B, sequences in a batch", at_least=1)
    n_steps: int = setting(107, "T, time steps in a sequence", at_least=1)
    n_classes: int = setting(6, "C, for sampler.coin=class", at_least=1)
    animate: bool = setting(True, "write the animation forced_targets.gif")

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults in the sampler and in each variation."""
        faults = Faults([*super().faults(named), *self.sampler.faults(), *self._size_faults()])
        for name, changes in self.samplers.items():
            try:
                faults += vary_sampler(self.sampler, changes).faults(f"samplers.{name}.")
            except Exception as error:
                faults.append(f"samplers.{name}: {str(error).splitlines()[0]}")
        return faults

    def _size_faults(self) -> list[str]:
        """Faults if there are more rows, or larger batches, than a machine can handle."""
        faults = Faults()
        units = [self.sampler.unit, *(each.get("unit") for each in self.samplers.values())]
        each = self.n_steps if "time_step" in units else 1
        n_rows = (self.n_batches or 1) * each
        faults.require(
            n_rows <= _MOST_ITERATIONS,
            f"n_batches={self.n_batches} and n_steps={self.n_steps}: curve.csv would have "
            f"{n_rows:.3g} rows, the limit is {_MOST_ITERATIONS:.0e}; lower one of them",
        )
        drawn = self.batch_size * self.n_steps * self.n_classes
        keys = ("batch_size", "n_steps", "n_classes")
        return [*faults, *self.memory_faults(8 * drawn, "the draws of a batch", keys)]


@dataclass
class SynthConfig(SizedConfig):
    """``sedtf synth``: soundscapes of ``data``, or of the recipe of an earlier data set."""

    output_dir: str = setting(MISSING, "folder of the data set", role=Role.PLACE)
    recipe: str | None = setting(
        None,
        "recipe.json of an earlier data set, to reproduce byte by byte; of data, only data.bank "
        "may be set beside it, to the bank's present folder",
    )
    format: str = setting(
        "desed", "format of the annotations", choices=Names("format", where="IS_WRITTEN")
    )
    workers: int | None = setting(
        None, "number of processes; null: one per core", at_least=1, at_most=MOST_THREADS
    )
    figure: bool = setting(True, "draw figures/scene.png, a recording with its events")
    data: DataConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults in the soundscapes, or in settings that a recipe fixes."""
        faults = Faults(super().faults(named))
        if not isinstance(self.data, SoundscapesConfig):
            faults.append("data: synth only writes soundscapes; give data=soundscapes, or drop it")
            return faults
        if self.recipe is not None:
            # A recipe does not fix the present folder of its bank.
            fixed = [
                key
                for key in sorted(named - {"data.bank"})
                if key.split(".")[0] in ("format", "data")
            ]
            faults.require(
                not fixed,
                f"{', '.join(fixed)} set, but recipe={self.recipe} fixes it: drop one of the two",
            )
            return faults
        faults += [*self.data.faults_of_set(), *self.recording_faults(self.data)]
        cut = [k for k in ("train_share", "train_minutes") if getattr(self.data, k) is not None]
        faults.require(
            not cut,
            f"data.{' and data.'.join(cut)} set, but synth writes whole splits: lower data.n_train",
        )
        counts = [self.data.n_train, self.data.n_validation, self.data.n_test]
        faults.require(
            any(counts),
            "data.n_train, data.n_validation and data.n_test are all 0: nothing to write",
        )
        return faults


@dataclass
class DataVerbConfig(SizedConfig):
    """``sedtf data``."""

    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE
    )
    sequence_gap_s: float | None = setting(
        None,
        "a longer silence ends a sequence of events, whose syntax is measured; null: sequences end "
        "with their recordings",
        unit="s",
        at_least=0,
    )
    n_faults: int = setting(
        20, "number of faults to print; data.json and faults.csv have all of them", at_least=0
    )
    near_copies: bool = setting(
        False, "also search for identical sounds in different splits (computes features)"
    )
    data: DataConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Add faults in the data."""
        return [*super().faults(named), *self.data.faults(), *self.recording_faults(self.data)]


@dataclass
class StatusConfig(VerbConfig):
    """Progress of runs."""

    dir: str = setting(MISSING, "folder of a sweep, a run or several runs; as in sedtf status DIR")
    watch: float | None = setting(None, "refresh until Ctrl-C", unit="s", above=0)


@dataclass
class CacheConfig(VerbConfig):
    """``sedtf cache``."""

    clear: str | None = setting(
        None,
        "which entries to delete; entries in use by a running process are kept",
        choices=("features", "soundscapes", "all"),
    )
    older_than_days: float | None = setting(
        None, "delete only entries that have not been used for this many days", at_least=0
    )
    cache_dir: str | None = setting(None, "null: SEDTF_CACHE, otherwise the user's cache folder")

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Fault if an age is set but nothing is cleared."""
        faults = Faults(super().faults(named))
        faults.require(
            self.clear is not None or self.older_than_days is None,
            f"older_than_days={self.older_than_days}, but nothing is cleared: add clear=all",
        )
        return faults


@dataclass
class PredictConfig(VerbConfig):
    """``sedtf predict``: ``input`` is a file, a folder, or - for standard input.

    ``decoding`` is for a sequence model; the fields before it are for a detector.
    """

    checkpoint: str = setting(MISSING, CHECKPOINT)
    input: str = setting(
        MISSING, "a recording, a folder (with its subfolders), or - for standard input"
    )
    format: str = setting(
        "desed", "format of the events", choices=Names("format", JSONL, where="IS_WRITTEN")
    )
    channels: str = setting(
        "mix",
        "mix: average them; first: only the first; each: process them one after the other",
        choices=("mix", "first", "each"),
    )
    threshold: Any = setting(
        None,
        "threshold instead of the checkpoint's: a probability, or one per class, as "
        "'threshold={call: 0.3, song: 0.6}'; for decoders without thresholds, the minimum "
        "confidence",
    )
    min_duration_s: float | None = setting(
        None,
        "shorter events are dropped, after gaps are filled; null: as in the checkpoint",
        unit="s",
        at_least=0,
    )
    min_gap_s: float | None = setting(
        None,
        "shorter silences within a class are filled; null: as in the checkpoint",
        unit="s",
        at_least=0,
    )
    probabilities: bool = setting(
        False, "save the probability of each class at each frame: NAME.scores.tsv"
    )
    timeline: bool = setting(False, "draw each recording with its events: NAME.timeline.png")
    joined: bool = setting(
        False, "also write one table of the events of all recordings: predictions/events.tsv"
    )
    summary: bool = setting(
        False,
        "number of events, their duration and events per hour, by class, recording and time "
        "of day: predictions/summary.csv and .png",
    )
    clips: bool = setting(
        False, "cut each event out of its recording: predictions/clips/CLASS/*.wav"
    )
    clip_context_s: float = setting(
        0.5, "audio before and after the event in its clip", unit="s", at_least=0, at_most=10
    )
    redo: bool = setting(
        False, "process recordings again even if they are finished with the same settings"
    )
    workers: int | None = setting(
        1, "number of processes for a folder; null: one per core", at_least=1
    )
    decoding: DecodingConfig = setting(DecodingConfig(), "decoding of a sequence model")
    output_dir: str | None = setting(
        None,
        "folder for all output; null: events of one recording go to standard output, everything "
        "else beside the audio",
    )
    device: str = setting("auto", DEVICE, choices=DEVICES)
    threads: int | None = setting(
        1,
        f"{THREADS}; more rarely help, since blocks are small",
        at_least=1,
        at_most=MOST_THREADS,
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Add faults in decoding and thresholds."""
        return [*super().faults(named), *self.decoding.faults(), *threshold_faults(self.threshold)]


def threshold_faults(threshold: Any) -> list[str]:
    """Faults in a threshold for all classes, or in thresholds per class."""
    values = list(threshold.values()) if isinstance(threshold, dict) else [threshold]
    if threshold is None or all(_is_probability(value) for value in values):
        return []
    return [
        f"threshold={threshold}: expected a number from 0 to 1, or one per class, as in "
        f"'threshold={{call: 0.3, song: 0.6}}'"
    ]


def _is_probability(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1  # false for NaN


@dataclass
class ListenConfig(VerbConfig):
    """``sedtf listen``: raw PCM on standard input; with interleaved ``channels``."""

    checkpoint: str = setting(MISSING, CHECKPOINT)
    sample_rate: int | None = setting(
        None,
        "sample rate of the input; null: that of the detector",
        unit="Hz",
        at_least=1000,
        at_most=_HIGHEST_RATE,
    )
    dtype: str = setting(
        "s16",
        "s16, s32 (integers), f32 (floats in [-1, 1]); all little-endian",
        choices=PCM_DTYPES,
    )
    channels: int = setting(
        1, "number of interleaved channels; they are averaged", at_least=1, at_most=_MOST_CHANNELS
    )
    device: str = setting("cpu", DEVICE, choices=DEVICES)
    threads: int | None = setting(1, THREADS, at_least=1, at_most=MOST_THREADS)


@dataclass
class CompareConfig(VerbConfig):
    """``sedtf compare``: arguments without ``=`` are ``runs``."""

    runs: list[str] = setting([], "folders of runs or sweeps; as in sedtf compare RUN...")
    metric: str = setting("frame", "metric of the comparison", choices=Names("metric"))
    baseline: str | None = setting(
        None,
        "configuration to compare the others with, such as free_running, 'sampler=free_running "
        "model.rnn_hidden=32', or a run folder",
    )
    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Add a fault if no run is named."""
        faults = Faults(super().faults(named))
        faults.require(
            bool(self.runs), "no run is named: sedtf compare RUN..., or the folder of a sweep"
        )
        return faults


@dataclass
class ReportConfig(VerbConfig):
    """``sedtf report``: the argument without ``=`` is ``run``."""

    run: str = setting(MISSING, "folder of a run of train or eval; as in sedtf report RUN")
    files: int | None = setting(
        50, "number of recordings to show and play, worst first; null: all", at_least=0
    )
    longest_s: float | None = setting(
        30.0,
        "maximum duration shown of a recording, the part with most errors; null: all",
        unit="s",
        above=0,
    )
    device: str = setting("auto", DEVICE, choices=DEVICES, role=Role.PLACE)
    threads: int | None = setting(None, THREADS, at_least=1, at_most=MOST_THREADS, role=Role.PLACE)
    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE
    )
