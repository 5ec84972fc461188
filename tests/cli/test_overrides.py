"""Overrides as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.cli.overrides import literal


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("data.root=~/set", "data.root={home}/set"),
        ("data.root='~/my set'", "data.root='{home}/my set'"),
        ("plugins=[~/a.py,'~/b.py']", "plugins=[{home}/a.py,'{home}/b.py']"),
        ("output_dir=~", "output_dir={home}"),
        ("data.root=~nobody-of-that-name/x", "data.root='~nobody-of-that-name/x'"),
        ("data.root=a~/b", "data.root=a~/b"),
        ("prompt=~/x", "prompt='~/x'"),
        ("~data.root", "~data.root"),
    ],
)
def test_a_tilde_means_the_home(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells expand it only at the start of a word, not after an equals sign."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = literal(typed, ("prompt",))
    assert found.replace("'", "") == meant.format(home=tmp_path).replace("'", "")
    assert found.count("'") % 2 == 0
