"""torch's optimisers without torch's compiler."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

OptimiserT = TypeVar("OptimiserT", bound=Optimizer)

_MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def uncompiled(kind: type[OptimiserT]) -> type[OptimiserT]:
    """Return a subclass that does the same and does not import ``torch._dynamo``.

    torch wraps these methods to tell its compiler to leave them alone, and the wrappers import the
    compiler: more than a second at the start of each training, for nothing, as nothing is compiled.

    Args:
        kind: an optimiser of torch that is not to be differentiated through.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    step: Any = kind.step
    methods["step"] = torch.no_grad()(inspect.unwrap(step))
    return type(kind.__name__, (kind,), methods)
