"""Every option of every group composes, and every experiment runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from sed_cli import job, schema
from sed_cli.config.plain import build_any_train_config
from tests.conftest import Sedtf

CONF = job.conf_dir()
GROUPS = ("feature", "model", "sampler", "data", "augment", "trainer", "evaluation")
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Options that go with task=sequence, by group; all others go with task=sed.
OF_SEQUENCES = {
    "model": {"language"},
    "data": {"tokens", "pairs", "labels"},
    "trainer": {"sequence"},
    "evaluation": {"sequence"},
}
SEQUENCE_EXPERIMENTS = {"birdsong_syntax", "teacher_forcing_demo"}
OPTIONS = [(g, path.stem) for g in GROUPS for path in sorted((CONF / g).glob("*.yaml"))]

# What makes any experiment small; it must win over the experiment's own sizes.
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


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_is_typed(
    group: str, option: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    task = "sequence" if option in OF_SEQUENCES.get(group, ()) else "sed"
    is_read = group == "data" and task == "sed" and option != "soundscapes"
    extra = ["data.root=somewhere"] if is_read else []
    assert sedtf("train", f"task={task}", f"{group}={option}", *extra, cfg="job") == 0
    shown = yaml.safe_load(capfd.readouterr().out)
    assert build_any_train_config(shown).task == task


@pytest.mark.parametrize(
    "experiment", [e for e in EXPERIMENTS if e not in {"tutorial_curves", *SEQUENCE_EXPERIMENTS}]
)
def test_every_training_experiment_runs(
    experiment: str, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    own = (
        [f"data.root={recordings}", "data.sequence_length=40"]
        if experiment == "birdsong"
        else SMALL_SOUNDSCAPES
    )
    assert sedtf("train", f"experiment={experiment}", *SMALL, *own, "output_dir=run") == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "completed"


def test_the_syntax_of_annotations_is_learnt(sedtf: Sedtf, recordings: Path) -> None:
    tables = [f"data.{split}={recordings / split}.tsv" for split in schema.SPLITS]
    own = ("experiment=birdsong_syntax", "trainer.max_updates=2", "model.rnn_hidden=3")
    assert sedtf("train", *own, *tables, "output_dir=run") == 0
    assert json.loads(Path("run/metrics.json").read_text())["n_sequences"] == 2


def test_tutorial_curves_run(sedtf: Sedtf, tmp_path: Path) -> None:
    assert sedtf("simulate", "experiment=tutorial_curves", "n_batches=3", "output_dir=run") == 0
    assert len(json.loads((tmp_path / "run" / "simulation.json").read_text())["samplers"]) == 4


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_hold_deltas_only(experiment: str) -> None:
    """What an experiment sets must differ from what would hold without it."""
    path = CONF / "experiment" / f"{experiment}.yaml"
    assert path.read_text().startswith("# @package _global_\n#")
    values = OmegaConf.load(path)
    assert isinstance(values, type(OmegaConf.create({})))
    overridden = [
        f"{group.split('/')[-1]}={option}"
        for default in values.get("defaults", [])
        for group, option in default.items()
    ]
    verb = "simulate" if experiment == "tutorial_curves" else "train"
    hydra = job.start_hydra(verb, job.Flags())
    without = job._compose(hydra, verb, overridden, job.RunMode.RUN)
    same = [
        f"{group}.{key}"
        for group, settings in values.items()
        if group not in ("defaults", "samplers", "hydra")
        for key, value in settings.items()
        if OmegaConf.select(without, f"{group}.{key}") == value
    ]
    assert same == []


def test_group_schemas_and_yaml_name_the_same_keys() -> None:
    """A key with a default in code alone would be invisible to a reader of conf/."""
    for group, file, node in [
        ("feature", "logmel", schema.FeatureConfig),
        ("model", "crnn", schema.ModelConfig),
        ("augment", "none", schema.AugmentConfig),
        ("trainer", "default", schema.TrainerConfig),
        ("evaluation", "default", schema.EvaluationConfig),
        ("data", "soundscapes", schema.SoundscapesConfig),
        ("data", "annotated", schema.AnnotatedConfig),
        *(("data", name, schema.PublishedConfig) for name in schema.PUBLISHED),
        *(("data", name, node) for name, node in schema.TOKEN_SETS.items()),
        ("model", "language", schema.LanguageConfig),
        ("evaluation", "sequence", schema.SequenceEvaluationConfig),
        ("sampler", "scheduled", schema.ScheduledConfig),
        ("sampler", "linear", schema.LinearConfig),
    ]:
        keys = set(yaml.safe_load((CONF / group / f"{file}.yaml").read_text())) - {"defaults"}
        assert keys == set(node.__dataclass_fields__) - {"kind", "schedule"}, (group, file)


@pytest.mark.parametrize(
    ("root", "groups"), [("train", (*GROUPS, "task", "experiment")), ("data", ("data",))]
)
def test_root_comments_name_every_option(root: str, groups: tuple[str, ...]) -> None:
    """The table of contents in a root file is what a user reads first: it must be complete."""
    lines = (CONF / f"{root}.yaml").read_text().splitlines()
    for group in groups:
        line = next(line for line in lines if line.strip().startswith(f"- {group}:"))
        named = {word.strip(",:;") for word in line.split("#")[1].split()}
        options = {p.stem for p in (CONF / group).glob("*.yaml")} - {"tutorial_curves"}
        options -= OF_SEQUENCES["data"] if root == "data" and group == "data" else set()
        assert options <= named, (group, options - named)
