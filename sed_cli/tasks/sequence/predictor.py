"""A trained sequence model in use: logits for given sequences, and generation of new ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.config.training import SequenceModelConfig
from sed_cli.models import LanguageModel
from sed_cli.models.feedbacks import repeatable
from sed_cli.models.recurrence import Feedback
from sed_cli.tasks.sequence.data import Sentence, Vocabulary, join_symbols
from sed_cli.tasks.sequence.data.batches import TokenBatch, in_order_of_length
from sed_cli.tasks.sequence.data.vocabulary import END, UNKNOWN

_LOGITS_AT_ONCE = 2**24  # size of a batch's logits, 64 MiB: more is not faster
_SENTENCES_AT_ONCE = 256  # decoded in parallel


def make_language_model(
    config: SequenceModelConfig, vocabulary: Vocabulary, source_vocabulary: Vocabulary | None
) -> LanguageModel:
    """Build the configured model, with an encoder if there are sources."""
    model: LanguageModel = config.build(
        n_tokens=len(vocabulary),
        n_source_tokens=None if source_vocabulary is None else len(source_vocabulary),
    )
    return model


class Continuation(NamedTuple):
    """A continuation of a prefix."""

    tokens: NDArray[np.int64]  # (n,), without the end symbol
    log_probability: float  # natural, of the tokens and the end symbol if reached
    is_complete: bool  # whether the end symbol came before the maximum length


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Decoding method for continuations.

    Args:
        method: ``greedy``: the most likely token at each step; ``sample``: drawn from the model's
            probabilities; ``beam``: the most likely continuations that a beam search finds.
        temperature: of ``sample``: divides the logits; above 0.
        beam_width: number of partial continuations that ``beam`` keeps.
        n_best: continuations per prefix; at most ``beam_width`` for ``beam``, 1 for ``greedy``.
        max_length: maximum number of tokens in a continuation.
        seed: of ``sample``.
    """

    method: str = "greedy"
    temperature: float = 1.0
    beam_width: int = 5
    n_best: int = 1
    max_length: int = 100
    seed: int = 0


