"""The tasks that there are: which data and which model go with a configuration."""

from __future__ import annotations

from typing import Any

import torch

from sed_cli.config.verbs import AnyTrainConfig, SequenceTrainConfig, TrainConfig
from sed_cli.data.sets import DataSet
from sed_cli.tasks.detection.task import Detection, load_recordings
from sed_cli.tasks.sequence.data import TokenData, load_tokens
from sed_cli.tasks.sequence.task import NextToken
from sed_cli.training.task import Task


def load_data_for(config: AnyTrainConfig, *, look_for_leaks: bool = True) -> DataSet | TokenData:
    """Read what the model of a configuration is trained on.

    Args:
        config: of the run.
        look_for_leaks: warn of recordings that are in two splits.

    Raises:
        UserError: if the data cannot be used.
        SedtfError: if nothing is there to train on.
    """
    if isinstance(config, SequenceTrainConfig):
        return load_tokens(config.data)
    assert isinstance(config, TrainConfig)
    return load_recordings(config, look_for_leaks=look_for_leaks)


def make_task(config: AnyTrainConfig, data: DataSet | TokenData, device: torch.device) -> Task[Any]:
    """Build the model of a configuration, and all that training asks for around it."""
    if isinstance(config, SequenceTrainConfig):
        assert isinstance(data, TokenData)
        return NextToken(config, data, device)
    assert isinstance(config, TrainConfig)
    assert isinstance(data, DataSet)
    return Detection(config, data, device)
