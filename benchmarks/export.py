"""What do the exported graphs of the default model cost in onnxruntime, compared with PyTorch?

Four minutes at 16 kHz; a stream in chunks of one frame, of one second, of ten. The weights are
random: they affect the events, not the cost. Needs ``sedtf[onnx]``. Writes ``export.{csv,md}``.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import onnxruntime
import torch
from onnx import GraphProto

from benchmarks.inference import DURATION_S, SAMPLE_RATE, detector
from benchmarks.measure import Task, medians, options, write_table
from sed_cli.export.builder import make_model
from sed_cli.export.check import stream
from sed_cli.export.frontend import waveform_graph
from sed_cli.export.graphs import recording_graph, stream_graph


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    seconds = medians(
        _tasks(arguments.threads),
        repeats=arguments.repeats,
        budget=arguments.budget,
        clock=arguments.clock,
    )
    rows: list[dict[str, object]] = [
        {"what": name, "ms": 1e3 * value, "times real time": DURATION_S / value}
        for name, value in seconds.items()
    ]
    title = f"Exported graphs, {arguments.threads} thread(s), {arguments.clock} time"
    print(write_table(arguments.output / "export", title, rows))


def _session(graph: GraphProto, threads: int) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        make_model(graph, {}, "0").SerializeToString(), settings, ["CPUExecutionProvider"]
    )


def _tasks(threads: int) -> dict[str, Task]:
    each = detector("torchaudio", "cpu")
    model = each.model.eval()
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, SAMPLE_RATE * DURATION_S)).astype("f")
    log_mel = each.log_mel(torch.from_numpy(waveform))[:, 0]
    run_recording = _session(recording_graph(model, each.feedback), threads).run
    run_waveform = _session(waveform_graph(model, each.feedback, each.log_mel), threads).run
    session = _session(stream_graph(model, each.feedback), threads)
    tasks: dict[str, Task] = {
        "PyTorch, log-mel to probabilities": partial(each.logits, log_mel),
        "recording.onnx": partial(run_recording, None, {"log_mel": log_mel.numpy()}),
        "waveform.onnx": partial(run_waveform, None, {"waveform": waveform}),
    }
    for chunk in (1, 31, 313):
        name = f"stream.onnx, chunks of {chunk} frame{'s' if chunk > 1 else ''}"
        tasks[name] = partial(stream, session, log_mel.numpy(), chunk, model.context)
    return tasks


if __name__ == "__main__":
    main(options(__doc__ or ""))
