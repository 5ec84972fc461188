"""The YAML files of options."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from sed_cli.errors import UserError


def conf_dir() -> Path:
    """Folder of the configs: inside an installed wheel, else beside the package."""
    package = Path(__file__).parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no configs beside {package}: the installation is incomplete; reinstall sedtf")


def meaning_of(group: str, option: str) -> str:
    """Purpose of an option file: the first sentence of the comment at its top."""
    lines = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("# @package")]
    head = [line.removeprefix("#").strip() for line in takewhile(lambda x: x[:1] == "#", lines)]
    return re.split(r"(?<=\.) (?=[A-Z]|sedtf )", " ".join(head), maxsplit=1)[0].rstrip(".")


def options_in(group: str) -> list[str]:
    """Option files of a group, sorted; those in a subfolder as ``folder/option``."""
    folder = conf_dir() / group
    paths = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return sorted(path.as_posix() for path in paths)
