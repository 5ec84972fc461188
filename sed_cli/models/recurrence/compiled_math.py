"""Exponential, sigmoid and tanh for numba, in a form that vectorises in loops.

float32 uses polynomials, within 2 units in the last place; float64 the library's functions,
since it is only used by ``gradcheck``. NaN stays NaN, so that it is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload, register_jitable

_f = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1.44269504088896341), _f(0.693359375), _f(-2.12194440e-4)
_ROUNDER = _f(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_E0, _E1, _E2 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_E3, _E4, _E5 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
_T0, _T1, _T2 = _f(-5.70498872745e-3), _f(2.06390887954e-2), _f(-5.37397155531e-2)
_T3, _T4 = _f(1.33314422036e-1), _f(-3.33332819422e-1)
_ZERO, _ONE, _TWO = _f(0), _f(1), _f(2)
_POLYNOMIAL_BELOW = _f(0.625)  # below, 1 - 2 / (exp(2x) + 1) would lose digits
_LARGEST = _f(87.0)  # limit for exp as a normal number, on both sides


def _scale(typing: Any, value: Any, shifted: Any) -> Any:
    """Multiply ``value`` by 2 to the integer in the low bits of ``shifted``."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        int32 = ir.IntType(32)
        bits, power = (builder.bitcast(x, int32) for x in values)
        scaled = builder.add(bits, builder.shl(power, int32(23)))
        return builder.bitcast(scaled, ir.FloatType())

    return types.float32(types.float32, types.float32), generate


_scale_by_power: Any = intrinsic(_scale)


def _exp32(x: Any) -> Any:
    """exp(x), saturating at |x| = 87. Source: S. Moshier's Cephes library, expf."""
    x = _LARGEST if x > _LARGEST else x
    x = -_LARGEST if x < -_LARGEST else x
    shifted = x * _LOG2E + _ROUNDER
    n = shifted - _ROUNDER
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return _scale_by_power(p * (r * r) + r + _ONE, shifted)


_exp32_compiled: Any = register_jitable(_exp32)


def _exp64(x: Any) -> Any:
    return math.exp(x)


def _sigmoid32(x: Any) -> Any:
    return _ONE / (_ONE + _exp32_compiled(-x))


def _sigmoid64(x: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-x))


def _tanh32(x: Any) -> Any:
    """Source: S. Moshier's Cephes library, tanhf."""
    size = -x if x < _ZERO else x
    large = _ONE - _TWO / (_exp32_compiled(size + size) + _ONE)
    large = -large if x < _ZERO else large
    s = x * x
    p = (((_T0 * s + _T1) * s + _T2) * s + _T3) * s + _T4
    return p * s * x + x if size < _POLYNOMIAL_BELOW else large


def _tanh64(x: Any) -> Any:
    return math.tanh(x)


def exponential(x: Any) -> Any:
    """exp(x); compiled, in float32, of x within 87 of 0."""
    return math.exp(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


def tanh(x: Any) -> Any:
    """tanh(x)."""
    return math.tanh(x)


def _by_precision(single: Callable[[Any], Any], double: Callable[[Any], Any]) -> Any:
    def choose(x: Any) -> Callable[[Any], Any]:
        return single if x == types.float32 else double

    return choose


overload(exponential)(_by_precision(_exp32, _exp64))
overload(sigmoid)(_by_precision(_sigmoid32, _sigmoid64))
overload(tanh)(_by_precision(_tanh32, _tanh64))
