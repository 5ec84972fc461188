"""From files to tokens."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.config.tokens import LabelsConfig, PairsConfig, TokensConfig
from sed_cli.errors import DataError, UserError
from sed_cli.tasks.sequence.data import (
    UNKNOWN,
    Sentence,
    Sentences,
    TokenData,
    join_symbols,
    load_tokens,
    split_text,
)

ALL = {"split": [1.0, 0.0, 0.0]}


def load_text(folder: Path, content: str | bytes, **settings: object) -> TokenData:
    path = folder / "text.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_tokens(TokensConfig(path=str(path), **settings))  # type: ignore[arg-type]


def texts(sentences: Sentences) -> list[str]:
    return [sentence.text for sentence in sentences]


def decoded(data: TokenData, sentence: Sentence) -> str:
    return join_symbols(data.vocabulary.decode(sentence.target), data.unit)


# -------------------------------------------------------------------------------- reading


def test_marks_and_line_ends_of_other_systems_are_no_symbols(tmp_path: Path) -> None:
    data = load_text(tmp_path, b"\xef\xbb\xbfa b\r\n\r\n  \r\nc\rd", unit="char", **ALL)

    assert texts(data.splits["train"]) == ["a b", "c", "d"]
    assert set(data.vocabulary.symbols[2:]) == set("ab cd")


def test_empty_lines_are_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        data = load_text(tmp_path, "a\n\n \t\nb c\n", **ALL)

    assert data.splits["train"].lengths.tolist() == [1, 2]
    assert "text.txt: 2 empty lines are skipped" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("gr\u00fcn\nrot\nwei\u00df\n".encode("latin-1"), r"text\.txt, line 1: not in UTF-8"),
        (b"a\x00b\n", r"zero bytes"),
        (b"\n \n", r"text\.txt: contains no sequence; expected one per line"),
        (b"", r"contains no sequence"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        load_text(tmp_path, content)
    assert "\n" not in str(refused.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "a folder instead of"), (tmp_path / "nowhere", "no such")):
        with pytest.raises(DataError, match=f"{said} (the )?text file"):
            load_tokens(TokensConfig(path=str(path)))


# ------------------------------------------------------------------------------ vocabulary


def test_the_vocabulary_is_that_of_training_by_frequency_then_text(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("z a\n")
    data = load_text(tmp_path, "c b\nb c\na\nb d\n", test_path=str(tmp_path / "test.txt"), **ALL)

    assert data.vocabulary.symbols == ("<end>", "<unk>", "b", "c", "a", "d")
    assert data.splits["test"][0].target.tolist() == [UNKNOWN, 4]


@pytest.mark.parametrize(
    ("setting", "symbols"),
    [({"max_vocabulary": 2}, ("b", "c")), ({"min_count": 2}, ("b", "c")), ({"min_count": 3}, "b")],
)
def test_rare_symbols_become_unknown(
    tmp_path: Path,
    setting: dict[str, int],
    symbols: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        data = load_text(tmp_path, "c b\nb c\na\nb d\n", **ALL, **setting)

    assert data.vocabulary.symbols[2:] == tuple(symbols)
    assert data.splits["train"][2].target.tolist() == [UNKNOWN]
    assert "symbols of the targets are not in the vocabulary and become <unk>" in caplog.text


def test_a_vocabulary_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.min_count=9, .* 2 times at most; lower it"):
        load_text(tmp_path, "a b\nb\n", min_count=9, **ALL)


def test_symbols_spelled_as_the_special_ones_are_ordinary(tmp_path: Path) -> None:
    data = load_text(tmp_path, "<unk> <end> a\n", **ALL)

    assert sorted(data.splits["train"][0].target.tolist()) == [2, 3, 4]
    assert decoded(data, data.splits["train"][0]) == "<unk> <end> a"


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(
        st.text("ab é\u0301ü語 ", min_size=1, max_size=6), min_size=1, max_size=8
    ).filter(lambda lines: any(line.strip() for line in lines)),
    unit=st.sampled_from(["word", "char"]),
)
def test_sentences_decode_to_their_text(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], unit: str
) -> None:
    data = load_text(tmp_path_factory.mktemp("text"), "\n".join(lines), unit=unit, **ALL)

    assert texts(data.splits["train"]) == [line for line in lines if line.strip()]
    for sentence in data.splits["train"]:
        assert data.vocabulary.decode(sentence.target) == split_text(sentence.text, unit)
        assert sentence.target.dtype == np.int64


# ---------------------------------------------------------------------------------- splits


@settings(max_examples=30, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["a", "b c", "b  c", "c b", "d", "a a"]), min_size=8),
    seed=st.integers(0, 9),
)
def test_no_sequence_is_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], seed: int
) -> None:
    """Sequences with the same symbols are equal, whatever white space is between them."""
    lines = ["a", "d", "c b", *lines]
    data = load_text(tmp_path_factory.mktemp("text"), "\n".join(lines), split_seed=seed)

    contents = [{" ".join(text.split()) for text in texts(one)} for one in data.splits.values()]
    assert sum(len(content) for content in contents) == len(set.union(*contents))
    assert sorted(text for one in data.splits.values() for text in texts(one)) == sorted(lines)


def test_splits_with_files_of_their_own_are_these_and_equal_lines_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "test.txt").write_text("a\nq\n")
    lines = "".join(f"{n}\n" for n in "abcdefghij")
    data = load_text(tmp_path, lines, test_path=str(tmp_path / "test.txt"), split=[0.8, 0.2, 0.5])

    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 8, "validation": 2, "test": 2}
    assert "test: 1 of 2 sequences are in the training file too" in caplog.text


def test_too_few_lines_for_the_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 distinct sequences cannot be divided into 3 splits"):
        load_text(tmp_path, "a b\na b\na  b\n")


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    lines = "".join(f"{n} x\n" for n in "abcdefghij")
    prints = [
        load_text(tmp_path, content, split_seed=seed).fingerprint
        for content, seed in ((lines, 0), (lines.replace(" x", "   x"), 0), (lines, 1))
    ]

    assert prints[0] == prints[1] != prints[2]


# ------------------------------------------------------------------------------- generated


def test_the_default_sentences_repeat_and_their_entropy_is_known() -> None:
    config = TokensConfig(n_train=200, n_validation=0, n_test=300)
    data, again = load_tokens(config), load_tokens(config)
    other = load_tokens(TokensConfig(n_train=200, n_validation=0, n_test=300, seed=1))

    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 200, "test": 300}
    assert data.entropies is not None
    assert set(data.entropies) == {"train", "test"}
    assert 1.3 < data.entropies["test"] < 1.8  # 1.533 of the grammar itself


@pytest.mark.parametrize(("generate", "unit"), [("reverse", "char"), ("digits", "word")])
def test_generated_pairs_share_no_source(generate: str, unit: str) -> None:
    config = PairsConfig(generate=generate, n_train=300, n_validation=50, n_test=50)
    data = load_tokens(config)
    sources = [one.source_text for split in data.splits.values() for one in split]

    assert (data.source_unit, data.unit) == ("char", unit)
    assert len(set(sources)) == 400
    one = data.splits["test"][0]
    assert data.source_vocabulary is not None
    assert one.source is not None
    assert "".join(data.source_vocabulary.decode(one.source)) == one.source_text


# ------------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_pairs_are_two_columns_of_a_table(tmp_path: Path, delimiter: str) -> None:
    rows = [("nr", "En", "de"), *((str(n), f"a{n} b", f"c{n}") for n in range(9)), ("9", "", "x")]
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeff" + "".join(delimiter.join(row) + "\r\n" for row in rows))
    columns = {"source_column": "en", "target_column": "de"}
    data = load_tokens(PairsConfig(path=str(path), **columns, **ALL))  # type: ignore[arg-type]

    assert len(data.splits["train"]) == 9
    assert data.splits["train"][3].source_text == "a3 b"
    assert texts(data.splits["train"])[3] == "c3"


def test_quotation_marks_hold_what_separates(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('source,target\n"a, b","say ""x"""\n')
    (one,) = load_tokens(PairsConfig(path=str(path), **ALL)).splits["train"]  # type: ignore[arg-type]

    assert (one.source_text, one.text) == ("a, b", 'say "x"')


