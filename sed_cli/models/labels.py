"""Where the labels lie in the weights of a model, so that weights can follow them."""

from __future__ import annotations

from typing import NamedTuple

LABELS = "labels"  # what the outputs stand for
SOURCE = "source"  # symbols of what a sequence model is given


class LabelAxis(NamedTuple):
    """Along ``axis`` of a tensor, from ``start`` to the end, lie one entry for each label.

    A model with several outputs a label has them one after the other, each of all labels. None
    may be there at all, as in a model without feedback. Where they are named by ``outputs``, one is
    taken from that of the same name, else from that in the same place.
    """

    axis: int = 0
    start: int = 0
    of: str = LABELS  # which labels
    is_whole: bool = False  # other axes are labels as well: it is taken where all are the same
    outputs: tuple[str, ...] = ()
