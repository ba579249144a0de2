"""How loops are compiled: what LLVM may reorder, and where compiled code is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.extending import overload

from nnbench.data.cache import directory

# Sums and products may be reordered, or they would not become vector instructions. Not "nnan" and
# "ninf": a net that diverges has to be seen diverging.
REORDERED = {"reassoc", "contract", "arcp", "nsz"}
AS_WRITTEN = {"contract"}


@cache
def cached() -> bool:
    """Tell whether compiled code is kept, and have Numba keep it in nnbench's cache.

    Numba compiles anew for another processor or version of Numba, and when the file of a function
    changes, but not when what it calls does: the folder is one for each state of these sources. A
    folder that others can write to is not used; compiled code is code.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = directory() / "compiled" / digest[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return False
    if not os.access(folder, os.W_OK) or found.st_mode & 0o022:
        return False
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return False
    numba.config.CACHE_DIR = str(folder)
    return True


def compiled(function: Any) -> Any:
    """Return the function, compiled at its first call for each set of types."""
    return numba.njit(cache=cached(), fastmath=REORDERED, error_model="numpy")(function)


def by_type(float32: Any, float64: Any) -> Callable[[Any], Any]:
    """Return a decorator: in compiled code the function is one of the two, by its argument."""

    def decorate(function: Any) -> Any:
        options = {"fastmath": AS_WRITTEN, "error_model": "numpy"}

        @overload(function, jit_options=options)  # type: ignore[untyped-decorator]
        def chosen(value: Any) -> Any:
            return float32 if value == numba.float32 else float64

        return function

    return decorate
