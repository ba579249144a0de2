"""What every check says with: a requirement and the sentence for where it is not met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K")


def require(holds: bool, otherwise: str) -> None:
    """Raise AssertionError with the sentence `otherwise` unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


def same(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> bool:
    """Tell whether two sets of arrays are equal, bit for bit but for the sign of 0."""
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def copied(arrays: Mapping[K, NDArray[Any]]) -> dict[K, NDArray[Any]]:
    """Return copies of all of them."""
    return {key: np.array(value) for key, value in arrays.items()}
