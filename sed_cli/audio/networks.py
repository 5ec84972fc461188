"""Pretrained networks that embed frames: ONNX files, checked before anything runs.

Standard operators only compute. Anything else is rejected: operators of other domains, and
tensors in other files. Sizes are bounded.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sed_cli.errors import DataError
from sed_cli.system.extras import imported
from sed_cli.system.limits import SIZE_VARIABLE, raised_size
from sed_cli.system.structured import UnreadableError, open_regular
from sed_cli.system.text import one_line

MOST_BYTES = 256 << 20
MOST_FEATURES = 2**14  # numbers per frame
_MOST_VALUES = 2**26  # numbers in a window, and in an output for several
_LONGEST_S, _MANY = 120.0, 10  # for the first window, of a few seconds; times that for several
_MOST_MEMORY = 4 << 30  # bytes, of all networks of a process
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")

BATCH, TIME, BANDS, FEATURES, ONE = "B", "T", "M", "F", "1"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a network; None and (): to be inferred."""

    n_mels: int
    input_layout: str | None
    outputs: tuple[str, ...]
    output_layout: str | None


@dataclass(frozen=True)
class Output:
    """One of the outputs to use.

    Args:
        name: in the graph.
        layout: one letter per axis.
    """

    name: str
    layout: str


class Network:
    """A checked network, ready to run on windows of one length.

    Args:
        path: of the file, for messages.
        asked: its settings.

    Attributes:
        data: contents of the file.
        content: its SHA-256.
        layout: of the input, one letter per axis: ``BT1``; with ``M`` it takes mel bands.
        length: of a window along time, in samples or mel frames; None: any.

    Raises:
        DataError: if it cannot be read, is not allowed, or does not fit the settings.
    """

    def __init__(self, path: Path, asked: NetworkSettings) -> None:
        self.path, self._asked = path, asked
        self._outputs: dict[int, list[tuple[Output, int, int]]] = {}
        self.data = _read(path)
        self.content = hashlib.sha256(self.data).hexdigest()
        _check(path, self.data)
        self._session = _session(path, self.data)
        self._input = self._only_input()
        self.layout = asked.input_layout or self._guessed_layout(self._input.shape)
        if sorted(self.layout.replace(ONE, "")) not in (
            ["T"],
            ["B", "T"],
            ["M", "T"],
            ["B", "M", "T"],
        ):
            raise DataError(
                f"feature.input_layout={self.layout}: expected a letter for each axis, B batch, T "
                f"time, M mel bands and 1, such as BT1 for waveforms or BTM for mel bands"
            )
        if len(self.layout) != len(self._input.shape):
            raise self._fault(f"its input has axes {self._input.shape}, not {self.layout}")
        self.length = self._fixed(TIME)
        if self.takes_mel and self._fixed(BANDS) not in (None, asked.n_mels):
            raise self._fault(
                f"takes {self._fixed(BANDS)} mel bands, but feature.n_mels={asked.n_mels}: set "
                f"feature.n_mels={self._fixed(BANDS)}"
            )

    @property
    def takes_mel(self) -> bool:
        """Whether it takes mel bands, else samples."""
        return BANDS in self.layout

    def outputs_for(self, length: int) -> list[tuple[Output, int, int]]:
        """The outputs to use, with their frames J and features D for windows of a length."""
        if length not in self._outputs:
            self._outputs[length] = self._tried(length)
        return self._outputs[length]

    def _tried(self, length: int) -> list[tuple[Output, int, int]]:
        names = self._chosen_names()
        silence = self._silence(length)
        shapes = [values.shape for values in self._run(silence, names, is_first=True)]
        if self.length is None and self._asked.output_layout is None:
            longer = [values.shape for values in self._run(self._silence(2 * length), names)]
        else:
            longer = shapes
        found = []
        for name, shape, other in zip(names, shapes, longer, strict=True):
            layout = self._asked.output_layout or self._guessed_output(name, shape, other)
            if len(layout) != len(shape) or not _is_output(layout, shape):
                raise self._fault(
                    f"its output {name} has shape {shape}, not axes {layout}: name each with a "
                    f"letter in feature.output_layout, B batch, T time, F features and 1"
                )
            sizes = dict.fromkeys("BT", 1)
            n_features = 1
            for letter, size in zip(layout, shape, strict=True):
                n_features *= size if letter == FEATURES else 1
                sizes[letter] = size
            if not 0 < n_features <= MOST_FEATURES or not sizes[TIME]:
                raise self._fault(
                    f"its output {name} of shape {shape} has {n_features} features in "
                    f"{sizes[TIME]} frames: expected 1 to {MOST_FEATURES} in one or more"
                )
            found.append((Output(name, layout), sizes[TIME], n_features))
        return found

    def run(self, windows: Floats, outputs: Sequence[Output]) -> list[Floats]:
        """Run on windows (N, L), or (N, L, M) of mel bands: outputs (N, J, D) each."""
        is_joined = BATCH in self.layout and self._fixed(BATCH) in (None, len(windows))
        parts = [windows] if is_joined else [window[None] for window in windows]
        names = [output.name for output in outputs]
        runs = [self._run(self._arranged(part), names) for part in parts]
        return [
            np.concatenate([_in_order(values[k], output.layout) for values in runs])
            for k, output in enumerate(outputs)
        ]

    def _run(self, values: Floats, names: Sequence[str], *, is_first: bool = False) -> list[Floats]:
        within_s = _LONGEST_S if is_first else _MANY * _LONGEST_S
        try:
            found = _run_within(self._session, list(names), {self._input.name: values}, within_s)
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise self._fault(
                f"does not run on an input of shape {values.shape} ({one_line(error)}): see "
                f"feature.input_layout and feature.window"
            ) from error
        for name, each in zip(names, found, strict=True):
            if each.dtype != np.float32 or each.size > _MOST_VALUES:
                raise self._fault(
                    f"its output {name} is {each.dtype} of shape {each.shape}: expected float32, "
                    f"at most {_MOST_VALUES} numbers; choose others by feature.outputs"
                )
        return list(found)

    def _arranged(self, values: Floats) -> Floats:
        """Rearrange (N, L) or (N, L, M) to the input's axes."""
        given = "BTM" if self.takes_mel else "BT"
        wanted = self.layout.replace(ONE, "")
        if BATCH not in wanted:
            values, given = values[0], given[1:]
        values = values.transpose([given.index(letter) for letter in wanted])
        for axis, letter in enumerate(self.layout):
            if letter == ONE:
                values = np.expand_dims(values, axis)
        return np.ascontiguousarray(values)

    def _silence(self, length: int) -> Floats:
        if length * (self._asked.n_mels if self.takes_mel else 1) > _MOST_VALUES:
            raise self._fault(
                f"takes windows of {length}, more than is plausible: expected a few seconds"
            )
        shape = (1, length, self._asked.n_mels) if self.takes_mel else (1, length)
        return self._arranged(np.zeros(shape, np.float32))

    def _only_input(self) -> Any:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            given = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise self._fault(f"takes {given or 'nothing'}: expected one input of float32")
        return inputs[0]

    def _fixed(self, letter: str) -> int | None:
        """Size of an axis of the input, if the graph fixes it."""
        if letter not in self.layout:
            return None
        size = self._input.shape[self.layout.index(letter)]
        return size if isinstance(size, int) else None

    def _guessed_layout(self, shape: Sequence[Any]) -> str:
        """Letters of the input's axes: batch first, then axes longer than 1."""
        rest = [axis for axis in range(1 if len(shape) > 1 else 0, len(shape)) if shape[axis] != 1]
        letters = [ONE] * len(shape)
        letters[0] = BATCH
        bands = [axis for axis in rest if shape[axis] == self._asked.n_mels]
        if len(rest) == 1:
            letters[rest[0]] = TIME
        elif len(rest) == 2 and len(bands) == 1:
            letters[bands[0]] = BANDS
            letters[next(axis for axis in rest if axis != bands[0])] = TIME
        else:
            raise self._fault(
                f"its input has axes {list(shape)}: name each with feature.input_layout, such as "
                "BTM with feature.n_mels bands"
            )
        return "".join(letters)

    def _chosen_names(self) -> list[str]:
        there = [output.name for output in self._session.get_outputs()]
        shapes = ", ".join(f"{each.name} {each.shape}" for each in self._session.get_outputs())
        if not self._asked.outputs and len(there) == 1:
            return there
        if not self._asked.outputs or not set(self._asked.outputs) <= set(there):
            raise self._fault(f"gives {shapes}: choose by feature.outputs=['NAME']")
        return list(self._asked.outputs)

    def _guessed_output(self, name: str, shape: Sequence[int], longer: Sequence[int]) -> str:
        """Letters of an output's axes: time grows with the window, else it is the first."""
        letters = [FEATURES] * len(shape)
        start = 1 if BATCH in self.layout and len(shape) > 1 and shape[0] == 1 else 0
        if start:
            letters[0] = BATCH
        rest = list(range(start, len(shape)))
        if len(rest) > 2:
            for axis in [axis for axis in rest if shape[axis] == 1]:
                letters[axis] = ONE
            rest = [axis for axis in rest if shape[axis] > 1]
        growing = [axis for axis in rest if longer[axis] != shape[axis]]
        is_known = len(growing) <= 1 and len(rest) <= 2
        if not is_known:
            raise self._fault(
                f"its output {name} has shape {tuple(shape)}: name each axis with "
                "feature.output_layout, such as BTF"
            )
        if self.length is None and shape != longer:
            letters[growing[0]] = TIME
        elif self.length is not None and len(rest) == 2:
            letters[rest[0]] = TIME
        return "".join(letters)

    def _fault(self, what: str) -> DataError:
        return DataError(f"feature.path={self.path}: {what}")


