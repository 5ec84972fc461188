"""What ``detect.py`` of an exported package does where the decoder is ``boxes``."""

import numpy as np


def events(scores, post, hop, end):  # (T, n_classes) -> onset and offset in seconds, label
    longest, n = post["longest_frames"], len(scores)
    for label, score in zip(post["thresholds"], scores.T, strict=True):
        step, ratio = post["step_frames"][label], post["ratios"][label]
        room, unit = max(1, step // 2), 2.0**20  # whole numbers: equal levels are equal
        whole = np.rint(score.astype(float) * unit)
        total = np.pad(np.cumsum(np.pad(whole, (1, 0))), 2 * step, mode="edge")
        around = [total[at : at + n + 1 + 2 * step] for at in (0, step, 2 * step)]
        change = around[2] - 2 * around[1] + around[0]  # mean after less mean before, times step
        total, points, kind = total[2 * step :], [], "fall"
        for at in range(n + 1):
            here, middle = change[at + step], at + step
            before, behind = change[middle - room : middle], change[middle + 1 :][:room]
            if here >= step * unit / 4096 and here >= before.max() and here > behind.max():
                points.append((at, "rise"))
            elif here <= -step * unit / 4096 and here < before.min() and here <= behind.min():
                points.append((at, "fall"))
        last, boxes = 0, []  # first frame, frame after the last
        cut = [(at, "cut") for at in [n + 1]]
        for moment, of in [*points, *cut]:
            parts = [(at, "cut") for at in range(last + longest, moment, longest)]
            for at, this in [*parts, *([] if of == "cut" else [(moment, of)])]:
                if kind != "fall" or this != "rise":
                    level, first = (total[at] - total[last]) / (at - last), last
                    if boxes:
                        one, other = boxes[-1]
                        before = (total[other] - total[one]) / (other - one)
                        gap = min(level, before)
                        if other < last:
                            gap = (total[last] - total[other]) / (last - other)
                        if max(level, before) <= ratio * gap:
                            first = boxes.pop()[0] if at - one <= longest else other
                    boxes.append((first, at))
                last, kind = at, this
        found = []
        for first, after in boxes:
            mean = (total[after] - total[first]) / (after - first) / unit
            confidence = np.float32(np.sqrt(mean * whole[first:after].max() / unit))
            if confidence > post["thresholds"][label]:
                onset, offset = first * hop, min(after * hop, end)
                if found and (onset - found[-1][1] < max(post["min_gap_s"], 1e-6) - 1e-9):
                    onset = found.pop()[0]
                found.append((onset, offset, label))
        shortest = max(0, post["min_duration_s"] - 1e-9)
        yield from (event for event in found if event[1] - event[0] > shortest)
