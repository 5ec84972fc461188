"""What the study trains: methods, settings in which they meet, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sed_cli.config.files import conf_dir
from sed_cli.config.identity import flattened

BASELINE = "no_feedback"
MAIN = (BASELINE, "scheduled")
REGIMES = (*MAIN, "free_running", "teacher_forcing")
FEW = (*REGIMES, "constant_90", "rising", "trace")
LOOKAHEAD = ("lookahead", "lookahead_no_feedback")
DECODED = (*MAIN, *LOOKAHEAD)
"""Methods that are scored by other decoders too, and stand in the tables of all questions."""

SCALES = ("quick", "evening", "full")

SMALL = (
    "trainer.epochs=40",
    "trainer.lr=0.004",
    "trainer.lr_schedule=cosine",
    "trainer.loggers=[csv]",
    "model.kernel_size=3",
    "model.conv_channels=16",
    "feature.hop_length=1024",
    "data.sequence_length=157",
)
"""A quarter of the work of a training with the defaults, the same for all methods."""

ABOUT = {
    "quick": "the default model, 25 epochs",
    "evening": """a small model (16 channels, kernels of 3, frames of 64 ms; birdsong: 20 ms),
40 short epochs (birdsong: 20) with a falling learning rate: training ends before all is learnt.
Birdsong is trained on a fifth of its training recordings, 2.5 minutes""",
    "full": """the default model, 50 epochs. Birdsong is trained on a fifth of its training
recordings, in noise, and tested on clean ones""",
}
"""How a scale trains, for its page."""

SHARED = {
    "noise": ("-15 to 0 dB", "syntax", "0.98"),
    "amount": ("100 recordings", "syntax", "0.98"),
}
"""Name within a question of a setting of another question that answers it too: trained once."""

_BIRDSONG = conf_dir() / "experiment" / "birdsong.yaml"
BIRDSONG_TRAIN_SHARE = 0.2  # 14 recordings: with more of this clean audio all methods reach .98


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where methods meet: one data set (drawn anew by each seed), one set of updates.

    Args:
        question: which table it belongs to.
        name: within the question.
        methods: options of ``experiment=study/``.
        overrides: of ``sedtf train``, after those of the plan.
        syntax: strength of the syntax, where the data are generated.
    """

    question: str
    name: str
    methods: Sequence[str]
    overrides: Sequence[str] = ()
    syntax: float | None = None

    @property
    def folder(self) -> Path:
        """Of its runs, below that of the study."""
        return Path(self.question) / self.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All settings, with the seeds and what else a scale decides."""

    settings: Sequence[Setting]
    seeds: int
    decoders: Sequence[str]
    overrides: Sequence[str] = field(default=())  # of every training


def methods() -> list[str]:
    """All methods that ``conf/experiment/study/`` holds, the baseline first."""
    names = sorted(path.stem for path in (conf_dir() / "experiment" / "study").glob("*.yaml"))
    return [BASELINE, *(name for name in names if name != BASELINE)]


def make_plan(
    scale: str, *, bank: Path | None = None, birdsong: Path | None = None, shuffled: Path | None
) -> Plan:
    """Return what is trained, in order of worth.

    Args:
        scale: ``quick`` (some 15 minutes on two cores), ``evening`` (two hours; a small model) or
            ``full`` (a night).
        bank: folder of class folders of isolated clips, for soundscapes of real events.
        birdsong: root of a data set with splits, and
        shuffled: of the same with its notes in another order, the control.
    """
    if scale == "quick":
        return Plan(
            settings=[
                _generated("syntax", "0", MAIN, syntax=0.0),
                _generated("syntax", "0.98", FEW, syntax=0.98),
            ],
            seeds=3,
            decoders=["semi_markov"],
            overrides=["trainer.epochs=25"],
        )
    songs = [
        _birdsong(name, root, scale)
        for name, root in (("as recorded", birdsong), ("notes shuffled", shuffled))
        if root is not None
    ]
    noises = [("-5 to 10 dB", "[-5,10]"), ("5 to 20 dB", "[5,20]")]
    noise = [
        _generated("noise", name, MAIN, f"data.snr_db={levels}", syntax=0.98)
        for name, levels in noises
    ]
    real = [
        _generated("ESC-10", f"{strength:g}", MAIN, f"data.bank={bank}", syntax=strength)
        for strength in (0.0, 0.98)
        if bank is not None
    ]
    if scale == "evening":
        settings = [
            _generated("syntax", "0.98", (*DECODED, "free_running", "trace"), syntax=0.98),
            _generated("syntax", "0", DECODED, syntax=0.0),
            *songs,
            *noise[:1],
            _generated("amount", "50 recordings", MAIN, "data.n_train=50", syntax=0.98),
            _generated("syntax", "0.85", MAIN, syntax=0.85),
            _generated("amount", "200 recordings", MAIN, "data.n_train=200", syntax=0.98),
            _generated("polyphony", "0.98", MAIN, "data.polyphony=3", syntax=0.98),
            _generated("polyphony", "0", MAIN, "data.polyphony=3", syntax=0.0),
            *real,
            *noise[1:],
        ]
        return Plan(settings=settings, seeds=5, decoders=["semi_markov"], overrides=SMALL)
    settings = [
        _generated("syntax", f"{strength:g}", names, syntax=strength)
        for strength, names in (
            (0.0, (*REGIMES, *LOOKAHEAD)),
            (0.5, REGIMES),
            (0.85, REGIMES),
            (0.98, methods()),
        )
    ]
    settings += [
        _generated("polyphony", f"{strength:g}", MAIN, "data.polyphony=3", syntax=strength)
        for strength in (0.0, 0.5, 0.85, 0.98)
    ]
    settings += noise
    settings += [
        _generated("amount", f"{n} recordings", MAIN, f"data.n_train={n}", syntax=0.98)
        for n in (25, 50, 200)
    ]
    return Plan(settings=[*settings, *real, *songs], seeds=5, decoders=["semi_markov"])


def _generated(
    question: str, name: str, methods: Sequence[str], *overrides: str, syntax: float
) -> Setting:
    own = ("data=poor_soundscapes", f"data.syntax_strength={syntax:g}", *overrides)
    return Setting(question=question, name=name, methods=methods, overrides=own, syntax=syntax)


def _birdsong(name: str, root: Path, scale: str) -> Setting:
    """Few recordings, and noise on what is heard in training if that is long enough."""
    deltas: Any = OmegaConf.to_container(OmegaConf.load(_BIRDSONG))
    kept = {key: deltas[key] for key in ("feature", "model", "data")}
    own = [f"{key}={value}" for key, value in flattened(kept).items()]
    own += ["data=annotated", f"data.root={root}", f"data.train_share={BIRDSONG_TRAIN_SHARE}"]
    own += ["data.train_seed=${seed}"]
    if scale == "evening":  # too short to learn in noise
        own += ["trainer.epochs=20", "feature.hop_length=640", "data.sequence_length=256"]
        return Setting(question="birdsong", name=name, methods=DECODED, overrides=own)
    own += ["augment.noise=1", "augment.noise_snr_db=[-6,0]"]
    return Setting(question="birdsong", name=name, methods=REGIMES, overrides=own)
