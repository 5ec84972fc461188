"""What ``detect.py`` of an exported package does besides where the model has onsets."""

from detect import events


def parted(scores, post, hop, end):  # (T, 2 * n_classes) -> onset and offset in seconds, label
    n_classes, rule = scores.shape[1] // 2, post["onsets"]
    labels = list(rule["thresholds"])
    for onset, offset, label in events(scores[:, :n_classes], post, hop, end):
        score = scores[:, n_classes + labels.index(label)]
        threshold, least = rule["thresholds"][label], rule["least_frames"][label]
        first, after = round(onset / hop), round(offset / hop)
        for t in range(first + least, after - least + 1):
            highest = score[t - least + 1 : t + least].argmax() == least - 1
            if threshold is not None and score[t] > threshold and highest:
                yield onset, t * hop, label
                onset = t * hop
        yield onset, offset, label
