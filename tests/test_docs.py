"""References in the docs must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_extending import examples

ROOT = Path(__file__).parent.parent


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
FOLDERS = ("sed_cli", "conf", "tests", "benchmarks", "examples", "docs", "tools")
_PRINTED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def words_of(page: Path) -> set[str]:
    """Words that a page sets as code, without printed output."""
    text = _PRINTED.sub("", page.read_text(encoding="utf-8"))
    return {word for words in re.findall(r"`([^`\n]+)`", text) for word in words.split()}


def is_there(path: str) -> bool:
    """Whether a path exists: from the root, from the package or, for a bare name, anywhere."""
    if "/" in path or path in FOLDERS:
        return any((root / path).exists() for root in (ROOT, ROOT / "sed_cli"))
    return any(next((ROOT / folder).rglob(path), None) for folder in FOLDERS)


def is_importable(dotted: str) -> bool:
    """Whether ``sed_cli.x.y`` is a module, or a name in one."""
    module, _, name = dotted.rpartition(".")
    for path, word in ((dotted, ""), (module, name)):
        place = ROOT / path.replace(".", "/")
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file() and re.search(rf"\b{word}\b", file.read_text(encoding="utf-8")):
                return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_named_on_a_page_exist(page: Path) -> None:
    missing = []
    for word in words_of(page):
        path = word.split("::")[0].strip("(),;").rstrip("./")
        in_ours = path.split("/")[0] in FOLDERS and "/" in word
        is_source = re.fullmatch(r"[a-z_]+(/\w+)*\.(py|yaml)", path) and path not in EXAMPLES
        if (in_ours and "*" not in path) or is_source:
            missing += [] if is_there(path) else [word]
        for dotted in re.findall(r"\bsed_cli(?:\.\w+)+", word):
            missing += [] if is_importable(dotted) else [dotted]
    assert missing == []


# Files that belong to a user or to a run.
EXAMPLES = {
    *examples(),
    "config.yaml",
    "clusters/hydra/launcher/mine.yaml",
}


def test_tests_named_in_the_docs_exist() -> None:
    named = {
        page.name: re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text(encoding="utf-8"))
        for page in PAGES
    }
    assert len(named["method.md"]) > 15
    for page, tests in named.items():
        for path, name in tests:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert not name or f"def {name}(" in source, f"{page}: {path}::{name}"


def test_pictures_and_pages_that_the_readme_links_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for target in re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert target in targets
