"""Which way imports point: held here, so that the layers stay what the docs say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import sed_cli

PACKAGE = Path(sed_cli.__file__).parent

# A room may import from the rooms below it; of those beside it, from the ones that are named.
ORDER = {
    "errors": 0,
    "system": 1,
    "config": 2,
    "audio": 3,
    "models": 3,
    "sampling": 3,
    "data": 3,
    "decoding": 4,
    "export": 4,
    "metrics": 4,
    "reports": 4,
    "training": 4,
    "tasks": 5,
    "comparison": 6,
    "inference": 6,
    "cli": 7,
    "app": 8,
    "__main__": 9,
}
BESIDE = {
    "data": {"audio"},
    "decoding": {"metrics"},
    # to be parted: what of these needs a detector belongs to its task
    "export": {"tasks"},
    "metrics": {"reports"},
    "tasks": {"comparison"},
}
# to be renamed: the task of a training and the function that Hydra calls; sequence and recording
NAMED_TWICE = {"Task", "Item"}
ONLY = {"hydra": "cli", "typer": "app"}


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
                below = ORDER[target] < ORDER[room] or target in BESIDE.get(room, ())
                if target != room and not below:
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


def test_one_file_knows_the_inside_of_hydra() -> None:
    """Its private modules change without notice; what they are needed for stands in one place."""
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for _, path in modules()
        if any(name.startswith("hydra._internal") for name in imported(path))
    }
    assert knowing == {"cli/hydra.py"}


def test_models_take_plain_arguments() -> None:
    paths = [path for room, path in modules() if room == "models" and path.parent.name != "kinds"]
    assert paths
    assert not [p for p in paths if any(n.startswith("sed_cli.config") for n in imported(p))]


def test_a_class_is_known_by_its_name() -> None:
    """Two classes of one name are two words for one thing, or one word for two."""
    places: dict[str, list[str]] = {}
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: twice[name] for name in twice.keys() - NAMED_TWICE} == {}


def test_sources_of_the_check_are_read() -> None:
    """The checks above would pass on nothing: the bridge itself must be seen importing Hydra."""
    assert any(name.split(".")[0] == "hydra" for name in imported(PACKAGE / "cli" / "hydra.py"))
