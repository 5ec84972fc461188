"""``task=sequence``: a next-token model, trained with cross-entropy."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.models import LanguageModel
from sed_cli.models.feedbacks import repeatable, rule_in
from sed_cli.sampling import confidence
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.sequence.data import TokenData
from sed_cli.tasks.sequence.data.batches import TokenBatch, join
from sed_cli.tasks.sequence.evaluate import evaluate_sequences, validate_sequences
from sed_cli.tasks.sequence.figures import sequence_learning_curves
from sed_cli.tasks.sequence.load import (
    label_sets,
    load_predictor,
    load_trained,
    save_source_vocabulary,
)
from sed_cli.tasks.sequence.predictor import Predictor, make_language_model
from sed_cli.training.task import Task, Trained, Validation

log = logging.getLogger(__name__)

_MUCH = 2**32  # bytes of a batch's logits; training keeps three or four copies


class NextToken(Task[TokenBatch]):
    """The sequence model of a configuration, with its data.

    Args:
        config: of the run.
        data: with the splits that training needs.
        device: for training.
    """

    model: LanguageModel

    def __init__(self, config: SequenceTrainConfig, data: TokenData, device: torch.device) -> None:
        self._config, self._data = config, data
        self._rule = rule_in(config.sampler)
        self.sentences = data.splits["train"]
        self.predictor = Predictor(
            make_language_model(config.model, data.vocabulary, data.source_vocabulary),
            vocabulary=data.vocabulary,
            source_vocabulary=data.source_vocabulary,
            unit=data.unit,
            source_unit=data.source_unit,
            feedback=self._rule,
            device=device,
        )
        super().__init__(
            model=self.predictor.model,
            device=self.predictor.device,
            is_sampled=True,
            lengths=(self.sentences.lengths + 1).tolist(),  # with the end symbol
            labels=data.vocabulary.symbols,
            fingerprint=data.fingerprint,
        )
        self._warn_of_memory()

    @property
    def sizes(self) -> str:
        """Sequences and tokens per split, and the size of the vocabulary."""
        splits = ", ".join(
            f"{name} {len(sentences)} sequences {sum(len(s.target) for s in sentences)} tokens"
            for name, sentences in self._data.splits.items()
        )
        source = self._data.source_vocabulary
        given = "" if source is None else f", {len(source)} symbols in the sources"
        return f"{splits}; {len(self.labels)} symbols{given}"

    def batch(self, indices: Sequence[int], epoch: int) -> TokenBatch:
        """Join sentences; they are the same in every epoch."""
        return join([self.sentences[index] for index in indices])

    def counts(self, batch: TokenBatch) -> Tensor:
        """Number of targets, including end symbols."""
        return batch.valid.to(self.device).sum()

    def losses(self, batch: TokenBatch, coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the targets, including end symbols."""
        targets = batch.targets.to(self.device)
        valid = batch.valid.to(self.device)
        n_sequences, n_steps = targets.shape
        run = partial(
            self.model,
            lengths=batch.lengths,
            source=None if batch.source is None else batch.source.to(self.device),
            source_lengths=batch.source_lengths,
        )
        if coins.schedule.asks_model:  # of a first, teacher-forced pass
            with torch.no_grad():
                everywhere = torch.ones(n_sequences, n_steps, dtype=torch.bool)
                first = run(targets, everywhere, feedback=repeatable(self._rule))
                fed, mask = coins.choose(targets, confidence.of_tokens(first, targets), valid)
        else:
            fed, mask = targets, coins.draw(n_sequences, n_steps, 1)
        noise = None
        if self._rule.draws:
            noise = coins.noise(n_sequences, n_steps, 1).to(self.device)
        logits = run(fed, mask, feedback=self._rule, noise=noise)
        losses = self._config.trainer.loss.per_output(logits.flatten(0, 1), targets.flatten())
        total = (losses.view(targets.shape) * valid).sum()
        return total, self.counts(batch)

    def validate(self) -> Validation | None:
        """Figures of the validation split, teacher-forced and free-running."""
        sentences = self._data.splits.get("validation")
        return validate_sequences(self.predictor, sentences) if sentences else None

    def describe(self, validation: Validation) -> str:
        """Accuracy in both modes and perplexity."""
        forced = validation.more["validation_forced_accuracy"]
        return (
            f"validation perplexity {validation.more['validation_perplexity']:.3f}  accuracy "
            f"{forced:.3f} teacher forced, {validation.f1:.3f} free running"
        )

    def draw_history(self, history: Path, path: Path, best_epoch: int) -> None:
        """Draw the learning curves over the updates."""
        sequence_learning_curves(history, path, best_epoch=best_epoch)

    @property
    def label_sets(self) -> Mapping[str, Sequence[str]]:
        """The symbols of targets and of sources."""
        return label_sets(self._data.vocabulary, self._data.source_vocabulary)

    def load_trained(self, folder: Path) -> Trained:
        """Load a sequence model."""
        return load_trained(folder)

    def save_extras(self, folder: Path) -> None:
        """Write the vocabulary of the sources, if there are any."""
        save_source_vocabulary(folder, self._data.source_vocabulary)

    def evaluate_best(self, run_dir: Path) -> None:
        """Score the best epoch on the test split, as ``sedtf eval`` does."""
        predictor = load_predictor(run_dir, self.device)
        evaluate_sequences(predictor, self._data, "test", self._config.evaluation, run_dir)

    def _warn_of_memory(self) -> None:
        """Warn if a batch of the longest sequences takes much memory."""
        n = min(self._config.trainer.batch_size, len(self.sentences))
        n_steps, n_tokens = max(self.lengths), len(self._data.vocabulary)
        n_bytes = 4 * n * n_steps * n_tokens
        if n_bytes > _MUCH:
            log.warning(
                "logits of %d sequences of %d targets with %d symbols take %.1f GB, and training "
                "keeps several copies: lower trainer.batch_size, data.max_vocabulary or "
                "data.longest_sequence, or raise data.min_count",
                n,
                n_steps,
                n_tokens,
                n_bytes / 1e9,
            )
