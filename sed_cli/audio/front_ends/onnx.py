"""Features from a pretrained network: any ONNX file that embeds frames."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from sed_cli.audio.front_ends.logmel import MelConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.errors import CheckpointError, DataError
from sed_cli.system.extras import missing

if TYPE_CHECKING:
    from sed_cli.audio.features import LogMel
    from sed_cli.audio.network_features import NetworkFeatures
    from sed_cli.audio.network_windows import Windows
    from sed_cli.audio.networks import Network, NetworkSettings, Output


@component("front_end", "onnx")
class OnnxConfig(MelConfig):
    """Embeddings of a pretrained network, an ONNX file, alone or joined with log-mel.

    The mel settings apply to the network's input if it takes mel bands, and to the joined log-mel
    spectrogram.
    """

    FILE: ClassVar[str] = "front_end.onnx"

    path: str | None = setting(None, "ONNX file of the network; required", role=Role.PATH)
    input_layout: str | None = setting(
        None,
        "axes of its input, one letter each: B batch, T time, M mel bands, 1; BT1 takes samples, "
        "BTM mel bands; null: inferred from the graph",
    )
    input_hop: int | None = setting(
        None,
        "hop of the mel frames of its input; null: hop_length",
        unit="samples",
        at_least=1,
    )
    is_log: bool = setting(True, "whether its mel bands are in dB; false: power")
    window: int | None = setting(
        None,
        "length of its input if the graph accepts any: samples or mel frames; null: a block of "
        "frames and the context",
        at_least=1,
        at_most=2**24,
    )
    context_s: float | None = setting(
        None,
        "minimum context before and after each group of frames; null: an eighth of a fixed "
        "window, otherwise 0.5",
        unit="s",
        at_least=0,
        at_most=60,
    )
    outputs: list[str] = setting([], "names of the outputs to use as features; []: its only output")
    output_layout: str | None = setting(
        None, "axes of an output, one letter each: B, T, F features, 1; null: inferred"
    )
    output_hop: float | None = setting(
        None, "hop of the outputs; null: evenly over a window", unit="samples", above=0
    )
    output_offset: float | None = setting(
        None,
        "position of a window's first output after its first sample; null: half an output_hop",
        unit="samples",
    )
    joined: bool = setting(False, "append the log-mel spectrogram")

    @property
    def n_features(self) -> int:
        """M: of all outputs, and of the mel bands if they are joined."""
        _, outputs = self._plan()
        return sum(size for *_, size in outputs) + (self.n_mels if self.joined else 0)

    def file_faults(self) -> list[str]:
        """Faults in a network that is missing, rejected, or does not fit the settings."""
        for package in ("onnx", "onnxruntime"):
            if faults := missing("feature=onnx", package, "onnx"):
                return faults
        try:
            self._plan()
        except DataError as error:
            return [str(error)]
        return []

    def content(self) -> str:
        """SHA-256 of the network."""
        return self._network().content

    def keep(self, folder: Path) -> None:
        """Copy the network into a checkpoint folder."""
        (folder / self.FILE).write_bytes(self._network().data)

    def kept(self, folder: Path) -> Self:
        """Take the network of a checkpoint folder.

        Raises:
            CheckpointError: if it is missing there, or rejected.
        """
        there = folder / self.FILE
        if not there.is_file():
            raise CheckpointError(
                f"{there}: missing, but the detector needs it for its features: copy {self.path} "
                f"of the training there, or copy the whole checkpoint folder again"
            )
        found = replace(self, path=str(there))
        if faults := found.file_faults():
            raise CheckpointError("; ".join(faults))
        return found

    def build(self) -> NetworkFeatures:
        """Build the front end that runs it."""
        from sed_cli.audio.network_features import NetworkFeatures

        windows, outputs = self._plan()
        takes_mel = self._network().takes_mel
        return NetworkFeatures(
            self._network(),
            outputs=outputs,
            windows=windows,
            mel_in=self._mel(self._input_hop, is_log=self.is_log) if takes_mel else None,
            joined=self._mel(self.hop_length, is_log=True) if self.joined else None,
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
        )

    @property
    def _input_hop(self) -> int:
        return self.input_hop or self.hop_length

    def _mel(self, hop_length: int, *, is_log: bool) -> LogMel:
        from sed_cli.audio.features import LogMel

        of_bands = {each.name: getattr(self, each.name) for each in fields(MelConfig)}
        del of_bands["kind"]
        return LogMel(**{**of_bands, "hop_length": hop_length}, is_log=is_log)

    def _network(self) -> Network:
        """Open the network, or return the open one."""
        from sed_cli.audio.networks import NetworkSettings

        if self.path is None:
            raise DataError("feature.path is not set: name the network, an ONNX file")
        path = Path(self.path).expanduser().absolute()
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:  # reported when it is opened
            stamp = (0, 0, 0)
        asked = NetworkSettings(
            self.n_mels, self.input_layout, tuple(self.outputs), self.output_layout
        )
        return _opened(path, stamp, asked)

    def _plan(self) -> tuple[Windows, list[tuple[Output, int, int]]]:
        """Lay out the windows, and the outputs with their frames and features per window."""
        from sed_cli.audio import network_windows

        asked = network_windows.WindowSettings(
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            window=self.window,
            context_s=self.context_s,
            least_context=self.n_fft // 2 if self.joined else 0,
            input_hop=self._input_hop,
            n_fft=self.n_fft,
            output_hop=self.output_hop,
            output_offset=self.output_offset,
        )
        windows = network_windows.planned(self._network(), asked)
        return windows, self._network().outputs_for(windows.along)


@lru_cache(maxsize=2)
def _opened(path: Path, stamp: tuple[int, int, int], asked: NetworkSettings) -> Network:
    """Open a network only once per command."""
    from sed_cli.audio.networks import Network

    return Network(path, asked)
