"""Import torchaudio's pure PyTorch parts beside a CPU-only torch.

torchaudio's Linux wheel on PyPI is a CUDA build. Beside a torch without CUDA its compiled extension
cannot be loaded and ``import torchaudio`` raises ``OSError: libc10_cuda.so``, although transforms,
masking and resampling never touch the extension. For that error only, the extension is replaced
by a module that reports it as unavailable; other errors are passed on.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_CUDA_LIBRARIES = ("libc10_cuda", "libtorch_cuda", "libcudart")

F = TypeVar("F", bound=Callable[..., Any])


def import_torchaudio(submodule: str) -> ModuleType:
    """Return ``torchaudio.<submodule>``, such as ``transforms``."""
    name = f"torchaudio.{submodule}"
    try:
        return importlib.import_module(name)
    except OSError as error:
        if not any(library in f"{error} {error.__cause__}" for library in _CUDA_LIBRARIES):
            raise
    for loaded in [m for m in sys.modules if m.split(".")[0] == "torchaudio"]:
        del sys.modules[loaded]
    sys.modules["torchaudio._extension"] = _no_extension()
    return importlib.import_module(name)


def _no_extension() -> ModuleType:
    def identity(function: F) -> F:
        return function

    module = ModuleType("torchaudio._extension")
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=identity
    )
    return module