def test_equal_sources_are_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttarget\n" + "".join(f"s{n % 7}\tt{n}\n" for n in range(40)))
    data = load_tokens(PairsConfig(path=str(path)))
    sources = [{one.source_text for one in split} for split in data.splits.values()]

    assert sum(map(len, sources)) == 7
    assert sum(map(len, data.splits.values())) == 40


def test_rows_and_columns_that_are_missing_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttarget\na\tb\n\tb\na\n")
    with caplog.at_level(logging.INFO):
        load_tokens(PairsConfig(path=str(path), **ALL))  # type: ignore[arg-type]
    assert "2 rows without source or target (the first is line 3)" in caplog.text

    with pytest.raises(DataError, match="the header has source, target, but not both source and x"):
        load_tokens(PairsConfig(path=str(path), target_column="x"))
    path.write_text("source\ttarget\n\tb\n")
    with pytest.raises(DataError, match="contains no pair"):
        load_tokens(PairsConfig(path=str(path)))
    path.write_text("")
    with pytest.raises(DataError, match="the header has nothing"):
        load_tokens(PairsConfig(path=str(path)))


# ------------------------------------------------------------------------------------ sizes


def test_100_000_words_and_lines_load(tmp_path: Path) -> None:
    """It takes about a second; a million lines take four, and 310 MB."""
    random = np.random.default_rng(0)
    numbers = np.concatenate([random.permutation(100_000), random.integers(100_000, size=400_000)])
    lines = "\n".join(" ".join(map(str, line)) for line in numbers.reshape(-1, 5).tolist())

    data = load_text(tmp_path, lines, **ALL)

    assert len(data.vocabulary) == 100_002
    assert len(data.splits["train"]) == 100_000
    assert decoded(data, data.splits["train"][-1]) == lines.rsplit("\n", 1)[1]


