"""The product of one step for numba: a tile of a matrix product that stays in registers.

Compiled loops keep no block of sums in registers, so the tile is written as LLVM vectors: each
row of weights is used for 8 rows of sums of 3 vectors each. With the weights packed into panels
as wide as a tile, they are read once, in order.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

Array = NDArray[Any]

TILE_VECTORS = 3
"""Vectors in a row of a tile: 8 rows leave 8 of AVX-512's 32 registers for operands."""


def _vector_bytes() -> int:
    """Width of the vector registers; a wrong guess would only cost speed."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


VECTOR_BYTES = _vector_bytes()


def pack(matrix: Array) -> Array:
    """Pack (K, N) into panels (ceil(N / W), K, W), padded with zeros."""
    depth, width = matrix.shape[0], TILE_VECTORS * VECTOR_BYTES // matrix.itemsize
    n_panels = -(-matrix.shape[1] // width)
    padded = np.zeros((depth, n_panels * width), matrix.dtype)
    padded[:, : matrix.shape[1]] = matrix
    panels = _aligned((n_panels, depth, width), matrix.dtype)
    panels[:] = padded.reshape(depth, n_panels, width).transpose(1, 0, 2)
    return panels


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array aligned to vectors: unaligned vectors need two reads each."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    room = np.empty(n_bytes + VECTOR_BYTES, np.uint8)
    start = -room.ctypes.data % VECTOR_BYTES
    return room[start : start + n_bytes].view(dtype).reshape(shape)


def _make_tile(n_rows: int, n_vectors: int) -> Any:
    """Create ``tile(a, a_at, a_ld, panels, p_at, depth, out, o_at, o_ld)``.

    It stores ``a[:n_rows, :depth] @ panel`` in the first ``n_vectors`` vectors of rows of ``out``;
    ``*_at`` is the offset of the first element and ``*_ld`` the row stride, in elements.
    """

    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_ld: Any,
        panels: Any,
        p_at: Any,
        depth: Any,
        out: Any,
        o_at: Any,
        o_ld: Any,
    ) -> Any:
        index = types.intp
        signature = types.void(a, index, index, panels, index, index, out, index, index)
        lanes = VECTOR_BYTES // (a.dtype.bitwidth // 8)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            def pointer(array: int, offset: int) -> Any:
                view = make_array(signature.args[array])(context, builder, values[array])
                return builder.gep(view.data, [values[offset]])

            emitter = _TileEmitter(
                builder, context.get_data_type(a.dtype), n_rows, n_vectors, lanes
            )
            emitter.emit(
                pointer(0, 1), values[2], pointer(3, 4), values[5], pointer(6, 7), values[8]
            )
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(tile)


class _TileEmitter:
    """Emits the loop over the depth: load a row of the panel, multiply and add into every sum."""

    def __init__(self, builder: Any, element: Any, n_rows: int, n_vectors: int, lanes: int) -> None:
        self.builder = builder
        self.n_rows = n_rows
        self.n_vectors = n_vectors
        self.lanes = lanes
        self.align = 4 if isinstance(element, ir.FloatType) else 8
        self.vector = ir.VectorType(element, lanes)

    def emit(self, a: Any, a_ld: Any, panel: Any, depth: Any, out: Any, o_ld: Any) -> None:
        b = self.builder
        int64 = ir.IntType(64)
        before, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
        rows = [b.gep(a, [b.mul(a_ld, int64(row))]) for row in range(self.n_rows)]
        b.branch(loop)

        b.position_at_end(loop)
        step = b.phi(int64)
        step.add_incoming(int64(0), before)
        sums = [[b.phi(self.vector) for _ in range(self.n_vectors)] for _ in rows]
        line = b.gep(panel, [b.mul(step, int64(TILE_VECTORS * self.lanes))])
        weights = [self._load(line, column) for column in range(self.n_vectors)]
        results = []
        for row, row_sums in zip(rows, sums, strict=True):
            value = self._splat(b.load(b.gep(row, [step])))
            fused = ("contract",)  # lets a product and a sum become one instruction
            results.append(
                [
                    b.fadd(total, b.fmul(value, weight, flags=fused), flags=fused)
                    for total, weight in zip(row_sums, weights, strict=True)
                ]
            )
        following = b.add(step, int64(1))
        step.add_incoming(following, loop)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        for row_sums, row_results in zip(sums, results, strict=True):
            for total, result in zip(row_sums, row_results, strict=True):
                total.add_incoming(zero, before)
                total.add_incoming(result, loop)
        b.cbranch(b.icmp_signed("<", following, depth), loop, after)

        b.position_at_end(after)
        for row, row_results in enumerate(results):
            line = b.gep(out, [b.mul(o_ld, int64(row))])
            for column, result in enumerate(row_results):
                b.store(result, self._at(line, column)).align = self.align

    def _at(self, line: Any, column: int) -> Any:
        address = self.builder.gep(line, [ir.IntType(64)(column * self.lanes)])
        return self.builder.bitcast(address, self.vector.as_pointer())

    def _load(self, line: Any, column: int) -> Any:
        loaded = self.builder.load(self._at(line, column))
        loaded.align = self.align
        return loaded

    def _splat(self, value: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        nowhere = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, nowhere)


def _make_strip(n_vectors: int) -> Any:
    """Create ``strip(a, a_at, a_ld, n_rows, panels, p_at, depth, out, o_at, o_ld)``.

    Like a tile, for any number of rows.
    """
    tile_of_8, tile_of_4, tile_of_2, tile_of_1 = (
        _make_tile(n_rows, n_vectors) for n_rows in (8, 4, 2, 1)
    )

    def strip(
        a: Any,
        a_at: int,
        a_ld: int,
        n_rows: int,
        panels: Any,
        p_at: int,
        depth: int,
        out: Any,
        o_at: int,
        o_ld: int,
    ) -> None:
        row = 0
        while row + 8 <= n_rows:
            at, to = a_at + row * a_ld, o_at + row * o_ld
            tile_of_8(a, at, a_ld, panels, p_at, depth, out, to, o_ld)
            row += 8
        if row + 4 <= n_rows:
            at, to = a_at + row * a_ld, o_at + row * o_ld
            tile_of_4(a, at, a_ld, panels, p_at, depth, out, to, o_ld)
            row += 4
        if row + 2 <= n_rows:
            at, to = a_at + row * a_ld, o_at + row * o_ld
            tile_of_2(a, at, a_ld, panels, p_at, depth, out, to, o_ld)
            row += 2
        if row < n_rows:
            at, to = a_at + row * a_ld, o_at + row * o_ld
            tile_of_1(a, at, a_ld, panels, p_at, depth, out, to, o_ld)

    # In numba's cache a function is identified by this name and a per-process counter. With caches
    # of two processes loaded together, a strip of 2 could be confused with another process's of 3.
    strip.__name__ = strip.__qualname__ = f"strip_of_{n_vectors}"
    return register_jitable(strip)


strip_of_1, strip_of_2, strip_of_3 = (_make_strip(n_vectors) for n_vectors in (1, 2, 3))
