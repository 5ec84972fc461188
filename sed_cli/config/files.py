"""The YAML files of options: where they are, and which there are."""

from __future__ import annotations

from pathlib import Path

from sed_cli.errors import UserError


def conf_dir() -> Path:
    """Folder of the configs: inside an installed wheel, else beside the package."""
    package = Path(__file__).parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no configs beside {package}: the installation is incomplete, install again")


def options_in(group: str) -> list[str]:
    """Options of a group that are files, sorted."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
