"""The arguments of one recurrence, checked once and normalised for every back end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import rule_of


class RecurrentState(NamedTuple):
    """State that a stream carries from one chunk of frames to the next.

    Attributes:
        hidden: hidden state after the last frame, (B, H).
        feedback: input of the next frame, without gradient: activities (B, C), or the embedding of
            a token (B, D). A rule with memory carries more, (B, carried * C), see
            :mod:`sed_cli.models.feedback`.
    """

    hidden: Tensor
    feedback: Tensor


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Checked arguments: one dtype (the weights') and one device throughout.

    Attributes:
        features: (B, T, F); F may be 0.
        outputs: outputs that are fed, all C or fewer; others have no target, mask or noise.
        targets: activities (B, T, C), or the ids of tokens (B, T), int64; None if the target is
            never fed.
        mask: bool, True where the target is fed to the next step: (B, T, 1) or (B, T, C) for
            activities, (B, T) for tokens; None if it never is.
        is_forced: whether the mask is known to be all True without querying the device.
        rule: for the feedback elsewhere.
        noise: uniforms in [0, 1), (B, T, C), or (B, T, 1) for tokens; None unless the rule draws.
        state: before the first frame.
        table: embeddings of the tokens (C, D); None if activities are fed.
    """

    features: Tensor
    outputs: slice
    targets: Tensor | None
    mask: Tensor | None
    is_forced: bool
    rule: FeedbackRule
    cell: nn.GRUCell
    readout: nn.Linear
    state: RecurrentState
    noise: Tensor | None = None
    table: Tensor | None = None

    @property
    def n_fed(self) -> int:
        """D, numbers fed at a step: the first values of the state."""
        return self.cell.input_size - self.features.shape[2]


def make_problem(
    features: Tensor,
    targets: Tensor | None,
    teacher_mask: Tensor | None,
    cell: nn.GRUCell,
    readout: nn.Linear,
    table: Tensor | None,
    feedback: str | FeedbackRule,
    noise: Tensor | None,
    initial_state: RecurrentState | None,
    fed_outputs: slice | None = None,
) -> Problem:
    """Check the arguments of ``feedback_gru`` (documented there) and normalise them."""
    weight = cell.weight_ih
    _check_shape("features", features, ("B", "T", "F"), (None, None, None))
    n_sequences, n_steps, n_features = features.shape
    n_classes = readout.out_features
    rule = rule_of(feedback)
    outputs = _checked_outputs(fed_outputs, n_classes, table)
    fed = _Fed.of_rule(rule, outputs.stop - outputs.start)
    if table is not None:
        _check_shape("table", table, ("C", "D"), (n_classes, None))
        fed = _Fed("values of an embedding", "D", table.shape[1], table.shape[1])
        table = table.to(weight)
    _check_modules(cell, readout, n_features, fed)
    frames = (n_sequences, n_steps)
    if table is not None and not rule.serves_tokens:
        raise ValueError(f"feedback={rule.name!r} feeds activities, not tokens")
    letter, width = ("C", n_classes) if table is None else ("1", 1)
    noise = _checked_noise(noise, rule, ("B", "T", letter), (*frames, width))
    if table is None and noise is not None:
        noise = noise[:, :, outputs]
    mask, is_forced = _checked_mask(teacher_mask, targets, frames, n_classes, table)
    if table is None:
        if targets is not None:
            _check_shape("targets", targets, ("B", "T", "C"), (*frames, n_classes))
            targets = targets.to(weight)[:, :, outputs]
            targets = targets.detach() if rule.remembers else targets
        if mask is not None and mask.shape[2] > 1:
            mask = mask[:, :, outputs]
    elif mask is None:
        targets = None
    else:
        targets = check_tokens("targets", targets, frames, n_classes).to(weight.device)
    return Problem(
        features=features.to(weight),
        outputs=outputs,
        targets=targets,
        mask=None if mask is None else mask.to(weight.device, non_blocking=True),
        is_forced=is_forced,
        rule=rule,
        noise=None if noise is None else noise.to(weight),
        cell=cell,
        readout=readout,
        state=_checked_state(initial_state, weight, n_sequences, cell.hidden_size, fed),
        table=table,
    )


def _checked_noise(
    noise: Tensor | None, rule: FeedbackRule, letters: tuple[str, ...], sizes: tuple[int, ...]
) -> Tensor | None:
    if not rule.draws:
        return None
    if noise is None:
        shape = ", ".join(letters)
        raise ValueError(f"feedback={rule.name!r} needs noise: uniforms in [0, 1) of ({shape})")
    _check_shape("noise", noise, letters, sizes)
    return noise


class _Fed(NamedTuple):
    """Name of the feedback for messages, its size, and the number of carried values."""

    name: str
    letter: str
    size: int
    carried: int

    @staticmethod
    def of_rule(rule: FeedbackRule, n_outputs: int) -> _Fed:
        letter = "C" if rule.width == 1 else f"{rule.width} C"
        return _Fed("activities", letter, rule.width * n_outputs, rule.carried * n_outputs)


