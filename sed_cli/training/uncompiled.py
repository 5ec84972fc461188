"""torch's optimisers without torch's compiler."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

OptimiserT = TypeVar("OptimiserT", bound=Optimizer)

_MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def uncompiled(kind: type[OptimiserT]) -> type[OptimiserT]:
    """Return an equivalent subclass that does not import ``torch._dynamo``.

    torch wraps these methods to exclude them from compilation, and the wrappers import the
    compiler: more than a second at the start of each training, without benefit.

    Args:
        kind: an optimiser of torch, not differentiated through.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    step: Any = kind.step
    methods["step"] = torch.no_grad()(inspect.unwrap(step))
    return type(kind.__name__, (kind,), methods)
