"""Find the events in a recording, without torch: python detect.py RECORDING [MODEL.onnx]."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
from numpy.lib.stride_tricks import sliding_window_view


def log_mel(samples, f):  # (n_samples,) -> (T, n_mels)
    half, n_frames = f["n_fft"] // 2, 1 + len(samples) // f["hop_length"]
    start = (f["n_fft"] - f["window_length"]) // 2
    window = np.zeros(f["n_fft"])
    window[start : start + f["window_length"]] = np.hanning(f["window_length"] + 1)[:-1]
    samples = np.pad(samples, (0, max(0, half + 1 - len(samples))))  # too short to be mirrored
    mirrored = np.append(np.pad(samples, half, mode="reflect"), 0)  # 0: where n_fft is odd
    frames = sliding_window_view(mirrored, f["n_fft"])
    power = np.abs(np.fft.rfft(frames[:: f["hop_length"]][:n_frames] * window)) ** 2
    edges = np.array(f["mel_edges_hz"])  # of triangles with equal areas, two apart
    slopes = np.fft.rfftfreq(f["n_fft"], 1 / f["sample_rate"])[:, None] - edges
    rising, falling = slopes[:, :-2] / np.diff(edges)[:-1], -slopes[:, 2:] / np.diff(edges)[1:]
    mel = power @ (np.clip(np.minimum(rising, falling), 0, None) * 2 / (edges[2:] - edges[:-2]))
    return 10 * np.log10(np.maximum(mel, f["floor"])) if f["log"] else mel


def probabilities(session, features, context, chunk=32):  # (T, n_mels) -> (T, n_classes)
    frames = np.pad(features, ((0, context), (0, 0)))[None].astype(np.float32)
    valid = np.float32(np.arange(frames.shape[1]) < len(features))[None]  # 0 after the end
    state = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in session.get_inputs()[2:]}
    parts = []
    for t in range(0, frames.shape[1], chunk):
        inputs = {"log_mel": frames[:, t : t + chunk], "valid": valid[:, t : t + chunk], **state}
        part, *new = session.run(None, inputs)
        state = dict(zip(state, new, strict=True))
        parts.append(part[0])
    return np.concatenate(parts)[context:]  # what comes out lies `context` frames back


def events(scores, post, hop, end):  # (T, n_classes) -> onset and offset in seconds, label
    for (label, threshold), score in zip(post["thresholds"].items(), scores.T, strict=True):
        size, found = post["filter_frames"][label], []
        windows = sliding_window_view(np.pad(score, size // 2, mode="symmetric"), size)
        active = np.median(windows, axis=1) > threshold
        edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
        for onset, offset in edges.reshape(-1, 2) * hop:
            if found and onset - found[-1][1] < post["min_gap_s"] - 1e-9:
                onset = found.pop()[0]
            found.append((onset, min(offset, end), label))
        shortest = max(0, post["min_duration_s"] - 1e-9)
        yield from (event for event in found if event[1] - event[0] > shortest)


def main(recording, model=Path(__file__).parent / "stream.onnx"):
    session = onnxruntime.InferenceSession(model)
    meta = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    samples, rate = soundfile.read(recording, always_2d=True)
    samples, end = samples.mean(axis=1), len(samples) / rate
    if rate != meta["features"]["sample_rate"]:
        import soxr  # needed for other rates alone

        samples = soxr.resample(samples, rate, meta["features"]["sample_rate"])
    features, stream = log_mel(samples, meta["features"]), meta["stream"]
    scores = probabilities(session, features, stream["context_frames"])
    print("onset", "offset", "event_label", sep="\t")
    for onset, offset, label in sorted(
        events(scores, meta["postprocessing"], stream["hop_s"], end)
    ):
        print(f"{onset:.6f}", f"{offset:.6f}", label, sep="\t")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except soundfile.LibsndfileError as error:
        sys.exit(str(error))