def _is_output(layout: str, shape: Sequence[int]) -> bool:
    """Whether letters fit an output, and axes named 1 have size 1."""
    return (
        {*layout} <= {*"BTF1"}
        and FEATURES in layout
        and max(layout.count(BATCH), layout.count(TIME)) <= 1
        and all(size == 1 for letter, size in zip(layout, shape, strict=True) if letter == ONE)
    )


def _in_order(values: Floats, layout: str) -> Floats:
    """Rearrange an output of any layout to (N, J, D)."""
    order = [axis for letter in "BTF1" for axis, own in enumerate(layout) if own == letter]
    n = values.shape[layout.index(BATCH)] if BATCH in layout else 1
    n_frames = values.shape[layout.index(TIME)] if TIME in layout else 1
    return values.transpose(order).reshape(n, n_frames, -1)


def _read(path: Path) -> bytes:
    advice, most = "name the network, an ONNX file", raised_size(MOST_BYTES)
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except FileNotFoundError as error:
        raise DataError(f"feature.path={path}: no such file: {advice}") from error
    except UnreadableError as error:
        raise DataError(f"feature.path={path}: is not a file: {advice}") from error
    except OSError as error:
        raise DataError(f"feature.path={path}: cannot be read ({error.strerror})") from error
    if len(data) > most:
        raise DataError(
            f"feature.path={path}: larger than {most >> 20} MiB, the limit (the variable "
            f"{SIZE_VARIABLE} raises it)"
        )
    return data