# ----------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TokensConfig(unit="line"), "data.unit=line"),
        (TokensConfig(n_train=0), "data.n_train=0"),
        (TokensConfig(test_path="x"), "data.test_path is set, but data.path=null"),
        (TokensConfig(split=[0.0, 0.5, 0.5]), "data.split="),
        (TokensConfig(min_count=0), "data.min_count=0"),
        (TokensConfig(relative_clauses=1.5), "data.relative_clauses=1.5"),
        (PairsConfig(generate="sums"), "data.generate=sums"),
        (PairsConfig(source_unit="x"), "data.source_unit=x"),
        (PairsConfig(generate="digits", longest=19), "data.longest=19"),
        (PairsConfig(source_column="target"), "is also data.target_column"),
        (LabelsConfig(), "data.annotations is not set"),
        (LabelsConfig(annotations="x", train="y"), "data.annotations and data.train are both set"),
        (LabelsConfig(annotations="x", gap=-1.0), "data.gap=-1.0"),
        (LabelsConfig(annotations="x", group="("), "data.group=("),
    ],
)
def test_what_cannot_work_is_reported_before_any_work(config: TokensConfig, message: str) -> None:
    (fault,) = config.faults()
    assert message in fault


def test_defaults_can_work() -> None:
    for config in (TokensConfig(), PairsConfig(), LabelsConfig(annotations="x")):
        assert config.faults() == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), min_size=1, max_size=6),
    st.integers(1, 10),
)
def test_long_lines_are_cut_and_nothing_of_them_is_lost(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], longest: int
) -> None:
    folder = tmp_path_factory.mktemp("long")
    content = "\n".join(map(" ".join, lines))
    cut = load_text(folder, content, longest_sequence=longest, **ALL)
    whole = load_text(folder, content, longest_sequence=None, **ALL)

    pieces = [piece for line in lines for piece in pieces_of(line, longest)]
    assert texts(cut.splits["train"]) == [" ".join(piece) for piece in pieces]
    assert [decoded(cut, one) for one in cut.splits["train"]] == texts(cut.splits["train"])
    assert cut.vocabulary.symbols == whole.vocabulary.symbols


def pieces_of(line: list[str], longest: int) -> list[list[str]]:
    return [line[first : first + longest] for first in range(0, len(line), longest)]


def test_the_pieces_of_a_line_stay_in_one_split_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [" ".join(f"{name}{place}" for place in range(5)) for name in "abcdefgh"]
    data = load_text(tmp_path, "\n".join(lines), longest_sequence=2)

    for sentences in data.splits.values():
        assert len(sentences) % 3 == 0
        assert {text[0] for text in texts(sentences)[::3]} == {t[0] for t in texts(sentences)}
    assert "longer than data.longest_sequence=2 tokens and are cut: " in caplog.text
