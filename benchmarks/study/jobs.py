"""Run verbs in a persistent process; a separate module, since workers import it by name."""

from __future__ import annotations

from collections.abc import Sequence

Job = tuple[str, Sequence[str]]
"""A verb and its settings."""


def run_job(job: Job) -> int:
    """Run a verb in this process, which keeps its imports; return the exit code."""
    from sed_cli.cli.run import run
    from sed_cli.cli.verbs import Flags

    verb, words = job
    return run(verb, words, Flags())
