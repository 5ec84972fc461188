"""What the settings of all verbs share, and of those that may ask for more memory than there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sed_cli.config.data import AnyDataConfig, SoundscapesConfig
from sed_cli.config.plugins import files_in_use
from sed_cli.config.settings import DEFAULT, Role, range_faults, setting
from sed_cli.system.memory import GPU_BYTES, has_gpu, memory_bytes

DEVICES = ("auto", "cpu", "cuda")

DEVICE = "auto (CUDA when there is one), cpu, cuda"
_BYTES_A_SAMPLE = 16  # of a recording that is mixed: itself and its background, in float64

CHECKPOINT = "a run folder (its best epoch) or a checkpoint folder"
THREADS = "CPU threads; null: torch's choice"


@dataclass
class VerbConfig:
    """What every verb takes."""

    plugins: list[str] = setting(
        [],
        "Python files with components of your own (docs/extending.md)",
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """All that is wrong with the configuration.

        Args:
            named: the keys that the user gave.
        """
        unknown = {*self.plugins} - {*map(str, files_in_use())}
        return [
            *range_faults(self, ""),
            *(
                f"plugins={file} is set in a config file, and is imported only if the command "
                f"names it: add plugins=[{file}]"
                for file in sorted(unknown)
            ),
        ]


@dataclass
class SizedConfig(VerbConfig):
    """What verbs take whose settings may ask for more memory than there is."""

    memory_limit_gb: float | None = setting(
        None,
        "refuse settings that certainly need more memory; null: the memory of this machine",
        unit="10^9 bytes",
        above=0,
        role=Role.PLACE | Role.FREE,
        before=DEFAULT,
    )

    def memory_faults(
        self, n_bytes: int, what: str, keys: Sequence[str], *, device: str = "cpu"
    ) -> list[str]:
        """Fault of what takes more memory than there is.

        Args:
            n_bytes: that it takes at least.
            what: takes them, for the message.
            keys: of settings that make it smaller.
            device: where; of the memory of GPUs nothing is known here.
        """
        limit = memory_bytes() if self.memory_limit_gb is None else self.memory_limit_gb * 1e9
        if limit is None or not 0 < limit < math.inf:  # the latter is reported already
            return []
        if self.memory_limit_gb is None and device != "cpu" and has_gpu():
            limit = max(limit, GPU_BYTES)
        if n_bytes <= limit:
            return []
        return [
            f"{what} would take at least {n_bytes / 1e9:.3g} GB of memory, and {limit / 1e9:.3g} "
            f"are there: lower {' or '.join(keys)}, or raise memory_limit_gb"
        ]

    def recording_faults(self, data: AnyDataConfig) -> list[str]:
        """Fault of generated recordings that no memory holds."""
        if not isinstance(data, SoundscapesConfig) or range_faults(data, ""):
            return []
        n_bytes = int(data.duration_s * data.sample_rate) * _BYTES_A_SAMPLE
        keys = ("data.duration_s", "data.sample_rate")
        return self.memory_faults(n_bytes, f"a recording of {data.duration_s:g} s", keys)
