"""What files of audio are called."""

from __future__ import annotations

# Lower case, with the dot.
AUDIO_ENDINGS = frozenset(
    (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
        *(".au", ".caf", ".w64", ".rf64"),
    )
)

SCORES_ENDING = ".scores.tsv"
"""Of the probabilities that ``sedtf predict`` writes of a recording; no annotations."""

PREDICTIONS = "predictions.jsonl"
"""What ``sedtf predict`` has done of a folder; what it wrote of all recordings lies beside it."""
