"""Names of recordings and of their annotations."""

from __future__ import annotations

import pytest

from sed_cli.data.names import by_common_suffix


@pytest.mark.parametrize(
    ("files", "recordings", "expected"),
    [
        (["a_js", "b_js"], ["a", "b"], {"a_js": "a", "b_js": "b"}),
        (["a", "b"], ["a_16k", "b_16k"], {"a": "a_16k", "b": "b_16k"}),
        (["rec_001", "rec_002"], ["rec"], {}),  # siblings of one that is there
        (["a_js"], ["a"], {}),  # one alone says nothing
        (["a_js", "a_mk", "b_js", "b_mk"], ["a", "b"], {}),  # of two people
        (["a_1", "b_1"], ["a", "b"], {}),  # a part of it?
    ],
)
def test_names_that_differ_in_one_suffix_belong_together(
    files: list[str], recordings: list[str], expected: dict[str, str]
) -> None:
    assert by_common_suffix(files, recordings) == expected
