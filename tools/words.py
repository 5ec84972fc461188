"""Words that must not come back into the documentation, help texts and messages: ``make lint``.

    python -m tools.words [FILE...]

Checks prose in Markdown (not its code), and strings in Python that are no docstrings. The list is
short on purpose: each entry once made readers stumble, and has a better word.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
INSTEAD = {
    r"\bthe truth\b": "ground truth, target",
    r"\bcoins\b|\btoss(ed|es)?\b": "teacher mask, Bernoulli draws",
    r"\bmodels? of sequences\b": "sequence model, language model",
    r"\b(goes|go|went|going) on (with|where|from|until|after)\b": "resumes, continues",
    r"\bin good order\b": "gracefully",
    r"\boutlives?\b": "survives, is crash-safe",
    r"\bwhole story\b": "full traceback",
    r"\bis nothing for\b": "is not supported by",
    r"\bleast gap\b": "minimum gap",
    r"\bplain 0\.5\b": "fixed threshold of 0.5",
    r"\bforetold|\bforetells?\b": "predicted, predicts",
    r"\bpassed over\b": "skipped, ignored",
    r"\bas ever\b": "as usual",
    r"\ball the same\b": "nevertheless",
    r"(?<!ground )\btruth fed\b": "target fed",
    r"\bmend(s|ed)?\b": "correct",
    r"\bwhat (it|they) sa(id|ys?)\b": "output",
    r"\ba (file|row|line|column|folder) a (?!few\b)[a-z]+": "one file per recording",
}
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file that are read by people, with their numbers."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        without = _CODE.sub(lambda found: "\n" * found[0].count("\n"), text)
        yield from enumerate(without.splitlines(), 1)
        return
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str) and " " in node.value:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line


def found_in(path: Path) -> list[str]:
    """Words of the list in a file, one line each: where, the word, what to write."""
    return [
        f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{number}: "
        f"{match[0]!r}; write: {better}"
        for number, line in lines_of(path)
        for pattern, better in INSTEAD.items()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


def files() -> list[Path]:
    """Everything that is checked."""
    pages = [
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    ]
    return [*pages, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("sed_cli/**/*.py"))]


def main() -> None:
    """Print what was found; exit with 1 if anything was."""
    given = [Path(name).resolve() for name in sys.argv[1:]]
    found = [line for path in given or files() for line in found_in(path)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
