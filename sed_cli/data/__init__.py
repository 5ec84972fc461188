"""Recordings and annotations to sequences of features and activities."""

from __future__ import annotations

from sed_cli.data.annotations import Event, read_annotations, write_annotations
from sed_cli.data.frames import activities_to_events, events_to_activities
from sed_cli.data.sequences import SequenceBatch, Sequences, collate
from sed_cli.data.sets import DataSet, Recording, load_data

__all__ = [
    "DataSet",
    "Event",
    "Recording",
    "SequenceBatch",
    "Sequences",
    "activities_to_events",
    "collate",
    "events_to_activities",
    "load_data",
    "read_annotations",
    "write_annotations",
]
