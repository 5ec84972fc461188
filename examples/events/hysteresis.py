"""What ``detect.py`` of an exported package does where the decoder is ``hysteresis``."""

import numpy as np


def events(scores, post, hop, end):  # (T, n_classes) -> onset and offset in seconds, label
    for (label, upper), score in zip(post["upper"].items(), scores.T, strict=True):
        found, above_lower = [], score > post["lower"][label]
        edges = np.flatnonzero(np.diff(above_lower, prepend=False, append=False))
        for first, after in edges.reshape(-1, 2):
            above = np.flatnonzero(score[first:after] > upper)
            if not len(above):
                continue
            onset = max(first, first + above[0] - post["reach_frames"]) * hop
            if found and onset - found[-1][1] < post["gaps_s"][label] - 1e-9:
                onset = found.pop()[0]
            found.append((onset, min(after * hop, end), label))
        shortest = max(0, post["durations_s"][label] - 1e-9)
        yield from (event for event in found if event[1] - event[0] > shortest)
