"""A CRNN in ONNX's operators, with the weights of its own modules: one chunk, or a whole recording.

Written node by node, since ``torch.onnx.export`` would need a second model in plain operators
anyway (the blocks run rearranged, the recurrence in its own back ends) and ``torch.scan``, a
prototype that only newer versions translate. So the number of frames and of sequences is free
in every graph by construction, and :mod:`.check` compares the graphs with PyTorch.

Shapes: B sequences, n frames of a chunk, T of a recording, M mel bands, F features per frame, H
hidden units, C classes; S numbers of state, A of activities: C, or the whole state of a
feedback rule with memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from sed_cli.export.builder import GraphBuilder, Outputs
from sed_cli.models import CRNN
from sed_cli.models.conv import ConvBlock
from sed_cli.models.feedback import FeedbackRule


@dataclass(frozen=True)
class _Recurrent:
    """Names of the results of the recurrence: (B, T, C), (B, H), and with feedback (B, A)."""

    logits: str
    hidden: str
    activities: str | None


def state_layout(model: CRNN) -> dict[str, tuple[int, ...]]:
    """Parts of a stream's state vector in order, with the shape of each part per sequence.

    ``hidden``: of the GRU, (H,). ``valid``: which of the last frames belong to the recording,
    (context,). ``block_1`` and so on: the last inputs of a block, as many as its kernel covers back
    and ahead, (channels, kernel_size - 1, bands). All zeros before the first frame, like the
    padding of the convolutions.
    """
    layout: dict[str, tuple[int, ...]] = {"hidden": (model.cell.hidden_size,)}
    if model.context:
        layout["valid"] = (model.context,)
        bands = model.n_mels
        for index, block in enumerate(_blocks(model), start=1):
            layout[f"block_{index}"] = (block.conv.in_channels, 2 * _reach(block), bands)
            bands //= block.pooling
    return layout


def state_size(model: CRNN) -> int:
    """S, the numbers of a stream's state vector."""
    return sum(math.prod(shape) for shape in state_layout(model).values())


def stream_graph(model: CRNN, rule: FeedbackRule) -> onnx.GraphProto:
    """Build the graph of one chunk of a stream.

    Inputs: ``log_mel`` (B, n, M), not normalised; ``valid`` (B, n), 1 for frames of the recording
    and 0 after its end; ``state`` (B, S); with feedback, ``activities`` (B, A), those of the last
    frame. Outputs: ``probabilities`` (B, n, C) of the frames ``model.context`` before those of the
    input, 0 outside the recording; ``new_state`` and ``new_activities``, to be
    passed with the next chunk. State and activities start as zeros.
    """
    g = GraphBuilder()
    context = model.context
    log_mel = g.input("log_mel", ("B", "n", model.n_mels))
    valid = g.input("valid", ("B", "n"))
    past = _unpack_state(g, model)
    n_carried = rule.carried * model.n_fed_outputs
    activities = g.input("activities", ("B", n_carried)) if model.has_feedback else None

    known = g.node("Concat", past["valid"], valid, axis=1) if context else valid
    is_valid = g.node("Cast", known, to=onnx.TensorProto.BOOL)  # (B, context + n)
    new = {"valid": g.slice(known, -context, None, axis=1)} if context else {}
    x = _where_valid(g, _delayed(g, is_valid, context, 0), _normalise(g, model, log_mel))
    delay = 0
    for index, block in enumerate(_blocks(model), start=1):
        reach = _reach(block)
        if reach:
            x = g.node("Concat", past[f"block_{index}"], x, axis=2)
            new[f"block_{index}"] = g.slice(x, -2 * reach, None, axis=2)
        x = _block(g, index, block, x, padding=0)
        delay += reach
        x = _where_valid(g, _delayed(g, is_valid, context, delay), x)
    frames = g.node("Unsqueeze", _delayed(g, is_valid, context, delay), g.integers(2))  # (B, n, 1)
    out = _scan(g, model, rule, _features(g, x), (past["hidden"], activities), frames)
    probabilities = g.node("Sigmoid", out.logits)
    g.node("Where", frames, probabilities, g.weight("zero", np.float32(0)), name="probabilities")

    new["hidden"] = out.hidden
    flat = [g.node("Flatten", new[part], axis=1) for part in state_layout(model)]
    g.node("Concat", *flat, axis=1, name="new_state")
    outputs: Outputs = {
        "probabilities": (("B", "n", model.n_outputs), "float"),
        "new_state": (("B", state_size(model)), "float"),
    }
    if out.activities is not None:
        g.node("Identity", out.activities, name="new_activities")
        outputs["new_activities"] = (("B", n_carried), "float")
    return g.graph("stream", outputs)


