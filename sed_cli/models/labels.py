"""Positions of labels in the weights of a model, so that weights can follow them."""

from __future__ import annotations

from typing import NamedTuple

LABELS = "labels"  # labels of the outputs
SOURCE = "source"  # symbols of the source of a sequence model


class LabelAxis(NamedTuple):
    """Position of labels: one entry each along ``axis`` of a tensor, from ``start`` to the end.

    A model with several outputs per label has them one after another, each for all labels. There
    may be none, as in a model without feedback. If ``outputs`` names them, each is matched by name,
    else by position.
    """

    axis: int = 0
    start: int = 0
    of: str = LABELS  # which labels
    is_whole: bool = False  # other axes are labels as well: it is copied only if all are the same
    outputs: tuple[str, ...] = ()
