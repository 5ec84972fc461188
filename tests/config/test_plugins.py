"""User-defined components: named, checked, swept over, recorded, and never run unasked."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sed_cli.cli import hydra
from sed_cli.cli.run import complete
from sed_cli.config import plugins
from sed_cli.config.identity import config_hash
from sed_cli.config.plain import build_training
from sed_cli.config.registry import component_named, forget
from sed_cli.errors import UserError
from sed_cli.training.checkpoint import read_config
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

SCHEDULE = '''
from sed_cli.config import component, setting
from sed_cli.sampling import Schedule

@component("schedule", "{name}")
class Steps(Schedule):
    """Half of the time."""
    width: float = setting({width}, "iterations of a step", above=0)
    def curve(self, iterations):
        return (iterations / self.width).floor() % 2
'''
# A plugin file may define a schedule, a model and an optimiser at once.
THREE = f'''
import torch
from sed_cli.config import DetectorModelConfig, OptimizerConfig, component, setting
from sed_cli.models import CRNN
{SCHEDULE.format(name="steps", width=5.0)}

class Wide(CRNN):
    is_causal = False
    def __init__(self, **sizes):
        super().__init__(**sizes)
        del self.cell  # processes that train together need each weight in the loss
    def decode(self, features, targets=None, teacher_mask=None, *, lengths=None, **unused):
        later = features.flip(1).cumsum(1).flip(1) if lengths is None else features
        return self.readout(later[..., : self.readout.in_features]), None

@component("model", "wide")
class WideConfig(DetectorModelConfig):
    """Sees what comes later."""
    n_channels: int = setting(8, "of each block", at_least=8)
    def build(self, *, n_mels, n_classes):
        return Wide(n_mels=n_mels, n_classes=n_classes, conv_channels=self.n_channels, rnn_hidden=4)

@component("optimizer", "descent")
class Descent(OptimizerConfig):
    """Gradient descent with momentum."""
    momentum: float = setting(0.5, "share of the last step", at_least=0, below=1)
    def build(self, parameters, lr):
        return torch.optim.SGD(list(parameters), lr, momentum=self.momentum)
'''
OURS = ("plugins=[three.py]", "sampler.schedule=steps", "model.kind=wide",
        "trainer.optimizer={name: descent, momentum: 0.25}", "trainer=smoke", "device=cpu",
        *TINY_SOUNDSCAPES)  # fmt: skip


@pytest.fixture(autouse=True)
def _none_in_use() -> Iterator[None]:
    yield
    plugins.use([])


def schedule(path: Path, *, name: str = "steps", width: float = 5.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCHEDULE.format(name=name, width=width))


def complaints(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("sedtf: ")]


# ------------------------------------------------------------------------------ what is wrong


HEAD = "from sed_cli.config import component, setting\nfrom sed_cli.sampling import Schedule\n"
BODY = '    """A schedule."""\n    def curve(self, iterations):\n        return iterations\n'
RULE = """from sed_cli.config import component
from sed_cli.models.feedback import FeedbackRule
@component("feedback", "hard")
class Own(FeedbackRule):
    '''A rule.'''
    def activities(self, logits, noise):
        return logits
