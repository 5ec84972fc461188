"""The typed configuration: settings, their classes by config group, components and plugins.

Every YAML file in ``conf/`` fills one of these classes, so a wrong type or an unknown key is found
before any work starts; their ``faults`` check ranges and settings that depend on each other.

Keys equal argument names. Lengths are in samples or frames unless the name has a suffix: in seconds
with the suffix ``_s``, in hertz for rates and frequencies, in decibels with ``_db``.

Plugins import these names from here (``docs/extending.md``), so they must not move.
"""

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.training import (
    DetectorModelConfig,
    FeatureConfig,
    LossConfig,
    LrScheduleConfig,
    OptimizerConfig,
    SequenceModelConfig,
)

__all__ = [
    "DecoderConfig",
    "DetectorModelConfig",
    "FeatureConfig",
    "LossConfig",
    "LrScheduleConfig",
    "OptimizerConfig",
    "Role",
    "SequenceModelConfig",
    "component",
    "setting",
]
