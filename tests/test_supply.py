"""The shipped packages: the same bytes from the same sources, and compatible licences."""

from __future__ import annotations

import email
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sed_cli import __version__

ROOT = Path(__file__).parents[1]


def test_the_licences_of_all_dependencies_are_looked_at() -> None:
    script = ROOT / ".ci" / "licences.py"
    if not script.exists():
        pytest.skip("not in a source distribution")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "torch " in done.stdout


def test_every_pin_has_its_hash_and_every_hash_its_pin() -> None:
    hashes = ROOT / ".ci" / "hashes.txt"
    if not hashes.exists():
        pytest.skip("not in a source distribution")

    def pins(path: Path) -> set[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        # A package index for one kind of processor marks its builds, such as +cpu.
        found = {re.split(r"[ ;+]", line)[0].strip() for line in lines}
        return {re.sub("[-_.]+", "-", each).lower() for each in found if "==" in each}

    assert pins(hashes) == pins(ROOT / "constraints.txt")


@pytest.mark.slow
def test_a_wheel_is_the_same_to_the_last_byte(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / name)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run([*command, ROOT], capture_output=True, text=True, env=environment)
        if done.returncode and re.search(r"for hatch(ling|-fancy)", done.stdout + done.stderr):
            pytest.skip("the build's own dependencies cannot be installed here")
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = (tmp_path / name).glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
        shown = page_of_an_index(wheel)
        assert shown.startswith("# sedtf\n")
        targets = re.findall(r"\]\(([^)]+)\)", shown)
        assert [target for target in targets if not target.startswith("https://")] == []
    assert len(digests) == 1


def page_of_an_index(wheel: Path) -> str:
    """The long description of a wheel, which an index shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == __version__
    return metadata.get_payload(decode=True).decode("utf-8")
