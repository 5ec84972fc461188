"""Score sequence models: perplexity and accuracy by step, teacher-forced and free-running.

Every sequence of n tokens is scored on n + 1 targets, including its end symbol. *Teacher-forced*,
each step is independent of earlier errors; *free-running*, the model is fed its own choices, so
that every step inherits them. Scheduled sampling is meant to close the gap between the two.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import SequenceEvaluationConfig
from sed_cli.config.provenance import RunRecord, choose_device, set_threads
from sed_cli.config.tokens import TOKEN_SETS, PairsConfig, TokenSetConfig
from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.errors import UserError
from sed_cli.system.distributed import share_of, summed
from sed_cli.system.files import json_text, replacing, write_text
from sed_cli.tasks.sequence.data import UNKNOWN, Sentence, TokenData, load_tokens
from sed_cli.tasks.sequence.data.batches import TokenBatch
from sed_cli.tasks.sequence.figures import draw_by_step, print_sequence_metrics
from sed_cli.tasks.sequence.load import load_predictor
from sed_cli.tasks.sequence.ngrams import ngram_perplexities
from sed_cli.tasks.sequence.predictor import Decoding, Predictor
from sed_cli.training.checkpoint import read_config_of
from sed_cli.training.task import Validation

log = logging.getLogger(__name__)

WAYS = ("teacher_forced", "free_running")


@dataclass
class Sums:
    """Sums for one mode, by step from the first, and over whole sequences."""

    n: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (T,)
    loss: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (T,), natural
    correct: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (T,)
    n_sequences: int = 0
    n_exact: int = 0

    def add(self, logits: Tensor, batch: TokenBatch) -> None:
        """Add a batch: logits (B, T, C)."""
        targets, valid = batch.targets.to(logits.device), batch.valid.to(logits.device)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = torch.where(valid, losses.view(targets.shape), 0.0)
        correct = (logits.argmax(2) == targets) & valid
        self.n = _plus(self.n, valid.sum(0).cpu().numpy())
        self.loss = _plus(self.loss, losses.double().sum(0).cpu().numpy())
        self.correct = _plus(self.correct, correct.sum(0).cpu().numpy())
        self.n_sequences += len(targets)
        self.n_exact += int((correct.sum(1) == valid.sum(1)).sum())

    @property
    def mean_loss(self) -> float:
        """Nats per target."""
        return float(self.loss.sum() / self.n.sum()) if self.n.sum() else math.nan

    @property
    def accuracy(self) -> float:
        """Share of targets that are the most likely token."""
        return float(self.correct.sum() / self.n.sum()) if self.n.sum() else math.nan

    def figures(self) -> dict[str, Any]:
        """The figures for ``metrics.json``."""
        return {
            "loss": self.mean_loss,
            "perplexity": perplexity(self.mean_loss),
            "accuracy": self.accuracy,
            "exact_match": self.n_exact / self.n_sequences if self.n_sequences else math.nan,
            "counts": {
                "n_targets": int(self.n.sum()),
                "n_correct": int(self.correct.sum()),
                "n_sequences": self.n_sequences,
                "n_exact": self.n_exact,
                "loss_sum": float(self.loss.sum()),
            },
        }

    def by_step(self) -> dict[str, list[float]]:
        """Mean loss and accuracy at each step."""
        return {
            "loss": (self.loss / self.n).tolist(),
            "accuracy": (self.correct / self.n).tolist(),
        }


def _plus(total: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
    """Add up rows of different lengths."""
    longer, shorter = (total, more) if len(total) >= len(more) else (more, total)
    result = longer.copy()
    result[: len(shorter)] += shorter
    return result


def perplexity(loss: float) -> float:
    """Perplexity for a mean loss in nats; infinite if it overflows."""
    return math.exp(loss) if loss < 700 else math.inf


def sum_up(predictor: Predictor, sentences: Sequence[Sentence]) -> dict[str, Sums]:
    """Run over sentences in both modes."""
    sums = {way: Sums() for way in WAYS}
    for _, batch, logits in predictor.run_both_ways(sentences):
        for way in WAYS:
            sums[way].add(logits[way], batch)
    return sums


def validate_sequences(predictor: Predictor, sentences: Sequence[Sentence]) -> Validation:
    """Free-running loss and accuracy, teacher-forced perplexity and accuracy.

    For single labels, F1 is the accuracy, and the error rate is 1 minus the accuracy.
    """
    sums = sum_up(predictor, share_of(sentences))
    totals = [[of.n.sum(), of.loss.sum(), of.correct.sum()] for of in sums.values()]
    forced, free = summed(torch.tensor(totals, dtype=torch.float64)).tolist()  # over all ranks
    accuracy = free[2] / free[0]
    return Validation(
        free[1] / free[0],
        accuracy,
        1.0 - accuracy,
        {
            "validation_perplexity": perplexity(forced[1] / forced[0]),
            "validation_forced_accuracy": forced[2] / forced[0],
        },
    )


# ------------------------------------------------------------------------------- evaluation


def evaluate_sequences(
    predictor: Predictor,
    data: TokenData,
    split: str,
    evaluation: SequenceEvaluationConfig,
    run_dir: Path,
) -> dict[str, Any] | None:
    """Score a split; write ``metrics.json``, ``predictions.tsv`` and the figure, and print.

    Returns:
        The content of ``metrics.json``; None if the split is empty.
    """
    sentences = data.splits.get(split)
    if not sentences:
        log.warning("no %s split: nothing to evaluate on", split)
        return None
    sums = sum_up(predictor, sentences)
    forced = sums["teacher_forced"]
    metrics: dict[str, Any] = {
        "task": "sequence",
        "split": split,
        "n_sequences": len(sentences),
        "n_targets": int(forced.n.sum()),
        "n_unknown": int(sum((s.target == UNKNOWN).sum() for s in sentences)),
        "perplexity": perplexity(forced.mean_loss),
        "accuracy": sums["free_running"].accuracy,
        **{way: sums[way].figures() for way in WAYS},
        "best_possible_perplexity": perplexity(data.entropies[split]) if data.entropies else None,
        "ngrams": _ngrams(data, split, evaluation.ngrams),
        "decoded": {},
        "by_step": {
            "n": forced.n.tolist(),
            **{way: sums[way].by_step() for way in WAYS},
        },
    }
    if data.source_vocabulary is not None:
        metrics["decoded"] = _decode(predictor, sentences, evaluation, run_dir)
    write_text(run_dir / "metrics.json", json_text(metrics))
    draw_by_step(metrics, run_dir / "figures" / "by_step.png")
    print_sequence_metrics(metrics, run_dir)
    return metrics


def _ngrams(data: TokenData, split: str, orders: Sequence[int]) -> dict[str, float]:
    """Perplexity of 1-, 2- and 3-gram counts, by order: the level of a model without memory."""
    if not orders or data.source_vocabulary is not None:
        return {}
    train, test = ([s.target for s in data.splits[name]] for name in ("train", split))
    found = ngram_perplexities(train, test, len(data.vocabulary), orders=tuple(orders))
    return {str(order): value for order, value in found.items()}


def _decode(
    predictor: Predictor,
    sentences: Sequence[Sentence],
    evaluation: SequenceEvaluationConfig,
    run_dir: Path,
) -> dict[str, dict[str, float | None]]:
    """Translate all sources, greedily and by beam search, and compare them with the targets."""
    sources = [s.source for s in sentences if s.source is not None]
    nothing = [np.zeros(0, np.int64)] * len(sources)
    longest = 2 * max(len(s.target) for s in sentences) + 10
    methods = {"greedy": Decoding(max_length=longest)}
    if evaluation.beam_width > 1:
        methods["beam"] = Decoding(
            method="beam", beam_width=evaluation.beam_width, max_length=longest
        )
    figures, texts = {}, {}
    truth = [predictor.text(s.target) for s in sentences]
    for name, decoding in methods.items():
        found = predictor.continuations(nothing, sources, decoding)
        tokens = [rows[0].tokens for rows in found]
        texts[name] = [predictor.text(row) for row in tokens]
        figures[name] = {
            "exact_match": float(np.mean(_are_equal(tokens, sentences))),
            "token_accuracy": _token_accuracy(tokens, sentences),
            "bleu": _bleu(texts[name], truth, predictor.unit),
        }
    with replacing(run_dir / "predictions.tsv") as path:
        given = [predictor.source_text(source) for source in sources]
        path.write_text(_table({"source": given, "target": truth, **texts}), encoding="utf-8")
    return figures


def _are_equal(found: Sequence[NDArray[np.int64]], sentences: Sequence[Sentence]) -> list[bool]:
    return [np.array_equal(own, s.target) for own, s in zip(found, sentences, strict=True)]


def _token_accuracy(found: Sequence[NDArray[np.int64]], sentences: Sequence[Sentence]) -> float:
    """Share of positions, up to the longer of the two, with the same token."""
    n_right = n_places = 0
    for own, sentence in zip(found, sentences, strict=True):
        shared = min(len(own), len(sentence.target))
        n_right += int((own[:shared] == sentence.target[:shared]).sum())
        n_places += max(len(own), len(sentence.target))
    return n_right / n_places if n_places else math.nan


def _bleu(found: Sequence[str], truth: Sequence[str], unit: str) -> float | None:
    """Corpus BLEU, 0 to 100, over words as split here; None for characters."""
    if unit != "word":
        return None
    from sacrebleu.metrics import BLEU

    # The text is already tokenised: a tokeniser of sacrebleu would split it again.
    return float(BLEU(tokenize="none", force=True).corpus_score(list(found), [list(truth)]).score)


def _table(columns: Mapping[str, Sequence[str]]) -> str:
    """Text of a tab-separated table; tabs and line breaks within cells become spaces."""
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    return "".join("\t".join(" ".join(cell.split("\t")) for cell in row) + "\n" for row in rows)


def evaluate_sequence_checkpoint(config: EvalConfig, run_dir: Path) -> float | None:
    """Run ``sedtf eval`` for a sequence model; return its perplexity.

    Raises:
        UserError: if the settings belong to a detector.
    """
    assert config.checkpoint is not None
    trained = read_config_of(config.checkpoint, SequenceTrainConfig)
    own = config.data
    if own is not None and not isinstance(own, TokenSetConfig):
        raise UserError(
            f"data={own.kind}: {config.checkpoint} is a sequence model; expected data="
            f"{' or '.join(TOKEN_SETS)}"
        )
    with (
        RunRecord(run_dir, "eval", config, seed=trained.seed) as record,
        set_threads(config.threads),
    ):
        device = choose_device(config.device)
        predictor = load_predictor(config.checkpoint, device)
        if own is not None and isinstance(own, PairsConfig) != isinstance(
            trained.data, PairsConfig
        ):
            raise UserError(
                f"data={own.kind}: {config.checkpoint} was trained on data={trained.data.kind}, "
                f"and only a model that was trained on pairs accepts sources"
            )
        data = load_tokens(own or trained.data, known=predictor.vocabularies)
        record.update(device=str(device), data_fingerprint=data.fingerprint)
        if not data.splits.get(config.split):
            raise UserError(f"split={config.split}: the data have no such split")
        metrics = evaluate_sequences(predictor, data, config.split, trained.evaluation, run_dir)
        return None if metrics is None else float(metrics["perplexity"])
