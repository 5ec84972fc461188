"""Every option of every group composes, and every experiment runs."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from sed_cli.audio import LogMel
from sed_cli.cli.hydra import Composer
from sed_cli.cli.verbs import Flags
from sed_cli.config import groups
from sed_cli.config.annotations import SPLITS
from sed_cli.config.files import conf_dir
from sed_cli.config.plain import build_training
from sed_cli.config.reference import reference
from sed_cli.config.registry import component_named
from sed_cli.config.settings import MISSING, default_of
from sed_cli.models import CRNN, LanguageModel
from sed_cli.models.kinds.crnn import CRNNConfig
from tests.conftest import Sedtf

CONF = conf_dir()
GROUPS = ("feature", "model", "sampler", "data", "augment", "trainer", "evaluation")
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Options for task=sequence, by group; all others are for task=sed.
OF_SEQUENCES = {
    "model": {"language"},
    "data": {"tokens", "pairs", "labels"},
    "trainer": {"sequence"},
    "evaluation": {"sequence"},
}
SEQUENCE_EXPERIMENTS = {"birdsong_syntax", "teacher_forcing_demo"}
OPTIONS = [
    (group, option)
    for group in GROUPS
    for option in sorted(
        {path.stem for path in (CONF / group).glob("*.yaml")} | set(groups.options()[group])
    )
]

# Settings that make any experiment small; they must override its own sizes.
SMALL = (
    "trainer.max_updates=2",
    "trainer.batch_size=2",
    "model.conv_channels=2",
    "model.rnn_hidden=3",
    "data.sequence_length=40",
)
SMALL_SOUNDSCAPES = (
    "data.n_train=2",
    "data.n_validation=1",
    "data.n_test=1",
    "data.duration_s=2.0",
)


METHODS = sorted(path.stem for path in (CONF / "experiment" / "study").glob("*.yaml"))


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=[] if method in ("no_feedback", "onsets") else pytest.mark.slow)
        for method in METHODS
    ],
)
def test_every_method_of_the_study_composes_with_its_data(
    method: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = [f"experiment=study/{method}", "data=poor_soundscapes", "trainer=study", "seed=3"]
    assert sedtf("train", *chosen, cfg="job", resolve=True) == 0
    config = build_training(yaml.safe_load(capfd.readouterr().out))
    assert config.data.seed == 3
    assert config.model.has_feedback == (method != "no_feedback")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_is_typed(
    group: str, option: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    task = "sequence" if option in OF_SEQUENCES.get(group, ()) else "sed"
    generated = option in ("soundscapes", "poor_soundscapes", "small")
    is_read = group == "data" and task == "sed" and not generated
    extra = ["data.root=somewhere"] if is_read else []
    chosen = [f"task={task}", f"{group}={option}", *extra]
    assert sedtf("train", *chosen, cfg="job", resolve=True) == 0
    shown = yaml.safe_load(capfd.readouterr().out)
    assert build_training(shown).task == task


def test_the_smoke_experiment_goes_with_other_data(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    choices = ("experiment=smoke", "data=annotated", "data.root=somewhere")
    assert sedtf("train", *choices, cfg="job") == 0
    shown = yaml.safe_load(capfd.readouterr().out)
    assert (shown["data"]["kind"], shown["trainer"]["epochs"]) == ("annotated", 2)


@pytest.mark.parametrize(
    "experiment", [e for e in EXPERIMENTS if e not in {"tutorial_curves", *SEQUENCE_EXPERIMENTS}]
)
def test_every_training_experiment_runs(
    experiment: str, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    own = (
        [f"data.root={recordings}", "data.sequence_length=40"]
        if experiment.startswith(("birdsong", "ultrasound"))
        else SMALL_SOUNDSCAPES
    )
    assert sedtf("train", f"experiment={experiment}", *SMALL, *own, "output_dir=run") == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "completed"


def test_the_syntax_of_annotations_is_learnt(sedtf: Sedtf, recordings: Path) -> None:
    tables = [f"data.{split}={recordings / split}.tsv" for split in SPLITS]
    own = ("experiment=birdsong_syntax", "trainer.max_updates=2", "model.rnn_hidden=3")
    assert sedtf("train", *own, *tables, "output_dir=run") == 0
    assert json.loads(Path("run/metrics.json").read_text())["n_sequences"] == 2


def test_tutorial_curves_run(sedtf: Sedtf, tmp_path: Path) -> None:
    assert sedtf("simulate", "experiment=tutorial_curves", "n_batches=3", "output_dir=run") == 0
    assert len(json.loads((tmp_path / "run" / "simulation.json").read_text())["samplers"]) == 4


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_hold_deltas_only(experiment: str) -> None:
    """Every value that an experiment sets must differ from the value without it."""
    path = CONF / "experiment" / f"{experiment}.yaml"
    assert path.read_text().startswith("# @package _global_\n#")
    values = OmegaConf.load(path)
    assert isinstance(values, type(OmegaConf.create({})))
    overridden = [
        f"{group.removeprefix('override /')}={option}"
        for default in values.get("defaults", [])
        for group, option in default.items()
    ]
    verb = "simulate" if experiment == "tutorial_curves" else "train"
    without = Composer(verb, Flags()).compose(overridden)
    same = [
        f"{group}.{key}"
        for group, settings in values.items()
        if group not in ("defaults", "samplers", "hydra")
        for key, value in settings.items()
        if OmegaConf.select(without, f"{group}.{key}") == value
    ]
    assert same == []


CLASSES = [
    pytest.param(cls, id=f"{group}-{name}")
    for group, classes in [*groups.options().items(), *groups.bases().items()]
    for name, cls in classes.items()
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_setting_has_a_help_line(cls: type) -> None:
    """Nested groups have their own tables; the key of a component is its name."""
    owners = {"schedule", "kind", "name"}
    silent = [
        each.name
        for each in fields(cls)
        if not each.metadata.get("help")
        and each.name not in owners
        and default_of(each) not in (MISSING, None)
    ]
    assert silent == []


def test_no_option_repeats_a_default() -> None:
    """Every value in an option's file differs from the value without it."""
    composer = Composer("train", Flags())
    repeated = []
    for group in GROUPS:
        for path in sorted((CONF / group).glob("*.yaml")):
            values = yaml.safe_load(path.read_text())
            base = str(values.pop("defaults")[0])
            if "schema" in str(base):
                continue  # of a class that is not an option by itself
            task = "sequence" if path.stem in OF_SEQUENCES.get(group, ()) else "sed"
            chosen = [f"task={task}", f"{group}={base}"]
            without = composer.compose(chosen)
            repeated += [
                f"{group}={path.stem}: {key}"
                for key, value in values.items()
                if OmegaConf.select(without, f"{group}.{key}") == value
            ]
    assert repeated == []