class Predictor:
    """A sequence model with its vocabularies.

    Args:
        model: in training or evaluation mode, as it is to be used.
        vocabulary: of the targets.
        source_vocabulary: of the sources; None for a model without an encoder.
        unit: ``word`` or ``char``, of the targets.
        source_unit: of the sources; None without an encoder.
        feedback: rule of the training; sampling is replaced by the most likely token here, so that
            figures are repeatable.
        device: where the model runs.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        vocabulary: Vocabulary,
        source_vocabulary: Vocabulary | None,
        unit: str,
        source_unit: str | None,
        feedback: Feedback,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.vocabulary, self.source_vocabulary = vocabulary, source_vocabulary
        self.unit, self.source_unit = unit, source_unit
        self.feedback = repeatable(feedback)

    @property
    def vocabularies(self) -> tuple[Vocabulary, Vocabulary | None]:
        """Vocabularies of targets and sources."""
        return self.vocabulary, self.source_vocabulary

    def text(self, tokens: NDArray[np.int64]) -> str:
        """Write tokens as they would appear in a file."""
        return join_symbols(self.vocabulary.decode(tokens), self.unit)

    def source_text(self, tokens: NDArray[np.int64]) -> str:
        """Write tokens of a source likewise."""
        assert self.source_vocabulary is not None
        assert self.source_unit is not None
        return join_symbols(self.source_vocabulary.decode(tokens), self.source_unit)

    @torch.inference_mode()
    def logits(self, batch: TokenBatch, *, forced: bool) -> Tensor:
        """Logits (B, T, C) for the targets of a batch, on the model's device.

        Args:
            batch: logits in its padding are undefined.
            forced: teacher forcing at every step; otherwise the model is fed its own choices.
        """
        self.model.eval()
        targets = batch.targets.to(self.device)
        logits: Tensor = self.model(
            targets,
            torch.ones(targets.shape, dtype=torch.bool) if forced else None,
            lengths=batch.lengths,
            source=None if batch.source is None else batch.source.to(self.device),
            source_lengths=batch.source_lengths,
            feedback=self.feedback,
        )
        return logits

    def run_both_ways(
        self, sentences: Sequence[Sentence]
    ) -> Iterator[tuple[list[int], TokenBatch, dict[str, Tensor]]]:
        """Yield batches with the indices of their sentences, and their logits by mode.

        The modes are ``teacher_forced`` and ``free_running``.
        """
        longest = max(1, _LOGITS_AT_ONCE // len(self.vocabulary))
        for places, batch in in_order_of_length(sentences, longest=longest):
            forced = self.logits(batch, forced=True)
            free = self.logits(batch, forced=False)
            yield places, batch, {"teacher_forced": forced, "free_running": free}

    def continuations(
        self,
        prefixes: Sequence[NDArray[np.int64]],
        sources: Sequence[NDArray[np.int64]] | None,
        decoding: Decoding,
    ) -> list[list[Continuation]]:
        """Continue each prefix; the best continuation, or the first drawn, comes first.

        The symbol <unk> is never chosen: it could not be read.

        Args:
            prefixes: tokens of each, possibly none.
            sources: tokens of the source of each, for a model with an encoder.
            decoding: how to choose tokens.
        """
        generator = torch.Generator().manual_seed(decoding.seed)
        found: list[list[Continuation]] = []
        for first in range(0, len(prefixes), _SENTENCES_AT_ONCE):
            some = slice(first, first + _SENTENCES_AT_ONCE)
            start = self._start(prefixes[some], None if sources is None else sources[some])
            if decoding.method == "beam":
                found += _beam(self.model, *start, decoding)
            else:
                found += _drawn(self.model, *start, decoding, generator)
        return found

    def next_logits(self, prefixes: Sequence[NDArray[np.int64]]) -> Tensor:
        """Logits (B, C) of the token after each prefix, without a source."""
        return self._start(prefixes, None)[0]

    @torch.inference_mode()
    def _start(
        self,
        prefixes: Sequence[NDArray[np.int64]],
        sources: Sequence[NDArray[np.int64]] | None,
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, C) of the token after each prefix, and the hidden state (B, H) there."""
        self.model.eval()
        hidden = self._encoded(len(prefixes), sources)
        logits, hidden = self.model.step(None, hidden)
        lengths = torch.tensor([len(prefix) for prefix in prefixes], device=self.device)
        for step in range(int(lengths.max()) if len(lengths) else 0):
            tokens = torch.tensor(
                [int(prefix[step]) if step < len(prefix) else END for prefix in prefixes],
                device=self.device,
            )
            new_logits, new_hidden = self.model.step(tokens, hidden)
            continues = (step < lengths)[:, None]
            logits = torch.where(continues, new_logits, logits)
            hidden = torch.where(continues, new_hidden, hidden)
        return logits, hidden

    def _encoded(self, n: int, sources: Sequence[NDArray[np.int64]] | None) -> Tensor:
        if sources is None:
            return self.model.encode(torch.zeros(n, 0, dtype=torch.int64))
        lengths = torch.tensor([len(source) for source in sources])
        padded = torch.zeros(n, int(lengths.max()), dtype=torch.int64)
        for row, source in zip(padded, sources, strict=True):
            row[: len(source)] = torch.from_numpy(source)
        return self.model.encode(padded.to(self.device), lengths)


