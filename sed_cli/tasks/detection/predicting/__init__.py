"""``sedtf predict`` for many recordings: the work, its distribution, and the summary."""