def test_no_setting_repeats_its_default_as_what_was_before() -> None:
    """``before=`` must differ from the default."""
    repeated = [
        f"{path.name}, line {call.lineno}"
        for path in Path(inspect.getfile(groups)).parents[1].rglob("*.py")
        if "before=" in (source := path.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and call.args
        for given in call.keywords
        if given.arg == "before" and ast.dump(given.value) == ast.dump(call.args[0])
    ]
    assert repeated == []


def test_the_page_of_settings_is_up_to_date() -> None:
    """If this fails: python -m sed_cli.config.reference > docs/settings.md."""
    page = CONF.parent / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference()


def test_no_constructor_repeats_the_default_of_a_setting() -> None:
    """Settings pass their values to constructors: a default there would be a second one."""
    built = [
        (component_named("model", "crnn"), CRNN),
        (component_named("model", "language"), LanguageModel),
        (component_named("front_end", "logmel"), LogMel),
    ]
    repeated = []
    for config, cls in built:
        known = {each.name for each in fields(config)}
        (made,) = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__))).body
        assert isinstance(made, ast.FunctionDef)
        for argument, default in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True):
            if argument.arg in known and isinstance(default, ast.Constant | ast.Tuple):
                repeated.append(f"{cls.__name__}.{argument.arg}")
    assert repeated == []
    assert inspect.signature(CRNN).parameters["rnn_hidden"].default == CRNNConfig().rnn_hidden
