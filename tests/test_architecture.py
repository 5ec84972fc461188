"""The direction of imports, checked so that the layers stay as documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import sed_cli
from sed_cli.config.verbs import TASKS

PACKAGE = Path(sed_cli.__file__).parent

# A package may import from the layers below it; within its layer only from those named.
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
    "help_texts": 0,
    "app": 8,
    "__main__": 9,
}
BESIDE = {
    "data": {"audio"},
    "decoding": {"metrics"},
}
ONLY = {"hydra": "cli", "typer": "app"}

TASK_PACKAGES = {"detection", "sequence"}
OF_A_TASK = {cls.__name__ for cls in TASKS.values()}
# The public `load` loads a detector.
MAY_NAME_A_TASK = "inference.py"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


@cache
def imported(path: Path) -> frozenset[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return frozenset(found)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_at_run_time(path: Path, known: set[str]) -> set[str]:
    """Modules of ours that a module imports, within functions too, except only for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside if inside <= known else {node.module} | (inside & known)
    return found & known


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set[str](), list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += graph[name]
        reached[start] = seen
    groups = {
        frozenset(other for other in graph if other in reached[name] and name in reached[other])
        for name in graph
    }
    return sorted(sorted(group) for group in groups if group)


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


def test_no_modules_import_one_another() -> None:
    names = {module_name(path): path for _, path in modules()}
    graph = {name: imports_at_run_time(path, set(names)) for name, path in names.items()}

    assert circles(graph) == []


def test_a_circle_is_seen_over_others_too() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circles(graph) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_tasks_do_not_know_one_another_nor_what_both_use_any_of_them() -> None:
    wrong = []
    for room, path in modules():
        parts = path.relative_to(PACKAGE).parts
        own = {parts[1]} if room == "tasks" and len(parts) > 2 else set()
        for name in imported(path):
            target = name.removeprefix("sed_cli.tasks.").split(".")[0]
            known = name.startswith("sed_cli.tasks.") and target in TASK_PACKAGES - own
            if known and path.relative_to(PACKAGE).as_posix() != MAY_NAME_A_TASK:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_nothing_outside_the_tasks_asks_which_task_it_is() -> None:
    wrong = []
    for room, path in modules():
        inside = room == "tasks" and path.parent.name != "tasks"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = ast.unparse(node) if isinstance(node, ast.Compare | ast.Call) else ""
            asks = isinstance(node, ast.Compare) and "task" in said.lower()
            asks = asks and any(repr(name) in said for name in TASKS)
            asks = asks or (
                said.startswith(("isinstance(", "issubclass("))
                and any(name in said for name in OF_A_TASK)
            )
            if asks and not inside:
                wrong.append(f"{path.relative_to(PACKAGE)}: {said}")
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
    """Hydra's private modules change without notice; one file contains all uses of them."""
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for _, path in modules()
        if any(name.startswith("hydra._internal") for name in imported(path))
    }
    assert knowing == {"cli/hydra.py"}


def test_models_take_plain_arguments() -> None:
    components = {"kinds", "feedbacks", "poolings", "feedback.py"}  # the last is a base class
    paths = [
        p for room, p in modules() if room == "models" and not components & {p.parent.name, p.name}
    ]
    assert paths
    assert not [p for p in paths if any(n.startswith("sed_cli.config") for n in imported(p))]


def test_a_class_is_known_by_its_name() -> None:
    """Two classes of the same name confuse: one name for two things, or two copies of one."""
    places: dict[str, list[str]] = {}
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_sources_of_the_check_are_read() -> None:
    """The checks above would pass on no files: the bridge itself must be seen importing Hydra."""
    assert any(name.split(".")[0] == "hydra" for name in imported(PACKAGE / "cli" / "hydra.py"))
