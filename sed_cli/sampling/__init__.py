"""Schedules and the teacher mask: iteration -> p_teacher -> teacher mask, independent of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from sed_cli.sampling.schedules.scheduled import ScheduledSampler

__all__ = ["Schedule", "ScheduledSampler"]


def __getattr__(name: str) -> Any:
    if name == "ScheduledSampler":
        from sed_cli.sampling.schedules.scheduled import ScheduledSampler

        return ScheduledSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
