"""Building an ONNX graph from nodes and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

# Supported by runtimes since 2022; nothing newer is needed.
_OPSET, _IR_VERSION = 17, 8
_TYPES = {"float": TensorProto.FLOAT, "bool": TensorProto.BOOL}

Axes = Sequence[int | str]
Outputs = dict[str, tuple[Axes, str]]  # name: axes and type


class GraphBuilder:
    """Collects nodes; results are identified by name.

    Args:
        prefix: of all generated names, so that a nested graph has its own.
    """

    FLOAT = TensorProto.FLOAT

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, axes: Axes, kind: str = "float") -> str:
        """Declare an input; named axes may have any length."""
        self._inputs.append(_value(name, axes, kind))
        return name

    def weight(self, name: str, values: Tensor | NDArray[Any] | np.float32) -> str:
        """Add a constant tensor."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        name = self._prefix + name
        self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> str:
        """Add a constant vector of integers: an operand rather than an attribute, such as axes."""
        name = "integers_" + "_".join(map(str, values)).replace("-", "minus")
        return self.weight(name, np.array(values, dtype=np.int64))

    def node(self, kind: str, *operands: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one result; return the result's name."""
        return self.nodes(kind, *operands, names=[name], **attributes)[0]

    def nodes(
        self, kind: str, *operands: str, names: Sequence[str | None], **attributes: Any
    ) -> list[str]:
        """Add a node with several results; None: a generated name."""
        results = [
            name or f"{self._prefix}{kind.lower()}_{len(self._nodes)}_{index}"
            for index, name in enumerate(names)
        ]
        self._nodes.append(helper.make_node(kind, list(operands), results, **attributes))
        return results

    def slice(self, tensor: str, start: int, stop: int | None, axis: int) -> str:
        """Add ``tensor[start:stop]`` along an axis; None: to the end."""
        end = np.iinfo(np.int64).max if stop is None else stop
        return self.node(
            "Slice", tensor, self.integers(start), self.integers(int(end)), self.integers(axis)
        )

    def graph(self, name: str, outputs: Outputs) -> onnx.GraphProto:
        """Close the graph, with the axes and the type of each of its outputs."""
        values = [_value(output, axes, kind) for output, (axes, kind) in outputs.items()]
        return helper.make_graph(
            self._nodes, name, self._inputs, values, list(self._weights.values())
        )


def make_model(
    graph: onnx.GraphProto, metadata: Mapping[str, str], version: str
) -> onnx.ModelProto:
    """Wrap a graph into a model with metadata, and check it by ONNX's rules."""
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="sedtf",
        producer_version=version,
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(name: str, axes: Axes, kind: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _TYPES[kind], list(axes))
