"""Every way in which a file might name code is tried: none of it is ever run."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.readers import READERS, try_to_read

_WATCHED = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "ctypes.dlopen"),
    *("pickle.find_class", "shutil.copyfile", "os.rename", "os.symlink", "socket.connect"),
)
_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event in _WATCHED:
        _seen.append(f"{event} {arguments}"[:300])


@pytest.fixture(scope="module", autouse=True)
def _interpreter_is_watched() -> None:
    sys.addaudithook(_watch)  # cannot be removed again, so it does nothing outside these tests


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], list[str]]]]:
    """A file that no payload may create, and the interpreter's audit events since the start."""
    global _seen
    mark = tmp_path / "mark"

    def since() -> list[str]:
        global _seen
        found, _seen = list(_seen or ()), []
        return found

    since()
    yield mark, since
    _seen = None
    assert not mark.exists()


class _Touches:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def payloads(mark: Path) -> dict[str, bytes]:
    """Files that would each create ``mark``, or reveal a secret, if they were trusted."""
    call = f"pathlib.Path.touch ['{mark}']"
    target = {"_target_": "pathlib.Path.touch", "_args_": [str(mark)]}
    touches = _Touches(mark)
    archive, array = io.BytesIO(), io.BytesIO()
    torch.save({"progress": touches}, archive)
    np.save(array, np.array([touches], dtype=object), allow_pickle=True)
    groups = dict.fromkeys(("feature", "model", "data", "trainer", "settings", "hydra"), target)
    return {
        "pickle": pickle.dumps(touches),
        "archive of torch": archive.getvalue(),
        "array of objects": array.getvalue(),
        "yaml object": f"!!python/object/apply:{call}\n".encode(),
        "yaml object within": f"data: !!python/object/apply:{call}\n".encode(),
        "yaml module": b"a: !!python/module:antigravity\n",
        "target": json.dumps(target).encode(),
        "targets": json.dumps({**groups, "callbacks": {"x": target}}).encode(),
        "list of targets": json.dumps([target]).encode(),
        "resolver": b"seed: ${oc.env:SEDTF_TEST_TOKEN}\ndata: ${oc.create:${oc.env:HOME}}\n",
        "overrides": f"- +hydra.callbacks.x={{_target_: pathlib.Path.touch}}\n"
        f"- plugins=[{mark}.py]\n".encode(),
        "plugins": f"plugins: ['{mark}.py']\n".encode(),
        "formula": f"filename,onset,offset,event_label\na.wav,0,1,=touch {mark}\n".encode(),
        "shell": f"a.wav;$(touch {mark})\t0\t1\t`touch {mark}`\n".encode(),
    }


@pytest.mark.parametrize("name", READERS)
def test_no_reader_runs_what_a_file_names(
    name: str, watched: tuple[Path, Callable[[], list[str]]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEDTF_TEST_TOKEN", "secret")
    mark, since = watched
    mark.with_suffix(".py").write_text(f"open({str(mark)!r}, 'w')\n")
    place = tmp_path / "file"
    for kind, content in payloads(mark).items():
        place.write_bytes(content)
        since()
        refusal = try_to_read(name, place)
        # The table of readers itself copies the file to the place where it is searched.
        done = [each for each in since() if not each.startswith("shutil.copyfile")]
        assert done == [], f"{kind}: {done}"
        assert "secret" not in refusal


def test_the_watch_sees_what_it_watches_for(
    watched: tuple[Path, Callable[[], list[str]]], tmp_path: Path
) -> None:
    """Otherwise the test above could not fail."""
    mark, since = watched
    pickle.loads(payloads(mark)["pickle"])
    assert mark.exists()
    mark.unlink()
    assert any("pickle.find_class" in each for each in since())


_SHADOWS = ("torch", "numpy", "sitecustomize", "usercustomize", "sed_cli", "yaml", "plugin")


@pytest.mark.slow
def test_the_command_imports_nothing_of_the_working_folder(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("sedtf")
    if not command.exists():
        pytest.skip("sedtf is not installed as a command")
    mark = tmp_path / "mark"
    for name in _SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    plugins = tmp_path / "hydra_plugins" / "evil"
    plugins.mkdir(parents=True)
    (plugins / "__init__.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: module://plugin\n")
    done = subprocess.run(
        [command, "simulate", "n_batches=2", "n_steps=3", "output_dir=out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
