"""Folders that came from someone else or were damaged can do nothing but be read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from sed_cli.cli.sweeps.status import describe
from sed_cli.comparison.runs import find_runs
from sed_cli.errors import CheckpointError, UserError
from sed_cli.system.records import Plan, Planned
from sed_cli.training.state import read_state
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a run that a test may damage."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def change(path: Path, **values: object) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))


# ----------------------------------------------------------------------------------- resume=


def payloads(mark: Path) -> list[str]:
    """Return overrides that would each create the file ``mark`` if Hydra applied them."""
    source = mark.with_name("source")
    source.write_text("payload")
    copy = f"{{_target_: shutil.copyfile, src: '{source}', dst: '{mark}'}}"
    return [
        f"+hydra.callbacks.x={copy}",
        f"++hydra.callbacks.x={copy}",
        f"hydra.job_logging.handlers.file.filename={mark}",
        f"hydra.run.dir={mark}",
        f"output_dir={mark}",
        f"hydra.searchpath=['file://{mark.parent}']",
    ]


def test_resuming_applies_nothing_of_a_recorded_command_line(
    run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    path = run / ".hydra" / "overrides.yaml"
    path.write_text(yaml.safe_dump([*yaml.safe_load(path.read_text()), *payloads(mark)]))

    assert sedtf("train", f"resume={run}", "trainer.epochs=2") == 0

    assert not mark.exists()


def test_resuming_takes_plain_values_alone(
    run: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEDTF_TEST_TOKEN", "secret")
    mark = tmp_path / "mark"
    copy = {"_target_": "shutil.copyfile", "src": str(run / "run.json"), "dst": str(mark)}
    recorded = run / ".hydra" / "config.yaml"
    before = recorded.read_text()
    for values in (
        {"hydra": {"callbacks": {"x": copy}}},
        {"data": {**yaml.safe_load(before)["data"], "columns": copy}},
        {"seed": "${oc.env:SEDTF_TEST_TOKEN}"},
        {"seed": "${oc.decode:${oc.env:SEDTF_TEST_TOKEN}}"},
        {"trainer": "${hydra:runtime}"},
        {"feature": copy},
    ):
        recorded.write_text(before)
        change(recorded, **values)
        shutil.rmtree(run / "checkpoints", ignore_errors=True)  # possible fallback
        spoilt = contents(run)
        assert sedtf("train", f"resume={run}") == 2
        said = capfd.readouterr().err
        assert said.count("sedtf: ") == 1
        assert "secret" not in said
        assert contents(run) == spoilt
    recorded.write_text(before + "evil: !!python/object/apply:os.system ['true']\n")
    assert sedtf("train", f"resume={run}") == 2
    assert not mark.exists()


def test_a_resumed_run_keeps_its_cache_where_it_is_set_now(
    run: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    recorded = run / ".hydra" / "config.yaml"
    data = yaml.safe_load(recorded.read_text())["data"]
    change(recorded, data={**data, "cache_dir": str(tmp_path / "theirs"), "cache_limit_gb": 0.0})
    assert sedtf("train", f"resume={run}", "trainer.epochs=2") == 0
    assert not (tmp_path / "theirs").exists()


def test_a_run_sets_no_limit_of_memory_for_the_command_that_continues_it(
    run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    change(run / ".hydra" / "config.yaml", memory_limit_gb=1e9)
    assert sedtf("train", f"resume={run}", "trainer.epochs=2", "memory_limit_gb=1e-9") == 2
    assert "or raise memory_limit_gb" in capfd.readouterr().err
    change(run / ".hydra" / "config.yaml", memory_limit_gb=1e-9)
    assert sedtf("train", f"resume={run}", "trainer.epochs=2") == 0


@pytest.mark.parametrize("name", ["train.log", ".hydra/overrides.yaml", "history.csv", "figures"])
def test_a_run_folder_with_links_to_elsewhere_is_not_written_to(
    name: str, run: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    if (run / name).is_dir():
        shutil.move(run / name, mine)
    else:
        (run / name).rename(mine)
    before = contents(tmp_path)
    (run / name).symlink_to(mine)
    assert sedtf("train", f"resume={run}", "trainer.epochs=3") == 2
    assert "is a link to" in capfd.readouterr().err
    assert {key: value for key, value in contents(tmp_path).items() if key in before} == before


def test_a_run_continues_with_what_it_was_set_to_and_is_compared_as_before(
    run: Path, sedtf: Sedtf, recordings: Path
) -> None:
    again = ["data=annotated", f"data.root={recordings}", "trainer=smoke"]
    assert sedtf("train", f"resume={run}", *again, "trainer.epochs=3") == 0
    recorded = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
    assert recorded["model"]["rnn_hidden"] == 8
    assert recorded["data"]["sequence_length"] == 50
    assert recorded["output_dir"] == str(run)
    assert "model.rnn_hidden=8" in yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text())
    choices = yaml.safe_load((run / ".hydra" / "hydra.yaml").read_text())["hydra"]["runtime"]
    assert choices["choices"]["trainer"] == "smoke"
    assert choices["choices"]["data"] == "annotated"


def damaged(how: str, state: Path) -> None:
    content = state.read_bytes()
    if how == "pickle":
        state.write_bytes(pickle.dumps({"progress": print}))
    elif how == "archive of a pickle":
        torch.save({"progress": print}, state)
    elif how == "cut":
        state.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        state.write_bytes(b"")
    elif how == "flipped":
        middle = len(content) // 2
        flipped = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
        state.write_bytes(content[:middle] + flipped + content[middle + 64 :])
    else:
        values = torch.load(state, weights_only=True)
        if how == "without a part":
            del values["coins"]
        elif how == "of another type":
            values["progress"]["epoch"] = "many"
        elif how == "of another model":
            for of_one in values["optimizer"]["state"].values():
                of_one["exp_avg"] = torch.zeros(3)
        torch.save(values, state)


def test_a_damaged_training_state_is_refused_in_a_line_and_changes_nothing(
    run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints" / "last"
    whole = (last / "training_state.pt").read_bytes()
    for how in ("pickle", "archive of a pickle", "cut", "empty", "flipped", "without a part",
                "of another type"):  # fmt: skip
        (last / "training_state.pt").write_bytes(whole)
        damaged(how, last / "training_state.pt")
        with pytest.raises(CheckpointError, match=r"training_state\.pt") as caught:
            read_state(last)
        assert "weights_only" not in str(caught.value)
    for how in ("pickle", "of another model"):  # found before and after the data are loaded
        (last / "training_state.pt").write_bytes(whole)
        damaged(how, last / "training_state.pt")
        before = contents(run)
        assert sedtf("train", f"resume={run}", "trainer.epochs=3") == 2
        said = capfd.readouterr().err
        complaints = [line for line in said.splitlines() if line.startswith("sedtf: ")]
        assert len(complaints) == 1
        assert "training_state.pt" in complaints[0]
        assert "weights_only" not in said
        assert contents(run) == before


def test_a_refused_resume_changes_nothing(
    run: Path, sedtf: Sedtf, tmp_path: Path, recordings: Path
) -> None:
    others = Path(shutil.copytree(recordings, tmp_path / "others"))
    table = others / "train.tsv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    before = contents(run)
    for slip in ("model.rnn_hidden=16", "trainer.epochs=1", "seed=9", "sampler=linear",
                 f"data.root={others}", "experiment=tutorial",
                 "task=sequence", "trainer.devices=64", "output_dir=elsewhere seed=9"):  # fmt: skip
        assert sedtf("train", f"resume={run}", *slip.split()) == 2, slip
        assert contents(run) == before, slip
    assert not (tmp_path / "elsewhere").exists()
    assert sedtf("train", f"resume={run}", "trainer.epochs=3") == 0


# ------------------------------------------------------------------------------ other verbs


@pytest.mark.parametrize(
    "command",
    ["export checkpoint=RUN", "eval checkpoint=RUN", "report RUN", "compare RUN", "simulate",
     "data data.n_train=1", "synth", "predict checkpoint=RUN input=RECORDING"],
)  # fmt: skip
def test_no_verb_writes_into_a_run_a_sweep_or_a_checkpoint(
    command: str, run: Path, sedtf: Sedtf, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = {"RUN": str(run), "RECORDING": str(recordings / "audio" / "test_0.wav")}
    for name, word in words.items():
        command = command.replace(name, word)
    sweep = run / "sweep"
    sweep.mkdir()
    (sweep / "sweep.json").write_text("{}")
    places = (run, sweep, run / "checkpoints" / "best")
    for folder in places if command == "simulate" else places[:1]:
        before = contents(folder)
        assert sedtf(*command.split(), f"output_dir={folder}") == 2
        assert ": name another folder" in capfd.readouterr().err
        assert contents(folder) == before


def test_what_can_be_made_again_may_be_replaced(run: Path, sedtf: Sedtf) -> None:
    for _ in range(2):
        assert sedtf("compare", str(run), f"output_dir={run / 'comparison'}") == 0


def test_an_evaluation_that_came_to_no_end_is_made_anew_in_its_folder(
    run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", f"checkpoint={run}", "output_dir=scored", "evaluation.bootstrap=0"]
    whole = (run / "checkpoints" / "best" / "classes.json").read_text()
    (run / "checkpoints" / "best" / "classes.json").write_text("[")
    assert sedtf(*command) == 2
    (run / "checkpoints" / "best" / "classes.json").write_text(whole)
    assert sedtf(*command) == 0
    assert sedtf(*command) == 2
    assert "already holds a run" in capfd.readouterr().err


def test_a_training_refused_for_its_data_is_begun_anew_in_its_folder(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=(3, 16000))
    rows = ["filename\tonset\toffset\tevent_label"]
    for name, samples in zip("abc", noise, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        rows.append(f"{name}.wav\t0.2\t0.8\tcat")
    (tmp_path / "all.tsv").write_text("\n".join(rows))
    command = ["train", *TINY, "data=annotated", f"data.root={tmp_path}", "output_dir=again"]
    assert sedtf(*command, "data.classes=[dog]") == 2
    assert (Path("again") / "run.json").is_file()
    assert sedtf(*command) == 0
    assert sedtf(*command) == 2
    assert "already holds a run" in capfd.readouterr().err


# --------------------------------------------------------------------------- one damaged file


DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "list": lambda path: path.write_text("[]"),
    "number": lambda path: path.write_text("17"),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "deep": lambda path: path.write_text("[" * 100_000),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "list of nothing": lambda path: path.write_text('[null, {"": []}]'),
    "of texts": lambda path: path.write_text('{"status": [], "process": 3, "trainer": "x"}'),
}
FILES = (
    *("run.json", "metrics.json", "history.csv"),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"),
    *("checkpoints/best/config.yaml", "checkpoints/best/classes.json"),
)


_QUICK = ("empty", "binary", "pipe", "of texts")


@pytest.mark.parametrize(
    "how",
    [how if how in _QUICK else pytest.param(how, marks=pytest.mark.slow) for how in DAMAGED],
)
def test_a_damaged_run_is_listed_and_the_others_are_shown(
    how: str, trained_run: Path, tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = shutil.copytree(trained_run, tmp_path / "runs" / "whole")
    for name in FILES:
        spoilt = tmp_path / "runs" / name.replace("/", "_")
        shutil.copytree(whole, spoilt)
        DAMAGED[how](spoilt / name)
    (tmp_path / "runs" / "sweep.json").write_text("{}")
    DAMAGED[how](tmp_path / "runs" / "sweep.json")

    lines = describe(tmp_path / "runs")
    assert any("whole" in line and "completed" in line for line in lines)
    if how != "cut":
        assert any("history.csv cannot be read" in line for line in lines)
        assert any(".hydra/config.yaml cannot be read" in line for line in lines)
    found = {Path(each.folder).name: each.trouble for each in find_runs([tmp_path / "runs"])}
    assert found["whole"] is None
    assert found["run.json"]
    assert found["metrics.json"]
    if how not in ("list", "of texts"):  # the others take the same paths
        return
    assert sedtf("compare", "runs", "output_dir=comparison") == 0
    capfd.readouterr()
    for name in FILES:
        code = sedtf("report", f"runs/{name.replace('/', '_')}", "files=0", "output_dir=page")
        assert code in (0, 2), name
        assert "Traceback" not in capfd.readouterr().err


def test_a_report_of_odd_figures_shows_what_it_can_or_names_the_folder(
    run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    huge = {**metrics, "n_files": 10**400, "frame": {**metrics["frame"], "f1": 1e999}}
    (run / "metrics.json").write_text(json.dumps(huge))
    assert sedtf("report", str(run), "files=0", "output_dir=page") == 0
    assert "Infinity" not in Path("page/report.html").read_text()
    for values in (dict.fromkeys(metrics), {**metrics, "collar_s": "wide"}):
        (run / "metrics.json").write_text(json.dumps(values))
        capfd.readouterr()
        assert sedtf("report", str(run), "files=0", "output_dir=none") == 2
        assert f"{run}: run.json, metrics.json or" in capfd.readouterr().err


def test_a_status_that_is_no_word_is_unknown(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": [1]}))
    assert describe(run)[-1] == "1 runs: 1 unknown"


@pytest.mark.parametrize(
    "values",
    [
        {"jobs": [{"folder": "../../elsewhere", "overrides": [], "config_hash": ""}]},
        {"jobs": [{"folder": "/elsewhere", "overrides": [], "config_hash": ""}]},
        {"jobs": [{"folder": 3, "overrides": [], "config_hash": ""}]},
        {"jobs": [{"folder": "a", "overrides": "x", "config_hash": ""}]},
        {"jobs": {}, "total": "many"},
        {"jobs": [], "parallel": 10**300},
        {"jobs": [], "process": []},
        {"jobs": [], "unheard_of": 1},
    ],
)
def test_a_plan_of_a_sweep_is_held_against_its_types(
    values: dict[str, object], tmp_path: Path
) -> None:
    Plan("train", [], [Planned("a", [], "")]).write(tmp_path)
    assert Plan.read(tmp_path) is not None
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(UserError, match=r"sweep\.json"):
        Plan.read(tmp_path)


@pytest.mark.slow
def test_a_sweep_continues_in_its_own_folders_alone(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [*TINY, *TINY_SOUNDSCAPES, "seed=0,1", "trainer.epochs=1"]
    assert sedtf("train", *command, "output_dir=sweep", multirun=True) == 0
    path = tmp_path / "sweep" / "sweep.json"
    plan = json.loads(path.read_text())
    plan["jobs"][0]["folder"] = "../elsewhere"
    path.write_text(json.dumps(plan))
    assert sedtf("train", *command, "resume_sweep=sweep", multirun=True) == 0
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "sweep" / "seed=7").symlink_to(tmp_path / "mine")
    assert sedtf("train", *command, "resume_sweep=sweep", multirun=True) == 2
    assert "is a link to" in capfd.readouterr().err


# ---------------------------------------------------------------- settings not thought of


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train feature.hop_length=0", "feature.hop_length=0: expected at least 1"),
        ("train data.duration_s=nan", "data.duration_s=nan"),
        ("train data.duration_s=inf", "data.duration_s=inf"),
        ("train data.bank=~nosuchuser/x", "there is no such user"),
        ("compare ~nosuchuser/x", "there is no such user"),
        ("eval checkpoint=~nosuchuser/x", "there is no such user"),
        ("train evaluation.bootstrap=1000000000000", "evaluation.bootstrap"),
        ("train data.n_train=1000000000000", "data.n_train"),
        ("train -m seed=0,1 hydra/launcher=local hydra.launcher.workers=-2", "launcher.workers=-2"),
        ("train -m seed=0,1 hydra/launcher=local hydra.launcher.threads=0", "launcher.threads=0"),
        ("train -m seed=0,1 hydra.sweeper.max_batch_size=-1", "max_batch_size=-1"),
        (f"train feature.n_fft={2**40}", "feature.n_fft"),
        (f"train model.rnn_hidden={10**400}", "model.rnn_hidden"),
    ],
)
def test_settings_that_cannot_be_computed_with_get_a_line(
    command: str, expected: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    verb, *words = command.split()
    multirun = "-m" in words
    assert sedtf(verb, *(word for word in words if word != "-m"), multirun=multirun) == 2
    complaints = [x for x in capfd.readouterr().err.splitlines() if x.startswith("sedtf: ")]
    assert complaints
    assert any(expected in line for line in complaints)
