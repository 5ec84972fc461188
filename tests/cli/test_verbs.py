"""What stands behind the verbs."""

from __future__ import annotations

import importlib

import pytest

from sed_cli.cli import VERBS


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_names_functions_that_are_there(name: str) -> None:
    for place in filter(None, (VERBS[name].function, VERBS[name].prepare)):
        module, function = place.split(":")
        assert callable(getattr(importlib.import_module(module), function))
