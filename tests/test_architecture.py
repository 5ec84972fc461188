"""Which way imports point: held here, so that the layers stay what the docs say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import sed_cli

PACKAGE = Path(sed_cli.__file__).parent

# A module may import from its own layer's lower rooms and from the layers below.
ORDER = {
    "errors": 0,
    "system": 1,
    "records": 2,
    "config": 2,
    "distributed": 2,
    "torchrun": 2,
    "provenance": 3,
    "status": 3,
    "audio": 3,
    "sampling": 3,
    "slurm": 3,
    "models": 3,
    "data": 4,
    "reports": 4,
    "inference": 5,
    "inspection": 5,
    "synth": 5,
    "evaluation": 6,
    "training": 7,
    "job": 8,
    "app": 9,
    "__main__": 10,
}
ONLY = {"hydra": "job", "typer": "app"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def test_every_room_has_its_place() -> None:
    assert {room for room, _ in modules()} == set(ORDER)


def test_imports_point_downwards() -> None:
    wrong = []
    for room, path in modules():
        for name in imported(path):
            if name.startswith("sed_cli."):
                target = name.split(".")[1]
                # rooms of the same height do not know each other
                if target != room and ORDER[target] >= ORDER[room]:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_only_the_bridge_knows_hydra_and_only_the_app_knows_typer() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for room, path in modules()
        for name in imported(path)
        for library, owner in ONLY.items()
        if name.split(".")[0] == library and room != owner
    ]
    assert wrong == []


def test_models_take_plain_arguments() -> None:
    paths = [path for room, path in modules() if room == "models" and path.parent.name != "kinds"]
    assert paths
    assert not [p for p in paths if any(n.startswith("sed_cli.config") for n in imported(p))]


def test_sources_of_the_check_are_read() -> None:
    """The checks above would pass on nothing: the bridge itself must be seen importing Hydra."""
    assert any(name.split(".")[0] == "hydra" for name in imported(PACKAGE / "job" / "__init__.py"))