"""
CLASS = '@component("schedule", "own")\nclass Own(Schedule):\n'
WRONG = {
    "syntax": ("x = 1\ndef f(:\n", "line 2: SyntaxError"),
    "raises": ("import math\n\nmath.sqrt(-1)\n", "line 3: ValueError: math domain error"),
    "missing module": ("import nowhere_at_all\n", "line 1: ModuleNotFoundError"),
    "exits": ("import sys\nsys.exit(0)\n", "line 2: SystemExit"),
    "nothing": ("x = 1\n", "defines no component"),
    "binary": ("\0\0", "null bytes"),  # a SyntaxError, before Python 3.11.4 a ValueError
    "taken name": (
        RULE,
        "line 3: Own: sed_cli.models.feedbacks.hard.Hard already defines the feedback hard",
    ),
    "odd name": (HEAD + CLASS.replace("own", "my own") + BODY, "the name 'my own'"),
    "unknown kind": (HEAD + CLASS.replace("schedule", "flavour") + BODY, "component kind"),
    "another base": (HEAD + CLASS.replace("(Schedule)", "") + BODY, "it is not a schedule"),
    "no curve": (HEAD + CLASS + '    """A schedule."""\n', "it does not define curve"),
    "no docstring": (HEAD + CLASS + BODY.split("\n", 1)[1], "no docstring"),
    "no help": (HEAD + CLASS + BODY + "    a: float = 3.0\n", "a has no help"),
    "no type": (HEAD + CLASS + BODY + '    a = setting(3.0, "a")\n', "no type annotation"),
    "default out of range": (
        HEAD + CLASS + BODY + '    a: float = setting(3.0, "a", below=1)\n',
        "default a=3.0: expected less than 1",
    ),
    "odd type": (HEAD + CLASS + BODY + '    a: complex = setting(3.0, "a")\n', "complex"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_file_that_is_at_fault_gets_one_line(
    how: str, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, expected = WRONG[how]
    (tmp_path / "mine.py").write_text(source)
    assert sedtf("train", "plugins=[mine.py]", "output_dir=run") == 2
    (said,) = complaints(capfd.readouterr().err)
    assert f"plugins={tmp_path / 'mine.py'}" in said
    assert expected in said
    assert not (tmp_path / "run").exists()


def test_a_file_may_be_named_in_any_way(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = "my dir/it's, [odd]: 50 %.py"
    for file in ("mine.py", odd):
        schedule(tmp_path / file)
    quoted = odd.replace("'", r"\'")
    for value, expected in {
        "mine.py": ["mine.py"],
        "[mine.py]": ["mine.py"],
        "['mine.py',mine.py]": ["mine.py"],
        str(tmp_path / "mine.py"): ["mine.py"],
        odd: [odd],
        f"['{quoted}']": [odd],
        "[]": [],
        "null": [],
        "": [],
    }.items():
        assert sedtf("train", f"plugins={value}", cfg="job", package="plugins") == 0, value
        shown = yaml.safe_load(capfd.readouterr().out)
        assert shown == [str(tmp_path / file) for file in expected]
    for value in ("nowhere.py", "my dir", "notes.txt", "~nosuchuser/a.py", "mine.py,other.py",
                  "[mine.py", "a" * 5000 + ".py"):  # fmt: skip
        (tmp_path / "notes.txt").write_text("")
        assert sedtf("train", f"plugins={value}", cfg="job") == 2, value
        (said,) = complaints(capfd.readouterr().err)
        assert said.startswith("sedtf: plugins=")


def test_a_component_is_chosen_with_its_class_or_not_at_all(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    schedule(tmp_path / "mine.py")
    for word in ("sampler=steps", "sampler.schedule=steps", "sampler.schedule='steps'"):
        assert sedtf("train", "plugins=mine.py", word, cfg="job", package="sampler") == 0
        assert yaml.safe_load(capfd.readouterr().out)["width"] == 5.0
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mixed.yaml").write_text(
        "# @package _global_\nsampler: {schedule: linear}\n"
    )
    assert sedtf("train", "experiment=mixed", "output_dir=run", config_dir="own") == 2
    assert "choose it with sampler=linear" in capfd.readouterr().err


def test_help_and_completion_know_what_is_named(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sed_cli.app import app

    schedule(tmp_path / "mine.py", name="stairs")
    monkeypatch.chdir(tmp_path)
    assert not app(["train", "plugins=[mine.py]", "--help"], standalone_mode=False)
    assert "stairs" in capfd.readouterr().out
    assert app(["train", "plugins=[none.py]", "--help"], standalone_mode=False) == 2
    assert complete("train", ["plugins=[mine.py]"], "sampler=st") == ["sampler=stairs"]
    assert complete("train", ["plugins=[mine.py]", "sampler=stairs"], "sampler.wi")
    assert complete("train", ["plugins=[none.py]"], "sampler=lin") == ["sampler=linear"]


def test_two_files_of_one_name_are_two_plugins(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    schedule(tmp_path / "a" / "mine.py", name="first")
    schedule(tmp_path / "b" / "mine.py", name="second")
    assert sedtf("simulate", "plugins=[a/mine.py,b/mine.py]", "sampler=second",
                 "n_batches=2", "animate=false", "output_dir=run") == 0  # fmt: skip
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["plugins"]
    assert [each["file"] for each in kept] == [str(tmp_path / d / "mine.py") for d in "ab"]
    for each in kept:
        assert (tmp_path / "run" / each["copy"]).read_text() == Path(each["file"]).read_text()
    schedule(tmp_path / "b" / "mine.py", name="first")
    assert sedtf("train", "plugins=[a/mine.py,b/mine.py]", cfg="job") == 2
    assert "already defines the schedule first" in capfd.readouterr().err


def test_a_file_is_run_once_a_command_and_anew_where_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    schedule(file)
    plugins.use([file])
    first = component_named("schedule", "steps")
    plugins.use([file])
    assert component_named("schedule", "steps") is first
    schedule(file, width=7.0)  # within the same second, of the same size
    plugins.use([file])
    assert component_named("schedule", "steps")().width == 7.0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
    plugins.use([])
    with pytest.raises(UserError, match="unknown"):
        component_named("schedule", "steps")


LOSS = '''
from sed_cli.config import LossConfig, component, setting

@component("loss", "focal")
class Focal(LossConfig):
    """Of a user who had it first."""
    gamma: float = setting(3.0, "its exponent", at_least=0)
    alpha: float = setting(0.5, "its weight", at_least=0)
    def per_output(self, logits, targets):
        return (logits - targets).square()
'''


def test_a_named_plugin_replaces_a_built_in_component(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built_in = component_named("loss", "focal")
    (tmp_path / "mine.py").write_text(LOSS)
    shown = ("trainer.loss=focal",)
    assert sedtf("train", "plugins=[mine.py]", *shown, cfg="job", package="trainer.loss") == 0
    out, err = capfd.readouterr()
    assert yaml.safe_load(out) == {
        "name": "focal", "defined_by": "plugin", "gamma": 3.0, "alpha": 0.5,
    }  # fmt: skip
    (said,) = complaints(err)
    assert said.startswith(f"sedtf: plugins={tmp_path / 'mine.py'}: its loss focal replaces")
    (tmp_path / "other.py").write_text(LOSS)
    assert sedtf("train", "plugins=[mine.py,other.py]", *shown, cfg="job") == 2
    assert "already defines the loss focal" in capfd.readouterr().err
    plugins.use([])
    assert component_named("loss", "focal") is built_in
    assert sedtf("train", *shown, cfg="job", package="trainer.loss") == 0
    out, err = capfd.readouterr()
    assert "defined_by" not in yaml.safe_load(out)
    assert not err


# -------------------------------------------------------------------------- installed packages


def test_an_installed_package_announces_its_components(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(tmp_path / "site" / "tiny_components.py", name="tiny")
    info = tmp_path / "site" / "tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sedtf.components]\ntiny = tiny_components\n")
    monkeypatch.syspath_prepend(tmp_path / "site")

    def installed_anew(source: str) -> None:
        forget("tiny_components")
        sys.modules.pop("tiny_components", None)
        (tmp_path / "site" / "tiny_components.py").write_text(source)
        shutil.rmtree(tmp_path / "site" / "__pycache__", ignore_errors=True)
        [each() for each in clear]

    clear = (plugins._load_installed.cache_clear, hydra._register.cache_clear)
    try:
        [each() for each in clear]
        assert sedtf("train", "sampler.schedule=tiny", cfg="job", package="sampler") == 0
        assert yaml.safe_load(capfd.readouterr().out)["width"] == 5.0
        for source, expected in (
            ("raise RuntimeError('broken')\n", "broken"),
            (LOSS, "there is already a loss focal"),  # which nobody has asked for
        ):
            installed_anew(source)
            assert sedtf("train", cfg="job") == 2
            (said,) = complaints(capfd.readouterr().err)
            assert "installed package tiny" in said
            assert expected in said
    finally:
        monkeypatch.undo()
        forget("tiny_components")
        sys.modules.pop("tiny_components", None)
        [each() for each in clear]


# --------------------------------------------------------------------------------- all verbs


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin for a model, a schedule and an optimiser, and a run of all three."""
    from sed_cli.cli.run import run
    from sed_cli.cli.verbs import Flags

    folder = tmp_path_factory.mktemp("three")
    (folder / "three.py").write_text(THREE)
    words = [word.replace("three.py", str(folder / "three.py")) for word in OURS]
    assert run("train", [*words, f"output_dir={folder / 'run'}"], Flags()) == 0
    plugins.use([])
    return folder


