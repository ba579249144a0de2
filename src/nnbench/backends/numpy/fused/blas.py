"""Matrix products that add to what is there: BLAS through SciPy, or NumPy's own operators.

SciPy brings a BLAS of its own, with threads of its own: two pools of threads in one process slow
each other down up to a hundred times, so with more than one thread one library does it all.
Matrices are C-contiguous; BLAS sees their transposes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.pools import Library
from nnbench.model.layers import Shape

Call = Callable[[], object]
Step = tuple[str, Call]  # a call, and the part of a training step that it belongs to
Libraries = Library | Literal["both"]

# OpenBLAS multiplies small matrices without copying them into its own order first, where the
# kernel has code for it: up to this many multiplications (kernel/x86_64, *_small_kernel_permit).
SMALL_PRODUCT = {"SkylakeX": 10**6, "Cooperlake": 10**6, "SapphireRapids": 10**6}
# Multiplications in a step's largest product, from which threads share it with a gain.
SHARED_PRODUCT = 10**7
LEAST_ROWS, LEAST_COLUMNS = 50, 28  # of a block: below, the calls cost more than the copies
# Where NumPy's product, added afterwards, is faster than SciPy's that adds (OpenBLAS 0.3.31 and
# 0.3.30): with these kernels, over many rows or into few units.
APART = {"Haswell", "Zen"}
APART_ROWS, APART_UNITS = 512, 16


def _routines() -> Any:
    """Return SciPy's BLAS, without the rest of scipy.linalg if that can be.

    Importing all of it takes a third of the time that a NumPy run takes to start.
    """
    import scipy

    for suffix in EXTENSION_SUFFIXES:
        path = Path(scipy.__file__).parent / "linalg" / f"_fblas{suffix}"
        spec = spec_from_file_location("scipy.linalg._fblas", path) if path.is_file() else None
        if spec and spec.loader:
            with suppress(ImportError):
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return import_module("scipy.linalg.blas")


def worthwhile(threads: int, product: int) -> int:
    """Return how many of `threads` pay; the largest product takes `product` multiplications."""
    return threads if product >= SHARED_PRODUCT else 1


class Blas:
    """Calls on arrays of one dtype, with BLAS from `libraries`, NumPy's or SciPy's or both.

    `threads` are those of BLAS. `small`: products of at most so many multiplications are the fast
    ones, None where size does not matter.
    """

    def __init__(self, dtype: str, libraries: Libraries = "both", threads: int = 1) -> None:
        self.libraries = libraries
        self.adds = libraries != "numpy"  # products can add to what is there
        self.kernel = _kernel()
        self.small = SMALL_PRODUCT.get(self.kernel or "") if threads == 1 else None
        if self.adds:
            blas = _routines()
            letter = "s" if dtype == "float32" else "d"
            self._gemm, self._gemv, self._ger, self._axpy = (
                getattr(blas, letter + name) for name in ("gemm", "gemv", "ger", "axpy")
            )

    def columns(self, shape: Shape, units: int) -> int:
        """Return in how many blocks of columns x `(n, fan_in)` is best multiplied, times W."""
        n, fan_in = shape
        if not (self.adds and self.small) or n * fan_in * units <= self.small:
            return 1
        if self._rows(fan_in, units) < n:
            return 1
        needed = -(-n * fan_in * units // self.small)
        most = min(2 * needed - 1, fan_in // LEAST_COLUMNS)
        return next((k for k in range(needed, most + 1) if fan_in % k == 0), 1)

    def product(self, x: Array, w: Array, out: Array) -> list[Call]:
        """Return calls for `out = x w`; x `(n, a)`, w `(a, b)`, out `(n, b)`."""
        if self._by_scipy(len(x) * w.size):
            return [partial(self._gemm, 1.0, w.T, x.T, 0.0, out.T, 0, 0, 1)]
        rows = self._rows(*w.shape)
        return [
            partial(np.matmul, x[start : start + rows], w, out[start : start + rows])
            for start in range(0, len(x), rows)
        ]

    def product_back(self, dy: Array, w: Array, out: Array) -> Call:
        """Return the call for `out = dy w^T`; dy `(n, b)`, w `(a, b)`, out `(n, a)`."""
        if self._by_scipy(len(dy) * w.size):
            return partial(self._gemm, 1.0, w.T, dy.T, 0.0, out.T, 1, 0, 1)
        return partial(np.matmul, dy, w.T, out)

    def add_to(self, x: Array, w: Array, out: Array) -> Call:
        """Return the call for `out += x w`; if it adds."""
        return partial(self._gemm, 1.0, w.T, x.T, 1.0, out.T, 0, 0, 1)

    def _by_scipy(self, product: int) -> bool:
        """Tell whether SciPy is to multiply: it alone, or it takes less to call where that counts.

        32 x 128 times 64 x 128 transposed, with SkylakeX kernels: 8 us, of NumPy's operator 10.
        """
        return self.libraries == "scipy" or (self.adds and product <= (self.small or 0))

    def _apart(self, n: int, units: int) -> bool:
        """Tell whether a sum over n rows is better multiplied first and added then."""
        pays = n >= APART_ROWS or units <= APART_UNITS
        return self.libraries == "both" and self.kernel in APART and pays

    def _rows(self, a: int, b: int) -> int:
        """Return how many rows of x are best multiplied at a time by w `(a, b)`."""
        rows = self.small // (a * b) if self.small else 0
        return rows if rows >= LEAST_ROWS else sys.maxsize

    def add_product(self, alpha: float, x: Array, y: Array, beta: float, out: Array) -> list[Call]:
        """Return calls for `out = beta out + alpha x^T y`; x `(n, a)`, y `(n, b)`, out `(a, b)`."""
        rows = self._rows(*out.shape)
        blocks = [(x[i : i + rows].T, y[i : i + rows]) for i in range(0, len(x), rows)]
        if self.adds and not self._apart(*y.shape):
            return [
                partial(self._gemm, alpha, b.T, a, 1.0 if i else beta, out.T, 0, 1, 1)
                for i, (a, b) in enumerate(blocks)
            ]
        product = np.empty_like(out)
        calls = self.scale(beta, out)
        for a, b in blocks:
            calls += [partial(np.matmul, a, b, product), *self.accumulate(alpha, product, out)]
        return calls

    def add_rows(self, alpha: float, y: Array, beta: float, out: Array) -> list[Call]:
        """Return calls for `out = beta out + alpha sum of rows`; rows y `(n, b)`, out `(b,)`."""
        if self.adds:
            return [self.vector_matrix(alpha, np.ones(len(y), y.dtype), y, beta, out)]
        total = np.empty_like(out)
        return [
            partial(np.add.reduce, y, 0, None, total),
            *self.scale(beta, out),
            *self.accumulate(alpha, total, out),
        ]

    @staticmethod
    def scale(beta: float, out: Array) -> list[Call]:
        """Return calls for `out = beta out`."""
        if beta == 0.0:
            return [partial(out.fill, 0.0)]
        return [] if beta == 1.0 else [partial(np.multiply, out, out.dtype.type(beta), out)]

    @staticmethod
    def accumulate(alpha: float, x: Array, out: Array) -> list[Call]:
        """Return calls for `out += alpha x`, which may overwrite x."""
        if alpha == -1.0:
            return [partial(np.subtract, out, x, out)]
        scaled = [partial(np.multiply, x, x.dtype.type(alpha), x)] if alpha != 1.0 else []
        return [*scaled, partial(np.add, out, x, out)]

    def axpy(self, a: float, x: Array, y: Array) -> None:
        """Add `a x` to y; both `(n,)`."""
        if self.adds:
            self._axpy(x, y, x.size, a)
        else:
            y += a * x

    def vector_matrix(self, alpha: float, v: Array, w: Array, beta: float, out: Array) -> Call:
        """Return the call for `out = beta out + alpha v w`; v `(b,)`, w `(b, a)`; if it adds."""
        return partial(self._gemv, alpha, w.T, v, beta, out, 0, 1, 0, 1, 0, 1)

    def matrix_vector(self, alpha: float, w: Array, v: Array, out: Array) -> Call:
        """Return the call for `out = alpha w v`; w `(b, a)`, v `(a,)`, out `(b,)`; if it adds."""
        return partial(self._gemv, alpha, w.T, v, 0.0, out, 0, 1, 0, 1, 1, 1)

    def subtract_outer(self, x: Array, y: Array, out: Array) -> Call:
        """Return the call for `out -= x y^T`; x `(b,)`, y `(a,)`, out `(b, a)`; if it adds."""
        return partial(self._ger, -1.0, y, x, 1, 1, out.T, 0, 0, 1)


def _kernel() -> str | None:
    """Return the kernel of the loaded BLAS libraries, None unless they agree."""
    from threadpoolctl import threadpool_info

    names = {pool.get("architecture") for pool in threadpool_info() if pool["user_api"] == "blas"}
    return names.pop() if len(names) == 1 else None