def recording_graph(model: CRNN, rule: FeedbackRule) -> onnx.GraphProto:
    """Build the graph of whole recordings: ``log_mel`` (B, T, M) -> ``probabilities`` (B, T, C)."""
    g = GraphBuilder()
    log_mel = g.input("log_mel", ("B", "T", model.n_mels))
    add_recording(g, model, rule, log_mel)
    return g.graph("recording", {"probabilities": (("B", "T", model.n_outputs), "float")})


def add_recording(g: GraphBuilder, model: CRNN, rule: FeedbackRule, log_mel: str) -> None:
    """Add the nodes from the features (B, T, M) named ``log_mel`` to ``probabilities``."""
    x = _normalise(g, model, log_mel)
    for index, block in enumerate(_blocks(model), start=1):
        x = _block(g, index, block, x, padding=_reach(block))
    features = _features(g, x)
    if model.has_feedback:
        sizes = model.cell.hidden_size, rule.carried * model.n_fed_outputs
        hidden, activities = (_zeros(g, features, size) for size in sizes)
        logits = _scan(g, model, rule, features, (hidden, activities), None).logits
    else:
        logits = _gru(g, model, features)
    g.node("Sigmoid", logits, name="probabilities")


# ----------------------------------------------------------------------------- convolutions


def _blocks(model: CRNN) -> list[ConvBlock]:
    return [block for block in model.blocks if isinstance(block, ConvBlock)]


def _reach(block: ConvBlock) -> int:
    """Number of frames that the block covers to each side."""
    return block.conv.kernel_size[0] // 2


def _normalise(g: GraphBuilder, model: CRNN, log_mel: str) -> str:
    """Add (B, n, M) -> (B, 1, n, M)."""
    centred = g.node("Sub", log_mel, g.weight("mean", model.normalisation.mean))
    normalised = g.node("Div", centred, g.weight("std", model.normalisation.std))
    return g.node("Unsqueeze", normalised, g.integers(1))


def _block(g: GraphBuilder, index: int, block: ConvBlock, x: str, *, padding: int) -> str:
    """Add (B, in_channels, n, bands) -> (B, out_channels, n', bands / pooling).

    ``padding`` is the number of zero frames before and after the input: with the reach of the
    kernel n' = n, without padding n' is shorter by the kernel's reach back and ahead.
    """
    conv, norm = block.conv, block.norm
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    over_bands = conv.kernel_size[1] // 2
    x = g.node(
        "Conv",
        x,
        g.weight(f"conv_{index}_weight", conv.weight),
        g.weight(f"conv_{index}_bias", conv.bias),
        kernel_shape=list(conv.kernel_size),
        pads=[padding, over_bands] * 2,
    )
    statistics = {
        "scale": norm.weight,
        "shift": norm.bias,
        "mean": norm.running_mean,
        "var": norm.running_var,
    }
    names = [g.weight(f"norm_{index}_{name}", values) for name, values in statistics.items()]
    x = g.node("BatchNormalization", x, *names, epsilon=norm.eps)
    shape = [1, block.pooling]
    return g.node("Relu", g.node("MaxPool", x, kernel_shape=shape, strides=shape))