def _checked_outputs(outputs: slice | None, n_classes: int, table: Tensor | None) -> slice:
    """Return the outputs that are fed, as numbers."""
    if outputs is None:
        return slice(0, n_classes)
    start, stop, step = outputs.indices(n_classes)
    if table is not None or step != 1 or not start < stop:
        raise ValueError(
            f"fed_outputs={outputs}: expected consecutive ones of the {n_classes} activities"
        )
    return slice(start, stop)


def check_tokens(
    name: str, tokens: Tensor | None, sizes: tuple[int | None, ...], n_tokens: int
) -> Tensor:
    """Return the ids, int64; raise ValueError unless each is in [0, n_tokens).

    On a GPU too: an id out of range would read memory outside the table.
    """
    if tokens is None:
        raise ValueError(f"{name} is None: expected the ids of tokens")
    _check_shape(name, tokens, ("B", "T")[: len(sizes)], sizes)
    if tokens.is_floating_point() or tokens.dtype == torch.bool:
        raise ValueError(f"{name} has dtype {tokens.dtype}: expected ids, torch.int64")
    if tokens.numel():
        low, high = torch.stack([*tokens.aminmax()]).tolist()  # a single synchronisation
        if low < 0 or high >= n_tokens:
            raise ValueError(f"{name} has ids from {low} to {high}: expected 0 to {n_tokens - 1}")
    return tokens.long()


def _check_modules(cell: nn.GRUCell, readout: nn.Linear, n_features: int, fed: _Fed) -> None:
    if cell.input_size != n_features + fed.size:
        raise ValueError(
            f"cell takes {cell.input_size} inputs, but {n_features} features and {fed.size} fed "
            f"{fed.name} make {n_features + fed.size}: use nn.GRUCell(F + {fed.letter}, H)"
        )
    check_readout(cell, readout)


def check_readout(cell: nn.GRUCell, readout: nn.Linear) -> None:
    """Raise ValueError unless ``readout`` fits the cell's hidden state."""
    if readout.in_features != cell.hidden_size:
        raise ValueError(
            f"readout takes {readout.in_features} inputs, but the cell has {cell.hidden_size} "
            "hidden units: use nn.Linear(H, C)"
        )


def _checked_mask(
    mask: Tensor | None,
    targets: Tensor | None,
    frames: tuple[int, int],
    n_classes: int,
    table: Tensor | None,
) -> tuple[Tensor | None, bool]:
    """Return the mask as ``Problem`` has it, and whether it is known to be all True."""
    if mask is None:
        return None, False
    if mask.dtype != torch.bool:
        raise ValueError(f"teacher_mask has dtype {mask.dtype}: expected torch.bool")
    per_class = (*frames, n_classes)
    if tuple(mask.shape) != frames and (table is not None or tuple(mask.shape) != per_class):
        choice = f"or (B, T, C) = {per_class}" if table is None else "for a token is fed as a whole"
        raise ValueError(
            f"teacher_mask has shape {tuple(mask.shape)}: expected (B, T) = {frames}, {choice}"
        )
    if targets is None:
        if bool(mask.any()):
            raise ValueError(
                "teacher_mask feeds the target, but targets is None: pass targets, or no mask"
            )
        return None, False
    # Masks are drawn on the CPU, where inspecting them is free; on a GPU this would block the
    # host until all queued work is done.
    is_forced = mask.device.type == "cpu" and bool(mask.all())
    return (mask[:, :, None] if table is None and mask.ndim == 2 else mask), is_forced


def _checked_state(
    state: RecurrentState | None,
    weight: Tensor,
    n_sequences: int,
    n_hidden: int,
    fed: _Fed,
) -> RecurrentState:
    if state is None:
        return RecurrentState(
            weight.new_zeros(n_sequences, n_hidden), weight.new_zeros(n_sequences, fed.carried)
        )
    hidden, feedback = state
    _check_shape("initial_state.hidden", hidden, ("B", "H"), (n_sequences, n_hidden))
    letter = fed.letter if fed.size == fed.carried else "carried"
    _check_shape("initial_state.feedback", feedback, ("B", letter), (n_sequences, fed.carried))
    return RecurrentState(hidden.to(weight), feedback.detach().to(weight))


def _check_shape(
    name: str, tensor: Tensor, letters: tuple[str, ...], sizes: tuple[int | None, ...]
) -> None:
    """Raise ValueError unless ``tensor`` has the given sizes; None: any."""
    fits = tensor.ndim == len(sizes) and all(
        size is None or size == got for size, got in zip(sizes, tensor.shape, strict=True)
    )
    if not fits:
        legend = ", ".join(letters)
        wanted = "" if None in sizes else f" = {tuple(sizes)}"
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: expected ({legend}){wanted}")
