"""What ``detect.py`` of an exported package does where the decoder is ``vote``."""

import numpy as np


def events(scores, post, hop, end):  # (T, n_classes) -> onset and offset in seconds, label
    labels, size = list(post["thresholds"]), post["longest_frames"]
    margins = scores - np.array([post["thresholds"][label] for label in labels])
    sounding = (margins > 0).any(axis=1)
    edges = np.flatnonzero(np.diff(sounding, prepend=False, append=False))
    segments, found = [], []
    for first, after in edges.reshape(-1, 2):
        if segments and (first - segments[-1][1]) * hop < post["min_gap_s"] - 1e-9:
            first = segments.pop()[0]
        segments.append((first, after))
    pieces = [(s, min(s + size, n)) for first, n in segments for s in range(first, n, size)]
    for start, after in pieces:
        piece = margins[start:after]
        votes = np.bincount(piece.argmax(axis=1), minlength=len(labels)) + piece.mean(axis=0) / 4
        label, onset = labels[votes.argmax()], start
        if found and found[-1][1:] == (start, label):
            onset = found.pop()[0]
        found.append((onset, after, label))
    shortest = max(0, post["min_duration_s"] - 1e-9)
    in_seconds = [(onset * hop, min(offset * hop, end), label) for onset, offset, label in found]
    yield from (event for event in in_seconds if event[1] - event[0] > shortest)
