"""``sedtf predict`` with a sequence model: continuations of lines of text."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sed_cli.config.provenance import choose_device, set_threads
from sed_cli.config.tools import PredictConfig
from sed_cli.errors import DataError, UserError
from sed_cli.system.files import replacing
from sed_cli.system.structured import open_regular
from sed_cli.tasks.sequence.data import split_text
from sed_cli.tasks.sequence.data.vocabulary import UNKNOWN
from sed_cli.tasks.sequence.load import load_predictor
from sed_cli.tasks.sequence.predictor import Decoding, Predictor

log = logging.getLogger(__name__)

HEADER = ("given", "continuation", "log_probability", "ended")
_LINES_AT_ONCE = 256
_LONGEST_LINE = 1_000_000  # characters


def continue_lines(config: PredictConfig) -> None:
    """Continue each line of a file or of standard input; translate it, for a model of pairs.

    Each line produces ``decoding.n_best`` rows, with the most likely or the first drawn first. An
    empty line is a prefix too: the model then generates the whole sequence.

    Raises:
        UserError: if there is no such file, or the checkpoint cannot be used.
        DataError: if the text is not UTF-8.
    """
    with set_threads(config.threads), _opened(config.input) as lines:
        predictor = load_predictor(config.checkpoint, choose_device(config.device))
        decoding = Decoding(**asdict(config.decoding))
        rows = _rows(predictor, decoding, lines)
        if config.output_dir is None:
            _write(sys.stdout, rows)
            return
        folder = Path(config.output_dir).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        name = "stdin" if config.input == "-" else Path(config.input).stem
        with (
            replacing(folder / f"{name}.continuations.tsv") as path,
            path.open("w", encoding="utf-8") as file,
        ):
            _write(file, rows)


@contextmanager
def _opened(given: str) -> Iterator[TextIO]:
    if given == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(encoding="utf-8")
        yield sys.stdin
        return
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(f"input={given}: no such file; expected a text file, or - for stdin")
    with TextIOWrapper(open_regular(path), encoding="utf-8-sig") as file:
        yield file


def _write(file: TextIO, rows: Iterable[Sequence[str]]) -> None:
    file.write("\t".join(HEADER) + "\n")
    for row in rows:
        file.write("\t".join(" ".join(cell.split("\t")) for cell in row) + "\n")
        file.flush()


def _rows(
    predictor: Predictor, decoding: Decoding, lines: TextIO
) -> Iterator[tuple[str, str, str, str]]:
    waiting = iter(partial(lines.readline, _LONGEST_LINE + 2), "")  # a line may have no end
    is_typed = lines.isatty()
    at_once = 1 if is_typed else _LINES_AT_ONCE  # at a terminal, answer each line at once
    n_unknown = 0
    for first in range(0, sys.maxsize, at_once):
        given = _read(waiting, at_once)
        if not given:
            break
        tokens = [_encode(predictor, line) for line in given]
        n_unknown += sum(int((row == UNKNOWN).sum()) for row in tokens)
        translates = predictor.source_vocabulary is not None
        found = predictor.continuations(
            [np.zeros(0, np.int64)] * len(tokens) if translates else tokens,
            tokens if translates else None,
            # Each block has its own seed, so that draws are not repeated.
            Decoding(**{**asdict(decoding), "seed": decoding.seed + first}),
        )
        for line, continuations in zip(given, found, strict=True):
            for each in continuations:
                yield (
                    line,
                    predictor.text(each.tokens),
                    f"{each.log_probability:.4f}",
                    "yes" if each.is_complete else "no",
                )
    if n_unknown:
        log.warning("%d symbols are not in the model's vocabulary: read as <unk>", n_unknown)


def _read(lines: Iterator[str], n: int) -> list[str]:
    try:
        read = [line.rstrip("\r\n") for line in islice(lines, n)]
    except UnicodeDecodeError as error:
        raise DataError(f"the input is not UTF-8 text (byte {error.start}); convert it") from error
    if (longest := max(map(len, read), default=0)) > _LONGEST_LINE:
        raise DataError(
            f"a line has {longest:,} characters: a line is one sequence, of at most "
            f"{_LONGEST_LINE:,}; split it"
        )
    return read


def _encode(predictor: Predictor, line: str) -> NDArray[np.int64]:
    if predictor.source_vocabulary is None:
        return predictor.vocabulary.encode(split_text(line, predictor.unit))
    assert predictor.source_unit is not None
    return predictor.source_vocabulary.encode(split_text(line, predictor.source_unit))
