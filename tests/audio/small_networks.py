"""Small ONNX networks, for tests of front ends that use external networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

POOL = 128  # samples of an output of the energy network

Shape = Sequence[int | str]


def write(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, Shape]],
    outputs: Sequence[tuple[str, Shape]],
    *,
    weights: Sequence[Any] = (),
    domains: Sequence[tuple[str, int]] = (("", 15),),
) -> Path:
    """Write a network with some nodes."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        initializer=list(weights),
    )
    opsets = [helper.make_opsetid(*domain) for domain in domains]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def energy(path: Path, length: int | str = 40 * POOL) -> Path:
    """Mean and sum of squares of POOL samples each: (B, L, 1) -> (B, J, 2)."""
    kernel = np.stack([np.full((1, POOL), 1 / POOL), np.ones((1, POOL))]).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["samples", "samples"], ["squares"]),
        helper.make_node("Transpose", ["squares"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["rows", "kernel"], ["pooled"], strides=[POOL]),
        helper.make_node("Transpose", ["pooled"], ["embedded"], perm=[0, 2, 1]),
    ]
    weights = [numpy_helper.from_array(kernel, "kernel")]
    return write(
        path, nodes, [("samples", ["B", length, 1])], [("embedded", ["B", "J", 2])], weights=weights
    )


def identity(path: Path, shape: Shape) -> Path:
    """The identity: (...) -> (...)."""
    nodes = [helper.make_node("Identity", ["given"], ["same"])]
    return write(path, nodes, [("given", shape)], [("same", shape)])