@pytest.fixture
def trained(three: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage, in its working folder."""
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def test_what_a_run_was_made_with_is_on_record(trained: Path) -> None:
    recorded = json.loads((trained / "run.json").read_text())["plugins"]
    assert (trained / recorded[0]["copy"]).read_text() == THREE
    values = yaml.safe_load((trained / "checkpoints" / "best" / "config.yaml").read_text())
    assert values["sampler"]["schedule"] == "steps"
    assert values["model"] == {"kind": "wide", "n_channels": 8}
    assert values["trainer"]["optimizer"] == {"name": "descent", "momentum": 0.25}


@pytest.mark.slow
def test_verbs_take_a_run_with_its_plugin_and_name_it_without(
    trained: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    wave = next((Path(os.environ["SEDTF_CACHE"]) / "soundscapes").rglob("test*.flac"))
    for command in (
        "eval checkpoint=run",
        f"predict checkpoint=run input={wave}",
        "train resume=run trainer.epochs=3",
    ):
        verb, *words = command.split()
        assert sedtf(verb, *words) == 2
        (said,) = complaints(capfd.readouterr().err)
        assert "trained with plugins=[" in said
        assert "three.py" in said
        place = ["output_dir=scored"] if verb == "eval" else []
        assert sedtf(verb, *words, "plugins=three.py", *place) == 0, command
        capfd.readouterr()
    assert sedtf("report", "run", "files=1", "output_dir=page", "plugins=[three.py]") == 0
    assert sedtf("status", "run") == 0
    capfd.readouterr()
    assert sedtf("compare", "run", "scored", "output_dir=table") == 0
    assert "cannot be read" not in "".join(capfd.readouterr())
    for verb, expected in (("listen", "not causal"), ("export", "model=crnn")):
        place = [] if verb == "listen" else ["output_dir=graphs"]
        assert sedtf(verb, "checkpoint=run", "plugins=[three.py]", *place) == 2
        (said,) = complaints(capfd.readouterr().err)
        assert expected in said


def test_what_a_plugin_made_is_not_taken_for_the_built_in_component_of_its_name(
    trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(LOSS)
    plugins.use([tmp_path / "three.py", tmp_path / "mine.py"])
    loss = {"name": "focal", "defined_by": "plugin", "gamma": 2.0, "alpha": 0.25}
    path = trained / "checkpoints" / "best" / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["trainer"]["loss"] = loss
    values["plugins"] = [str(file) for file in plugins.files_in_use()]
    path.write_text(yaml.safe_dump(values))
    read = read_config(trained)
    assert type(read.trainer.loss) is component_named("loss", "focal")
    del loss["defined_by"]  # from before a built-in one existed
    assert config_hash(build_training(values)) == config_hash(read)
    plugins.use([tmp_path / "three.py"])
    with pytest.raises(UserError, match=r"loss 'focal' comes from a plugin.* plugins=\[.*mine.py"):
        read_config(trained)


def test_a_resumed_run_warns_of_another_source_and_keeps_both(
    trained: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    resumed = ("plugins=[three.py]", "resume=run")
    assert sedtf("train", *resumed, "trainer.epochs=3") == 0
    assert "has changed since" not in (trained / "train.log").read_text()
    (tmp_path / "three.py").write_text(THREE + "# another\n")
    assert sedtf("train", *resumed, "trainer.epochs=4") == 0
    assert "three.py has changed since" in (trained / "train.log").read_text()
    assert len(list((trained / "plugins").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_sweep_runs_and_resumes_with_a_plugin(
    launcher: str, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "three.py").write_text(THREE)
    swept = ("plugins=[three.py]", *TINY, *TINY_SOUNDSCAPES, f"hydra/launcher={launcher}",
             "sampler.schedule=steps,linear", "trainer.optimizer=descent")  # fmt: skip
    assert sedtf("train", *swept, "output_dir=sweep", multirun=True) == 0
    assert sedtf("train", *swept, "seed=0,1", "resume_sweep=sweep", multirun=True) == 0
    rows = [line.split("\t") for line in capfd.readouterr().out.splitlines() if "\t" in line]
    assert len({row[2] for row in rows if row[0] == "done"}) == 4


@pytest.mark.slow
def test_processes_of_one_training_know_the_plugin(sedtf: Sedtf, tmp_path: Path) -> None:
    (tmp_path / "three.py").write_text(THREE)
    assert sedtf("train", *OURS, "trainer.devices=2", "output_dir=run") == 0


# -------------------------------------------------------------------------------- strangers


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[Path]:
    """Yield a file that leaves a mark when it is imported; check that it never was."""
    mark = tmp_path / "mark"
    file = tmp_path / "payload.py"
    file.write_text(f"open({str(mark)!r}, 'w')\n{SCHEDULE.format(name='steps', width=5.0)}")
    yield file
    assert not mark.exists()


def test_nothing_that_was_recorded_is_imported(
    trained: Path, payload: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    shutil.copy(payload, trained / "plugins" / "three.py")
    for path in (trained / ".hydra" / "config.yaml",
                 *trained.glob("checkpoints/*/config.yaml")):  # fmt: skip
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()),
                                        "plugins": [str(payload)]}))  # fmt: skip
    overrides = trained / ".hydra" / "overrides.yaml"
    overrides.write_text(
        yaml.safe_dump([*yaml.safe_load(overrides.read_text()), f"plugins=[{payload}]"])
    )
    record = json.loads((trained / "run.json").read_text())
    record["plugins"] = [{"file": str(payload), "sha256": 3}, 7, {}]
    (trained / "run.json").write_text(json.dumps(record))
    for named in ([], ["plugins=[three.py]"]):
        for verb, *words in (
            ("eval", "checkpoint=run", "output_dir=scored"),
            ("train", "resume=run", "trainer.epochs=3"),
            ("status", "run"),
        ):
            assert sedtf(verb, *words, *named) in (0, 2)
    assert sedtf("compare", "run", "output_dir=table") == 0


def test_a_file_of_configs_names_no_plugin(
    payload: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "theirs.yaml").write_text(
        f"# @package _global_\nplugins: ['{payload}']\n"
    )
    for more in ({}, {"multirun": True}):
        assert sedtf("train", "experiment=theirs", "seed=0", "output_dir=run",
                     config_dir="own", **more) == 2  # fmt: skip
        (said,) = complaints(capfd.readouterr().err)
        assert f"add plugins=[{payload}]" in said


@pytest.mark.slow
def test_a_sweep_that_was_recorded_names_no_plugin(
    payload: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    command = [*TINY, *TINY_SOUNDSCAPES, "seed=0", "trainer.epochs=1"]
    assert sedtf("train", *command, "output_dir=sweep", multirun=True) == 0
    path = tmp_path / "sweep" / "sweep.json"
    plan = json.loads(path.read_text())
    plan["command"] = [*plan["command"], f"plugins=[{payload}]"]
    plan["jobs"][0]["overrides"] += [f"plugins=[{payload}]"]
    path.write_text(json.dumps(plan))
    assert sedtf("train", *command, "seed=0,1", "resume_sweep=sweep", multirun=True) == 0
