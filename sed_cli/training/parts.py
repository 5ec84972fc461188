"""Parts of a model by name: freezing and learning rates."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from sed_cli.config.trainer import LR_SCALE, TrainerConfig
from sed_cli.errors import UserError


def part_of(model: nn.Module, name: str) -> str:
    """The part of an entry of a model's state.

    It is a child of the model, such as ``cell``, or one of a list of them, such as ``blocks.0``.
    """
    child, _, inner = name.partition(".")
    if isinstance(getattr(model, child), nn.ModuleList | nn.Sequential):
        return f"{child}.{inner.partition('.')[0]}"
    return child


def freeze(model: nn.Module, names: Collection[str]) -> list[nn.Module]:
    """Stop training the named parts; return them, for :func:`keep_frozen`.

    Raises:
        UserError: for unknown parts, or if nothing is left to train.
    """
    _check_names(model, "trainer.freeze", names)
    for name, weights in model.named_parameters():
        if _covering(names, name) is not None:
            weights.requires_grad_(False)
    if names and not any(weights.requires_grad for weights in model.parameters()):
        raise UserError(
            f"trainer.freeze=[{','.join(names)}] leaves nothing to train: drop one of them"
        )
    return [model.get_submodule(name) for name in names if not _is_weights(model, name)]


def keep_frozen(frozen: Iterable[nn.Module]) -> None:
    """Set frozen parts of a model in training mode to evaluation mode.

    So batch norm uses and keeps its statistics. Dropout stays active, since it regularises later,
    trained parts.
    """
    for part in frozen:
        part.eval()
        for module in part.modules():
            if isinstance(module, _DropoutNd):
                module.train()


def make_optimizer(model: nn.Module, config: TrainerConfig) -> Optimizer:
    """Build the optimiser of unfrozen parameters, with one parameter group per factor.

    Those of factor 1 come first. Without factors there is one group.

    Raises:
        UserError: for factors of unknown parts.
    """
    _check_names(model, "trainer.lr_scale", config.lr_scale)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            part = _covering(config.lr_scale, name)
            factor = 1.0 if part is None else config.lr_scale[part]
            groups.setdefault(factor, []).append(weights)
    first, *others = sorted(groups, key=lambda factor: factor != 1)
    optimizer = config.optimizer.build(groups[first], config.lr * first)
    if first != 1:
        optimizer.param_groups[0][LR_SCALE] = first
    for factor in others:
        group = {"params": groups[factor], "lr": config.lr * factor, LR_SCALE: factor}
        optimizer.add_param_group(group)
    return optimizer


def learning_rate(optimizer: Optimizer) -> float:
    """The learning rate of parameters without a factor."""
    group = optimizer.param_groups[0]
    return float(group["lr"] / group.get(LR_SCALE, 1.0))


def _check_names(model: nn.Module, key: str, names: Collection[str]) -> None:
    trained = [name for name, _ in model.named_parameters()]
    unknown = [name for name in names if not any(_is_within(each, name) for each in trained)]
    if unknown:
        parts = dict.fromkeys(
            part for name in trained for part in (name.partition(".")[0], part_of(model, name))
        )
        raise UserError(
            f"{key}: the model has no part {', '.join(unknown)}: expected some of "
            f"{', '.join(parts)}"
        )


def _covering(names: Iterable[str], name: str) -> str | None:
    """The name of the smallest part that contains an entry of the state; None: none."""
    return max((each for each in names if _is_within(name, each)), key=len, default=None)


def overlaps(part: str, other: str) -> bool:
    """Whether one of two parts contains the other; a comma separates entries within a part."""
    part = part.partition(",")[0]
    return _is_within(part, other) or _is_within(other, part)


def _is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _is_weights(model: nn.Module, name: str) -> bool:
    return any(name == each for each, _ in model.named_parameters())
