"""What random programs of every framework share: how one is drawn, and how it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Choose = Callable[..., Any]
Make = Callable[[int], tuple[Any, dict[str, Any]]]


def chooser(number: int) -> Choose:
    """Return what picks one of its arguments, as program `number` has it."""
    rng = np.random.default_rng(number)
    return lambda *options: options[int(rng.integers(len(options)))]


def asked(make: Make, number: int) -> tuple[str, dict[str, Any], Callable[[], Any]]:
    """Return the kind of input, what should be read, and what builds program `number`."""
    expected = make(number)[1]
    return expected.pop("kind"), expected, lambda: make(number)[0]
