"""Settings of all verbs, and of verbs that may need more memory than the machine has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sed_cli.config.data import AnyDataConfig, SoundscapesConfig
from sed_cli.config.plugins import files_in_use
from sed_cli.config.settings import DEFAULT, Role, range_faults, setting
from sed_cli.system.memory import GPU_BYTES, has_gpu, memory_bytes

DEVICES = ("auto", "cpu", "cuda")

DEVICE = "auto (CUDA if available), cpu, cuda"
_BYTES_A_SAMPLE = 16  # of a recording being mixed: foreground and background, in float64

CHECKPOINT = "a run folder (its best epoch) or a checkpoint folder"
THREADS = "CPU threads; null: torch's choice"


@dataclass
class VerbConfig:
    """Settings of every verb."""

    plugins: list[str] = setting(
        [],
        "Python files with components of your own (docs/extending.md)",
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """All faults in the configuration.

        Args:
            named: the keys that the user gave.
        """
        unknown = {*self.plugins} - {*map(str, files_in_use())}
        return [
            *range_faults(self, ""),
            *(
                f"plugins={file} is set in a config file, but plugins are imported only if the "
                f"command names them: add plugins=[{file}]"
                for file in sorted(unknown)
            ),
        ]


@dataclass
class SizedConfig(VerbConfig):
    """Settings of verbs that may need more memory than the machine has."""

    memory_limit_gb: float | None = setting(
        None,
        "reject settings that certainly need more memory; null: the memory of this machine",
        unit="10^9 bytes",
        above=0,
        role=Role.PLACE | Role.FREE,
        before=DEFAULT,
    )

    def memory_faults(
        self, n_bytes: int, what: str, keys: Sequence[str], *, device: str = "cpu"
    ) -> list[str]:
        """Fault if something needs more memory than the machine has.

        Args:
            n_bytes: minimum it needs.
            what: needs them, for the message.
            keys: settings that reduce it.
            device: where; the memory of GPUs is not checked.
        """
        limit = memory_bytes() if self.memory_limit_gb is None else self.memory_limit_gb * 1e9
        if limit is None or not 0 < limit < math.inf:  # the latter has already been reported
            return []
        if self.memory_limit_gb is None and device != "cpu" and has_gpu():
            limit = max(limit, GPU_BYTES)
        if n_bytes <= limit:
            return []
        return [
            f"{what} would take at least {n_bytes / 1e9:.3g} GB of memory, but {limit / 1e9:.3g} "
            f"GB are available: lower {' or '.join(keys)}, or raise memory_limit_gb"
        ]

    def recording_faults(self, data: AnyDataConfig) -> list[str]:
        """Fault if generated recordings do not fit into memory."""
        if not isinstance(data, SoundscapesConfig) or range_faults(data, ""):
            return []
        n_bytes = int(data.duration_s * data.sample_rate) * _BYTES_A_SAMPLE
        keys = ("data.duration_s", "data.sample_rate")
        return self.memory_faults(n_bytes, f"a recording of {data.duration_s:g} s", keys)
