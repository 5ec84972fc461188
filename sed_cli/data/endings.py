"""Endings of audio files."""

from __future__ import annotations

from sed_cli.audio.foreign import FOREIGN_ENDINGS, RAW_ENDING

# Lower case, with the dot.
AUDIO_ENDINGS = frozenset(
    (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
        *(".au", ".caf", ".w64", ".rf64", ".sph", RAW_ENDING),
        *FOREIGN_ENDINGS,
    )
)

SCORES_ENDING = ".scores.tsv"
"""Ending of probabilities written by ``sedtf predict``; not annotations."""

PREDICTIONS = "predictions.jsonl"
"""Progress file of ``sedtf predict`` in a folder, beside its output for all recordings."""