def _drawn(
    model: LanguageModel,
    logits: Tensor,
    hidden: Tensor,
    decoding: Decoding,
    generator: torch.Generator,
) -> list[list[Continuation]]:
    """Append the most likely or a drawn token until each sequence has ended."""
    n_each = decoding.n_best if decoding.method == "sample" else 1
    logits = logits.repeat_interleave(n_each, dim=0)  # (B N, C)
    hidden = hidden.repeat_interleave(n_each, dim=0)
    n_rows = len(logits)
    alive = torch.ones(n_rows, dtype=torch.bool, device=logits.device)
    total = torch.zeros(n_rows, dtype=torch.float64, device=logits.device)
    chosen: list[Tensor] = []
    with torch.inference_mode():
        for _ in range(decoding.max_length + 1):
            logits[:, UNKNOWN] = -torch.inf
            tokens = _choose(logits, decoding, generator)
            scores = logits.log_softmax(1).gather(1, tokens[:, None])[:, 0]
            total += torch.where(alive, scores, 0.0)
            chosen.append(torch.where(alive, tokens, END))
            alive &= tokens != END
            if not alive.any():
                break
            logits, hidden = model.step(tokens, hidden)
    rows = _cut(torch.stack(chosen, dim=1), total, decoding.max_length)
    return [rows[first : first + n_each] for first in range(0, n_rows, n_each)]


def _choose(logits: Tensor, decoding: Decoding, generator: torch.Generator) -> Tensor:
    if decoding.method == "greedy":
        return logits.argmax(1)
    # Relative to the highest logit, in float64: no temperature above 0 is too low to divide by.
    logits = (logits - logits.amax(1, keepdim=True)).double()
    probabilities = (logits / decoding.temperature).softmax(1).cpu()
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(logits.device)


def _cut(tokens: Tensor, total: Tensor, max_length: int) -> list[Continuation]:
    """Truncate rows of tokens (B, T) at their end symbol."""
    rows = []
    for row, score in zip(tokens.cpu().numpy(), total.tolist(), strict=True):
        ends = np.flatnonzero(row == END)
        length = int(ends[0]) if len(ends) else max_length
        rows.append(Continuation(row[:length], score, is_complete=bool(len(ends))))
    return rows


@torch.inference_mode()
def _beam(
    model: LanguageModel, logits: Tensor, hidden: Tensor, decoding: Decoding
) -> list[list[Continuation]]:
    """Keep the most likely ``beam_width`` continuations of each sequence until all have ended.

    A sum of log probabilities falls with every token, so no longer continuation can overtake one
    that has ended: the search of a sequence is over when all of its continuations have ended.
    """
    n, n_tokens = logits.shape
    width = decoding.beam_width
    # Start from one row: the others would be copies of it.
    totals = logits.new_full((n, width), -torch.inf, dtype=torch.float64)
    totals[:, 0] = 0.0
    ended = torch.zeros(n, width, dtype=torch.bool, device=logits.device)
    tokens = torch.empty(n, width, 0, dtype=torch.int64, device=logits.device)
    logits = logits.repeat_interleave(width, dim=0)  # (B W, C)
    hidden = hidden.repeat_interleave(width, dim=0)
    only_end = logits.new_full((n_tokens,), -torch.inf, dtype=torch.float64)
    only_end[END] = 0.0  # ended continuations stay unchanged
    for _ in range(decoding.max_length + 1):
        logits[:, UNKNOWN] = -torch.inf
        steps = logits.log_softmax(1).double().view(n, width, n_tokens)
        steps = torch.where(ended[..., None], only_end, steps)
        totals, flat = (
            (totals[..., None] + steps).flatten(1).topk(min(width, width * n_tokens), dim=1)
        )
        parent, token = flat // n_tokens, flat % n_tokens  # (B, W)
        tokens = torch.cat(
            [tokens.gather(1, parent[..., None].expand_as(tokens)), token[..., None]], dim=2
        )
        ended = ended.gather(1, parent) | (token == END)
        if bool((ended | totals.isinf()).all()):
            break
        rows = (parent + width * torch.arange(n, device=parent.device)[:, None]).flatten()
        logits, hidden = model.step(token.flatten(), hidden[rows])
    found = []
    for of_one, scores in zip(tokens, totals, strict=True):
        kept = _cut(of_one, scores, decoding.max_length)
        found.append([c for c in kept if c.log_probability > -np.inf][: decoding.n_best])
    return found
