"""The command line as a user meets it: in a separate process, by exit codes and output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.object_type import ObjectType

from sed_cli import __version__, app
from sed_cli.cli.hydra import Composer
from sed_cli.cli.run import complete
from sed_cli.cli.verbs import VERBS, Flags
from sed_cli.config.help import group_help
from sed_cli.help_texts import VERBS as HELP
from sed_cli.training.history import Epoch, History
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf, what_it_imports


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sed_cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    heavy = {"torch", "hydra", "omegaconf", "numpy", "matplotlib"}
    assert what_it_imports(arguments, heavy) == set()


def test_pipes_are_utf_8_whatever_the_system_has(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sed_cli", "train", "--cfg", "job", "data.bank='λ鸟'"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        timeout=120,
    )
    assert done.returncode == 0
    assert "bank: λ鸟" in done.stdout.decode("utf-8")


def test_version_is_printed() -> None:
    assert command("--version").stdout == f"sedtf {__version__}\n"


@pytest.mark.parametrize("verb", ["train", "eval", "export", "simulate", "data", "cache"])
def test_every_verb_has_worked_examples(verb: str) -> None:
    assert HELP[verb].count(f"sedtf {verb}") >= 3


@pytest.mark.parametrize("verb", ["train", "eval", "simulate", "data", "synth"])
def test_help_lists_every_option_of_the_groups_of_a_verb(verb: str) -> None:
    loader = Composer(verb, Flags()).loader
    for line in group_help(verb).splitlines():
        if line.startswith("- `"):
            group, options = line[3:].split("`: ")
            known = loader.get_group_options(group)
            folders = {f"{name}/..." for name in loader.get_group_options(group, ObjectType.GROUP)}
            assert set(options.split(", ")) <= {*known, *folders}
    assert verb != "train" or "crnn_paper" in group_help(verb)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "train"),
        (["train", "--mutirun"], "--multirun"),
        (["train", "sampler.gama=0.1"], "did you mean sampler.gamma?"),
        (["train", "gamma=0.1"], "did you mean sampler.gamma?"),
        (["train", "model=crn"], "did you mean crnn?"),
        (["train", "modle=crnn"], "did you mean model?"),
        (["train", "sampler=linear", "sampler.gamma=0.1"], "there is no key sampler.gamma"),
        (["train", "trainer.lr=fast"], "trainer.lr: Value 'fast'"),
        (["train", "+experiment=tutorial"], "write experiment=tutorial"),
        (["train", "+experiment=typo"], "+experiment=typo"),
        (["train", "hydra/launcher=basic"], "add -m"),
        (["train", "-m", "hydra/launcher=jobib"], "hydra/launcher=jobib: no such option"),
        (["train", "model"], "not a readable KEY=VALUE"),
        (["train", "data=annotated"], "data.root is not set"),
        (["train", "data=annotated", "data.root=nowhere"], "nowhere: no such folder"),
        (["train", "sampler=null"], "sampler=null: no such option"),
        (["train", "data.root=x"], "there is no key data.root; it belongs to data=annotated"),
        (
            ["train", "task=sequence", "model=crnn"],
            "model=crnn needs task=sed; task=sequence has model=language",
        ),
        (["train", "task=sequence", "feature=mel"], "needs task=sed; task=sequence has no feature"),
        (["train", "model.embedding_size=3"], "it belongs to task=sequence"),
        (["data", "task=sequence"], "sedtf data has no group task; there are data"),
        (
            ["data", "data=tokens"],
            "data=tokens is not supported by sedtf data; there are data=annotated",
        ),
        (["train", "~sampler"], "sampler always exists"),
        (["train", "seed=99999999999999999999"], "expected a number from 0 to 4294967295"),
        (["train", "--package", "sampler"], "add --cfg job"),
        (["train", "output_dir=/proc/nope"], "/proc/nope"),
        (["train", "device=gpu"], "device=gpu: expected one of auto, cpu, cuda"),
        (["train", "resume=nowhere"], "resume=nowhere"),
        (["train", "--config-dir", "nowhere"], "nowhere: no such folder of configs"),
        (["eval"], "checkpoint is not set"),
        (["eval", "checkpoint=nowhere"], "checkpoint=nowhere: no such folder"),
        (["cache", "clear=everything"], "expected one of features, soundscapes, all"),
        (["cache", "older_than_days=3"], "nothing is cleared: add clear=all"),
        (["cache", "cache_dir=/proc/nope"], "/proc/nope: cannot be created for the cache"),
        (["cache", "-m", "clear=all"], "does not support sweeps"),
        (["train", "augment=mixp"], "did you mean mixup?"),
        (["train", "augment.mixup=2"], "augment.mixup=2.0: expected a number from 0 to 1"),
        (["train", "augment.gain_db=[6,-6]"], "expected [lowest, highest]"),
        (["train", "augment.frequency_masks=1", "augment.frequency_mask_bands=40"], "n_mels=40"),
        (["train", "data.cache_limit_gb=-1"], "data.cache_limit_gb=-1.0: expected at least 0"),
        (["simulate", "sampler.p_min=0.99"], "expected 0 <= p_min <= p_max <= 1"),
        (["simulate", "samplers.a.gamma=1"], "write +samplers.a.gamma=1"),
        (["simulate", "+samplers.a.gama=1"], "samplers.a: Key 'gama' not in 'ScheduledSampler'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    arguments: list[str],
    expected: str,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verb, *rest = arguments
    if verb in VERBS and not any(word.startswith("-") for word in rest):
        code: object = sedtf(verb, *rest)
    else:  # also through Typer in this process, for speed
        monkeypatch.setattr(sys, "argv", ["sedtf", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        code = ended.value.code
    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    complaints = [line for line in err.splitlines() if line.startswith("sedtf: ")]
    assert len(complaints) == 1
    assert expected in complaints[0]
    assert "Traceback" not in err


def test_all_faults_come_in_one_message(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    code = sedtf(
        "train",
        "feature.n_mels=64",
        "feature.window_length=4096",
        "model=crnn_baseline",
        "sampler.gamma=0.2",
        "trainer.batch_size=1000",
        "trainer.precision=fp8",
    )
    error = capfd.readouterr().err
    assert code == 2
    assert len(error.splitlines()) == 5
    for word in ("n_mels=64", "n_fft", "sampler.gamma", "batch_size=1000", "precision=fp8"):
        assert word in error


def test_cfg_shows_the_configuration_without_running(tmp_path: Path) -> None:
    done = command("train", "--cfg", "job", "--package", "sampler", "sampler=linear", cwd=tmp_path)
    assert done.returncode == 0
    assert "schedule: linear" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_reader_that_stops_reading_fails_nothing(recordings: Path, tmp_path: Path) -> None:
    described = f"data data=annotated data.root={recordings} data.leak_check=none output_dir=e"
    for arguments in (described, "train --cfg job"):
        script = f"{sys.executable} -m sed_cli {arguments} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "e" / "run.json").read_text())["status"] == "completed"


def test_bare_command_shows_its_help() -> None:
    done = command()
    assert done.returncode == 0
    assert "Commands:" in done.stdout


def test_config_dir_adds_and_replaces_options(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "wide.yaml").write_text("defaults: [crnn]\nrnn_hidden: 321\n")
    flags = {"config_dir": str(tmp_path / "mine"), "cfg": "job", "package": "model"}
    assert sedtf("train", "model=wide", **flags) == 0
    assert "rnn_hidden: 321" in capfd.readouterr().out


def test_a_fault_in_a_users_own_config_names_the_key(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [crnn]\nrnn_hiden: 3\n")
    assert sedtf("train", "model=mine", config_dir=str(tmp_path)) == 2
    error = capfd.readouterr().err
    assert "rnn_hiden" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("incomplete", "expected"),
    [
        ("sampl", "sampler="),
        ("sampl", "sampler/"),
        ("sampler/", "sampler/feedback="),
        ("sampler=sch", "sampler=scheduled"),
        ("sampler.gam", "sampler.gamma="),
        ("trainer.max", "trainer.max_updates="),
    ],
)
def test_completion_offers_groups_options_and_keys(incomplete: str, expected: str) -> None:
    assert any(word.startswith(expected) for word in complete("train", [], incomplete))


def test_sweep_runs_every_combination_and_survives_a_failing_job(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = sedtf(
        "train",
        *TINY,
        *TINY_SOUNDSCAPES,
        "trainer.max_updates=1",
        "trainer.lr=1e30,1e-3",
        "trainer.grad_norm=null",
        "trainer.max_updates=4",
        "output_dir=sweep",
        multirun=True,
    )
    lines = capfd.readouterr().out.splitlines()[-2:]
    assert code == 1
    assert [line.split("\t")[0] for line in lines] == ["failed", "done"]
    folders = [tmp_path / "sweep" / f"trainer.lr={lr}" for lr in ("1e+30", "0.001")]
    status = [json.loads((folder / "run.json").read_text())["status"] for folder in folders]
    assert status == ["failed", "completed"]


def test_a_fault_in_one_job_of_a_sweep_stops_it_before_any_work(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "feature.n_mels=40,41", "output_dir=sweep", multirun=True) == 2
    assert "n_mels=41" in capfd.readouterr().err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_a_run_that_can_be_resumed(
    sent: int, sedtf: Sedtf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run_dir = tmp_path / "run"
    append = History.append

    def interrupting(self: History, epoch: Epoch) -> None:
        append(self, epoch)
        if epoch.epoch == 2:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(History, "append", interrupting)
    settings = (*TINY, *TINY_SOUNDSCAPES, "trainer.epochs=9", "trainer.patience=9")
    assert sedtf("train", *settings, f"output_dir={run_dir}") == 130
    error = capfd.readouterr().err
    assert error.splitlines()[-1] == "sedtf: interrupted"
    assert f"resume={run_dir}" in error
    assert "Traceback" not in error
    assert json.loads((run_dir / "run.json").read_text())["status"] == "interrupted"
    monkeypatch.setattr(History, "append", append)
    assert sedtf("train", f"resume={run_dir}", "trainer.epochs=4") == 0
    history = (run_dir / "history.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in history] == ["1", "2", "3", "4"]


def test_a_mistyped_option_is_not_answered_with_guesses_about_its_keys(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "data=anotated", "data.root=x") == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].endswith("did you mean annotated?")