def _check(path: Path, data: bytes) -> None:
    """Reject files that are not ONNX, or refer to anything outside."""
    onnx = imported("feature=onnx", "onnx", "onnx")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise DataError(f"feature.path={path}: is not an ONNX file ({one_line(error)})") from error
    own = {(function.domain, function.name) for function in model.functions}
    for message in _messages(model):
        if message.DESCRIPTOR.name == "TensorProto" and (
            message.external_data or message.data_location == onnx.TensorProto.EXTERNAL
        ):
            raise DataError(
                f"feature.path={path}: its weights {message.name} are in another file: save it "
                f"as one, such as with onnx.save_model(..., save_as_external_data=False)"
            )
        if message.DESCRIPTOR.name == "NodeProto" and not (
            message.domain in _DOMAINS or (message.domain, message.op_type) in own
        ):
            raise DataError(
                f"feature.path={path}: operator {message.domain}.{message.op_type} is not one "
                f"of ONNX's own, and sedtf runs no others: export it with standard operators"
            )


def _messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all messages within it: node attributes may hold graphs."""
    waiting = [message]
    while waiting:
        one = waiting.pop()
        yield one
        for field, value in one.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def _run_within(
    session: Any, names: list[str], given: dict[str, Floats], within_s: float
) -> Sequence[Any]:
    """Run a network; end it if it takes longer, as a loop without end does."""
    options = imported("feature=onnx", "onnxruntime", "onnx").RunOptions()

    def end() -> None:
        options.terminate = True

    timer = threading.Timer(within_s, end)
    timer.daemon = True
    timer.start()
    try:
        return cast(Sequence[Any], session.run(names, given, options))
    finally:
        timer.cancel()


@cache
def _bound_memory(runtime: Any) -> None:
    """Limit what networks allocate in this process: a few bytes may ask for any constant."""
    memory = runtime.OrtMemoryInfo(
        "Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT
    )
    limit = runtime.OrtArenaCfg({"max_mem": raised_size(_MOST_MEMORY)})
    runtime.create_and_register_allocator(memory, limit)


def _session(path: Path, data: bytes) -> Any:
    runtime = imported("feature=onnx", "onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # with more threads, sums have another order
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is reported once, by its exception
    _bound_memory(runtime)
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(
            f"feature.path={path}: onnxruntime rejects it ({one_line(error)})"
        ) from error
