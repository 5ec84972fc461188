"""Words that must not come back into the documentation, help texts and messages: ``make lint``.

    python -m tools.words [FILE...]

Checks prose in Markdown (not its code) and strings in Python against the whole list; docstrings,
comments and names of tests against the entries that rarely occur otherwise. The list is short on
purpose: each entry has made readers stumble, and has a better word.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
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
IN_CODE = {
    r"\b(toss(ed|es|ing)?|foretold|foretells?|whole story|plain 0\.5|least gap)\b": "see INSTEAD",
    r"\bmodels? of sequences\b": "sequence model, language model",
    r"\bin good order\b": "gracefully",
    r"\bis nothing for\b": "is not supported by",
    r"(?<!ground )(?<!ground_)\bthe truth\b": "ground truth, target",
    r"\bthe likeliest\b": "the most likely",
    r"\bnobody's business\b|\bis no business of\b": "is not checked here",
    r"\bwhole or not at all\b": "atomically",
    r"\bbit by bit\b": "streamed, in pieces",
    r"\bthat there (is|are)\.$": "all, existing",
    r"\b(is|are) told apart\b": "differ, are distinguished",
    r"\bas many as there are\b": "all",
}
"""Words that must not come back into docstrings, comments and names of tests either."""
_TEST_NAME = re.compile(r"^\s*def (test_\w+)", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file that people read, with their numbers."""
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


def code_lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, comments and names of tests in a Python file, by line."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and token.string.startswith('"""')
        if token.type == tokenize.COMMENT or is_docstring:
            yield from enumerate(token.string.splitlines(), token.start[0])
    for found in _TEST_NAME.finditer(text):
        yield text.count("\n", 0, found.start(1)) + 1, found[1].replace("_", " ")


def found_in(path: Path) -> list[str]:
    """Words of the list in a file, one line each: the place, the word, the replacement."""
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    checks = [(lines_of(path), INSTEAD)] if "tests" not in shown.parts else []
    if path.suffix == ".py":
        checks.append((code_lines_of(path), IN_CODE))
    return [
        f"{shown}:{number}: {match[0]!r}; write: {better}"
        for lines, words in checks
        for number, line in lines
        for pattern, better in words.items()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


def files() -> list[Path]:
    """All files to check."""
    pages = [
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    ]
    code = [
        path
        for folder in ("sed_cli", "tests", "benchmarks")
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if path.name != "test_words.py"
    ]
    return [*pages, *sorted(ROOT.glob("docs/*.md")), *code]


def main() -> None:
    """Print the findings; exit with 1 if there are any."""
    given = [Path(name).resolve() for name in sys.argv[1:]]
    found = [line for path in given or files() for line in found_in(path)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