def _features(g: GraphBuilder, x: str) -> str:
    """Add (B, channels, n, bands) -> (B, n, F)."""
    in_time = g.node("Transpose", x, perm=[0, 2, 1, 3])
    return g.node("Reshape", in_time, g.integers(0, 0, -1))


def _delayed(g: GraphBuilder, is_valid: str, context: int, delay: int) -> str:
    """Add the part (B, n) of (B, context + n) that is ``delay`` frames before the chunk."""
    if not context:
        return is_valid
    return g.slice(is_valid, context - delay, -delay if delay else None, axis=1)


def _where_valid(g: GraphBuilder, valid: str, x: str) -> str:
    """Zero the frames of (B, channels, n, bands) that are not valid, (B, n).

    Every convolution pads with zeros, while the previous layer's output for zeros, shifted by the
    batch norm, is not zero.
    """
    mask = g.node("Unsqueeze", valid, g.integers(1, 3))  # (B, 1, n, 1)
    return g.node("Where", mask, x, g.weight("zero", np.float32(0)))


# ------------------------------------------------------------------------------- recurrence


def _unpack_state(g: GraphBuilder, model: CRNN) -> dict[str, str]:
    """Declare ``state`` (B, S) and split it: the name of each part, (B, *shape)."""
    layout = state_layout(model)
    state = g.input("state", ("B", state_size(model)))
    sizes = g.integers(*(math.prod(shape) for shape in layout.values()))
    flat = g.nodes("Split", state, sizes, names=[None] * len(layout), axis=1)
    return {
        part: g.node("Reshape", name, g.integers(0, *shape))
        for (part, shape), name in zip(layout.items(), flat, strict=True)
    }


def _zeros(g: GraphBuilder, features: str, size: int) -> str:
    """Add zeros (B, size) for features (B, T, F)."""
    n_sequences = g.slice(g.node("Shape", features), 0, 1, axis=0)
    shape = g.node("Concat", n_sequences, g.integers(size), axis=0)
    return g.node("ConstantOfShape", shape)  # float zeros by default


def _scan(
    g: GraphBuilder,
    model: CRNN,
    rule: FeedbackRule,
    features: str,
    initial: tuple[str, str | None],
    valid: str | None,
) -> _Recurrent:
    """Add the recurrence over (B, T, F), which pauses where ``valid`` (B, T, 1) is not set.

    Terms independent of the previous step are one product before the loop.
    """
    weight, _ = _input_weights(model)
    projected = g.node("MatMul", features, g.weight("gates_of_features", weight.t()))
    projected = g.node("Add", projected, g.weight("gates_bias", model.cell.bias_ih))  # (B, T, 3H)
    carried = [name for name in initial if name is not None]
    scanned = [projected] if valid is None else [projected, valid]
    results = g.nodes(
        "Scan",
        *carried,
        *scanned,
        names=[*(f"last_{index}" for index in range(len(carried))), "recurrent_outputs"],
        body=_step(model, rule, holds=valid is not None),
        num_scan_inputs=len(scanned),
        scan_input_axes=[1] * len(scanned),
        scan_output_axes=[1],
    )
    if model.has_feedback:
        return _Recurrent(results[2], results[0], results[1])
    return _Recurrent(_readout(g, model, results[1]), results[0], None)


