"""Sequence models of labels that score the order of events for a detector's decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sed_cli.config.tokens import LabelsConfig
from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.errors import UserError
from sed_cli.tasks.sequence.data import Vocabulary, load_tokens
from sed_cli.tasks.sequence.data.labels import as_word
from sed_cli.tasks.sequence.data.vocabulary import END, SPECIAL
from sed_cli.tasks.sequence.load import load_predictor
from sed_cli.tasks.sequence.ngrams import NGramModel
from sed_cli.tasks.sequence.predictor import Predictor
from sed_cli.training.checkpoint import read_config_of, resolve_checkpoint

Floats = NDArray[np.float64]

_ORDER = 4  # of an n-gram model; smoothing handles rare n-grams
_AT_ONCE = 1024  # prefixes


def load_label_model(checkpoint: str | Path, kind: str) -> RecurrentLabels | NGramLabels:
    """Load a label model from a checkpoint or run of ``task=sequence data=labels``.

    Args:
        checkpoint: its folder.
        kind: ``recurrent``: the model itself; ``ngram``: an n-gram model of its training labels.

    Raises:
        CheckpointError: if the folder is missing, incomplete, or contains a detector.
        UserError: if the model was trained on sequences other than labels.
        DataError: if the labels for an n-gram model no longer exist.
    """
    config = read_config_of(resolve_checkpoint(checkpoint), SequenceTrainConfig)
    if not isinstance(config.data, LabelsConfig):
        raise UserError(
            f"{checkpoint}: a model of data={config.data.kind}; expected one of event labels, from "
            f"sedtf train task=sequence data=labels"
        )
    predictor = load_predictor(checkpoint)
    gap_s, vocabulary = config.data.gap, predictor.vocabulary
    if kind == "recurrent":
        return RecurrentLabels(
            name=f"the language model {checkpoint}",
            predictor=predictor,
            gap_s=gap_s,
            vocabulary=vocabulary,
        )
    known = (vocabulary, predictor.source_vocabulary)
    training = load_tokens(config.data, known).splits["train"]
    model = NGramModel(
        (training.targets[number] for number in range(len(training))),
        n_tokens=len(vocabulary),
        order=_ORDER,
    )
    return NGramLabels(
        name=f"the {_ORDER}-grams of {checkpoint}", model=model, gap_s=gap_s, vocabulary=vocabulary
    )


@dataclass(frozen=True, kw_only=True)
class _Labels:
    """A vocabulary viewed as labels.

    Args:
        name: of the model, for messages.
        gap_s: maximum silence within a sequence.
        vocabulary: of the model.
    """

    name: str
    gap_s: float | None
    vocabulary: Vocabulary

    def column(self, label: str) -> int | None:
        """Column of a label in the predictions; ``None``: it is not in the vocabulary."""
        word = as_word(label)
        return int(self._encode([word])[0]) - len(SPECIAL) if word in self.vocabulary else None

    def _encode(self, labels: Sequence[str]) -> NDArray[np.int64]:
        return self.vocabulary.encode([as_word(label) for label in labels])

    @staticmethod
    def _ordered(probabilities: Floats) -> Floats:
        """Reorder columns of tokens (n, C) to those of labels, followed by the end."""
        return np.concatenate([probabilities[:, len(SPECIAL) :], probabilities[:, [END]]], axis=1)


@dataclass(frozen=True, kw_only=True)
class RecurrentLabels(_Labels):
    """The recurrent model of a run."""

    predictor: Predictor

    def predict(self, prefixes: Sequence[Sequence[str]]) -> Floats:
        """Probabilities of each label, and of the end, after prefixes: (n, L + 1)."""
        encoded = [self._encode(prefix) for prefix in prefixes]
        parts = [np.zeros((0, len(self.vocabulary)))]
        for start in range(0, len(encoded), _AT_ONCE):
            logits = self.predictor.next_logits(encoded[start : start + _AT_ONCE])
            parts.append(torch.softmax(logits.double(), dim=1).cpu().numpy())
        return self._ordered(np.concatenate(parts))


@dataclass(frozen=True, kw_only=True)
class NGramLabels(_Labels):
    """An n-gram model of the training labels of a run."""

    model: NGramModel

    def predict(self, prefixes: Sequence[Sequence[str]]) -> Floats:
        """Probabilities of each label, and of the end, after prefixes: (n, L + 1)."""
        rows = [self.model.probabilities(self._encode(one).tolist()) for one in prefixes]
        return self._ordered(np.stack(rows))
