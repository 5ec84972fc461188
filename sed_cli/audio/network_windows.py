"""Windows of a network's input, and alignment of its outputs with frames in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio.limits import BLOCK_FRAMES
from sed_cli.audio.networks import Network
from sed_cli.errors import DataError

_CONTEXT_S = 0.5  # unless the graph or the settings determine it
_SHARE = 8  # divisor of a fixed window's length: context on each side


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Positions of a network's windows and outputs, in samples at the rate of the features.

    Args:
        length: of a window.
        along: the same as counted by the network, in samples or mel frames.
        context: on each side of the group of frames in it.
        group: frames in it, a divisor of :data:`BLOCK_FRAMES`.
        start: where the first output's share of the window starts ...
        extent: ... and how much all outputs cover.
        output_hop: from one output to the next; None: evenly spaced over their extent.
        output_offset: of the first output from the window's first sample; None: half an output
            into their extent.
    """

    length: int
    along: int
    context: int
    group: int
    start: float
    extent: float
    output_hop: float | None = None
    output_offset: float | None = None

    def outputs_at(self, n_outputs: int) -> NDArray[np.float64]:
        """Positions of the outputs in samples from the start of the window, (J,)."""
        hop = self.extent / n_outputs if self.output_hop is None else self.output_hop
        first = self.start + hop / 2 if self.output_offset is None else self.output_offset
        return first + hop * np.arange(n_outputs, dtype=np.float64)

    def alignment(self, n_outputs: int, hop_length: int) -> NDArray[np.float64]:
        """Weights (group, J) from outputs to frames.

        A frame is the mean of the outputs near its centre, weighted by proximity: down to 0 at the
        distance of a hop of the frames or of the outputs, whichever is longer. Between sparse
        outputs this is linear interpolation; dense ones are all used. The first and last output are
        extended outwards.
        """
        outputs = self.outputs_at(n_outputs)
        frames = self.context + hop_length * np.arange(self.group)
        frames = np.clip(frames, outputs[0], outputs[-1])
        spacing = self.extent / n_outputs if self.output_hop is None else self.output_hop
        apart = np.abs(frames[:, None] - outputs) / max(hop_length, spacing)
        weights = np.clip(1 - apart, 0, None)
        aligned: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return aligned


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Settings of windows, in samples unless stated otherwise.

    Args:
        sample_rate: in Hz.
        hop_length: of the frames.
        window: along time, as the network counts it; None: by the graph, or to fit a block.
        context_s: at least, in seconds; None: a share of a fixed window, or half a second.
        least_context: minimum that joined log-mel needs.
        input_hop: of the mel frames that the network takes.
        n_fft: of these.
        output_hop: see :class:`Windows`.
        output_offset: see :class:`Windows`.
    """

    sample_rate: int
    hop_length: int
    window: int | None
    context_s: float | None
    least_context: int
    input_hop: int
    n_fft: int
    output_hop: float | None
    output_offset: float | None


def planned(network: Network, asked: WindowSettings) -> Windows:
    """Lay out windows: the largest groups of frames that leave the context room.

    Raises:
        DataError: if windows of the network's length are too short.
    """
    if network.length is not None and asked.window not in (None, network.length):
        raise DataError(
            f"feature.window={asked.window}, but {network.path} takes windows of "
            f"{network.length}: drop it"
        )
    along = network.length or asked.window
    wanted = _wanted_context(network, asked, along)
    if along is None:
        along = _in_its_units(network, asked, (BLOCK_FRAMES - 1) * asked.hop_length + 2 * wanted)
    length = (along - 1) * asked.input_hop + asked.n_fft if network.takes_mel else along
    groups = [BLOCK_FRAMES >> power for power in range(BLOCK_FRAMES.bit_length())]
    contexts = [(length - (group - 1) * asked.hop_length) // 2 for group in groups]
    fitting = [pair for pair in zip(groups, contexts, strict=True) if pair[1] >= wanted]
    if not fitting:
        raise DataError(
            f"feature.path={network.path}: its windows of {length} samples leave a context of at "
            f"most {length / 2 / asked.sample_rate:.3f} s, and {wanted / asked.sample_rate:.3f} s "
            f"are needed: lower feature.context_s"
            + (", or drop feature.joined" if wanted == asked.least_context else "")
        )
    group, context = fitting[0]
    is_mel = network.takes_mel
    return Windows(
        length=length,
        along=along,
        context=context,
        group=group,
        start=(asked.n_fft - asked.input_hop) / 2 if is_mel else 0.0,
        extent=float(along * asked.input_hop if is_mel else length),
        output_hop=asked.output_hop,
        output_offset=asked.output_offset,
    )


def _wanted_context(network: Network, asked: WindowSettings, along: int | None) -> int:
    if asked.context_s is not None:
        wanted = round(asked.context_s * asked.sample_rate)
    elif along is not None:
        wanted = along * (asked.input_hop if network.takes_mel else 1) // _SHARE
    else:
        wanted = round(_CONTEXT_S * asked.sample_rate)
    return max(wanted, asked.least_context, 1)


def _in_its_units(network: Network, asked: WindowSettings, n_samples: int) -> int:
    """Samples, or the mel frames that cover them: the same number on each side of the frames."""
    if not network.takes_mel:
        return n_samples
    return max(2, 2 * math.ceil((1 + (n_samples - asked.n_fft) / asked.input_hop) / 2))
