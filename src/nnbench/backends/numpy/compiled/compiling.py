"""How loops are compiled: what LLVM may reorder, and where compiled code is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import overload

# Sums and products may be reordered, or they would not become vector instructions. Not "nnan" and
# "ninf": a net that diverges has to be seen diverging.
REORDERED = {"reassoc", "contract", "arcp", "nsz"}
AS_WRITTEN = {"contract"}


def compiled(function: Any) -> Any:
    """Return the function, compiled at its first call for each set of types.

    Compiled code is kept beside the source or in NUMBA_CACHE_DIR, by Numba for each processor and
    version of the source; where nothing can be written it is compiled anew in every process.
    """
    options: dict[str, Any] = {"fastmath": REORDERED, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for a cache
        return numba.njit(**options)(function)


def by_type(float32: Any, float64: Any) -> Callable[[Any], Any]:
    """Return a decorator: in compiled code the function is one of the two, by its argument."""

    def decorate(function: Any) -> Any:
        options = {"fastmath": AS_WRITTEN, "error_model": "numpy"}

        @overload(function, jit_options=options, inline="never")
        def chosen(value: Any) -> Any:
            return float32 if value == numba.float32 else float64

        return function

    return decorate