def _step(model: CRNN, rule: FeedbackRule, *, holds: bool) -> onnx.GraphProto:
    """Build one step; its scanned output is the logits, or without feedback the hidden state."""
    g = GraphBuilder(prefix="step_")
    cell, n_fed = model.cell, rule.width * model.n_fed_outputs
    n_carried = rule.carried * model.n_fed_outputs
    hidden = g.input("hidden", ("B", cell.hidden_size))
    carried = g.input("fed", ("B", n_carried)) if model.has_feedback else None
    gates = g.input("gates", ("B", 3 * cell.hidden_size))
    valid = g.input("is_valid", ("B", 1), "bool") if holds else None

    if carried is not None:
        weight = g.weight("gates_of_fed", _input_weights(model)[1].t())
        fed = carried if n_fed == n_carried else g.slice(carried, 0, n_fed, axis=1)
        gates = g.node("Add", gates, g.node("MatMul", fed, weight))
    new = _cell(g, model, gates, hidden)
    outputs: Outputs = {}

    def carry(name: str, value: str, before: str, size: int) -> None:
        if valid is None:
            g.node("Identity", value, name=name)
        else:
            g.node("Where", valid, value, before, name=name)
        outputs[name] = (("B", size), "float")

    carry("next_hidden", new, hidden, cell.hidden_size)
    if carried is None:
        g.node("Identity", new, name="hidden_here")
        outputs["hidden_here"] = (("B", cell.hidden_size), "float")
    else:
        logits = _readout(g, model, new, name="logits_here")
        chosen, of = logits, model.fed_outputs
        if model.n_fed_outputs < model.n_outputs:
            chosen = g.slice(logits, of.start, of.stop, axis=1)
        carry("next_fed", rule.add_to_graph(g, chosen, carried), carried, n_carried)
        outputs[logits] = (("B", model.n_outputs), "float")
    return g.graph("step", outputs)


def _cell(g: GraphBuilder, model: CRNN, gates: str, hidden: str) -> str:
    """Add ``nn.GRUCell``, from the input's part of its gates, (B, 3H), and the hidden state."""
    cell = model.cell
    weight, bias = g.weight("recurrent", cell.weight_hh), g.weight("recurrent_bias", cell.bias_hh)
    recurrent = g.node("Gemm", hidden, weight, bias, transB=1)
    reset_x, update_x, new_x = g.nodes("Split", gates, names=[None] * 3, axis=1)
    reset_h, update_h, new_h = g.nodes("Split", recurrent, names=[None] * 3, axis=1)
    reset = g.node("Sigmoid", g.node("Add", reset_x, reset_h))
    update = g.node("Sigmoid", g.node("Add", update_x, update_h))
    new = g.node("Tanh", g.node("Add", new_x, g.node("Mul", reset, new_h)))
    return g.node("Add", new, g.node("Mul", update, g.node("Sub", hidden, new)))


def _readout(g: GraphBuilder, model: CRNN, hidden: str, name: str | None = None) -> str:
    """Add (..., H) -> (..., C)."""
    product = g.node("MatMul", hidden, g.weight("readout", model.readout.weight.t()))
    return g.node("Add", product, g.weight("readout_bias", model.readout.bias), name=name)


def _gru(g: GraphBuilder, model: CRNN, features: str) -> str:
    """Add ONNX's own GRU and the readout: (B, T, F) -> logits (B, T, C)."""
    cell = model.cell

    def reordered(rows: Tensor) -> Tensor:  # torch: reset, update, new; ONNX: update, reset, new
        reset, update, new = rows.detach().chunk(3)
        return torch.cat([update, reset, new])[None]

    biases = [reordered(cell.bias_ih), reordered(cell.bias_hh)]
    hidden, _ = g.nodes(
        "GRU",
        g.node(
            "Transpose", features, perm=[1, 0, 2]
        ),  # (T, B, F): the only layout that runtimes support
        g.weight("gru_input", reordered(cell.weight_ih)),
        g.weight("gru_recurrent", reordered(cell.weight_hh)),
        g.weight("gru_bias", torch.cat(biases, dim=1)),
        names=[None, None],
        hidden_size=cell.hidden_size,
        linear_before_reset=1,
    )
    in_batch = g.node("Squeeze", g.node("Transpose", hidden, perm=[2, 0, 1, 3]), g.integers(2))
    return _readout(g, model, in_batch)


def _input_weights(model: CRNN) -> tuple[Tensor, Tensor]:
    """Split the cell's input weights into those of features (3H, F) and of feedback (3H, D)."""
    weight = model.cell.weight_ih.detach()
    return weight[:, : model.n_features], weight[:, model.n_features :]
