"""The typed configuration: settings, their classes by config group, components and plugins.

Every YAML file in ``conf/`` fills one of these classes, so a wrong type or an unknown key is found
before any work starts; ranges and what settings mean to each other are said by their ``faults``.

Keys equal argument names. Lengths are in samples or frames where the name says nothing, in seconds
with the suffix ``_s``, in hertz for rates and frequencies, in decibels with ``_db``.

What is imported here is what plugins build on (``docs/extending.md``); it stays where it is.
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
