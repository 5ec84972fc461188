"""Everything that the table of verbs names exists."""

from __future__ import annotations

import pytest

from sed_cli.cli.verbs import VERBS, load


@pytest.mark.parametrize("name", VERBS)
def test_the_work_of_a_verb_can_be_imported(name: str) -> None:
    assert callable(load(VERBS[name].function))
    if VERBS[name].prepare is not None:
        assert callable(load(str(VERBS[name].prepare)))
