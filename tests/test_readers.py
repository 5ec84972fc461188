"""Every reader of files from untrusted sources: any content is either read or refused."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mutations import mutated
from tests.readers import OF_PIPES, READERS, try_to_read


@pytest.mark.parametrize("name", READERS)
def test_pipes_devices_and_folders_are_neither_waited_for_nor_read(
    name: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for kind in ("endless", "folder", *(() if name in OF_PIPES else ("pipe",))):
        try_to_read(name, tmp_path / kind)


SOME_BYTES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(
        (
            *(b"", b"\0" * 64, b"[" * 5000, b"{" * 5000, b"- " * 5000, b"&a [*a]", b"9" * 5000),
            *(b"null", b"[]", b"{}", b"17", b'"x"', b"NaN", b"1e999", b'{"a": 1e999}'),
            *(b"RIFF\xff\xff\xff\xffWAVE", b"fLaC", b"OggS", b"ID3\4\0\0\x7f\x7f\x7f\x7f"),
            *(b"epoch,seconds\n1,inf\n", b"a,b\n1,2,3\n", b'"' * 999, b"=cmd|' /C calc'!A0\n"),
            b"\xff\xfe\x00\x00",
            b"!!python/object/apply:os.system ['true']",
        )
    ),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "file"


def test_any_bytes_are_read_or_refused(place: Path) -> None:
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=SOME_BYTES)
    def read(content: bytes) -> None:
        place.write_bytes(content)
        for name in READERS:
            try_to_read(name, place)

    read()


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_more_bytes_are_read_or_refused(name: str, place: Path) -> None:
    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=SOME_BYTES)
    def read(content: bytes) -> None:
        place.write_bytes(content)
        try_to_read(name, place)

    read()


def whole_files(run: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Readers, each with an intact file of its kind."""
    last = run / "checkpoints" / "last"
    yield "run.json", run / "run.json"
    yield "history.csv", run / "history.csv"
    yield "history.csv as drawn", run / "history.csv"
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        yield f".hydra/{name}", run / ".hydra" / name
    for name in ("config.yaml", "classes.json", "training_state.pt"):
        yield name, last / name
    yield "model.safetensors", last / "model.safetensors"
    yield "postprocessing.json", run / "checkpoints" / "best" / "postprocessing.json"
    yield "annotations", run / "events.tsv"
    random_ = np.random.default_rng(0)
    for ending in ("wav", "flac", "ogg"):
        soundfile.write(folder / f"a.{ending}", random_.standard_normal(4000) / 9, 8000)
        yield "decoded audio", folder / f"a.{ending}"


@pytest.mark.parametrize("n", [2, pytest.param(300, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused(n: int, trained_run: Path, tmp_path: Path) -> None:
    for name, whole in whole_files(trained_run, tmp_path):
        content, draws = whole.read_bytes(), random.Random(name)
        place = tmp_path / f"damaged{whole.suffix}"
        for _ in range(n):
            place.write_bytes(mutated(content, draws))
            try_to_read(name, place)


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("transitions", '{"bell": {"siren": 1' + "0" * 400 + "}}", "expected numbers of at least"),
        ("history.csv as drawn", "epoch,seconds\n1," + "1" * 200_000, "not a table of epochs"),
        ("splits of a bank", "clip,split\na.wav," + "t" * 200_000, "not a table"),
        ("transitions", "after,bell\nbell," + "1" * 200_000, "field larger than"),
    ],
)
def test_what_mutations_have_found_is_refused(
    name: str, content: str, refusal: str, place: Path
) -> None:
    place.write_text(content)
    assert refusal in try_to_read(name, place)


_ARRAYS = b",".join(
    b'"k%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(50_000)
)
_MANY_ARRAYS = b"{" + _ARRAYS + b"}"
_MANY_CELLS = b"epoch,seconds" + b",x" * 200 + b"\n" + (b"1,1" + b",0" * 200 + b"\n") * 20_000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "model.safetensors",
            len(_MANY_ARRAYS).to_bytes(8, "little") + _MANY_ARRAYS,
            "does not fit its config .a header of",
        ),
        (
            "pseudo_labels.safetensors",
            (33 << 20).to_bytes(8, "little") + b"{",
            "a header of .* more than",
        ),
        ("history.csv", _MANY_CELLS, "more than 4,000,000 cells"),
        ("history.csv as drawn", _MANY_CELLS, "more than 4,000,000 cells"),
    ],
)
def test_what_takes_long_to_parse_is_refused_before(
    name: str, content: bytes, reason: str, place: Path
) -> None:
    place.write_bytes(content)
    assert re.search(reason, try_to_read(name, place))
