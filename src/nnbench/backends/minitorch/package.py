"""MiniTorch's modules, once it is known to be the MiniTorch that is meant."""

from __future__ import annotations

import importlib
from typing import Any

from nnbench.errors import UnsupportedSpec

NAMES = {"nn": ("Linear", "Sequential", "CrossEntropyLoss"), "optim": ("SGD", "RMSprop")}


def _load() -> Any:
    """Return the package. Raises UnsupportedSpec where another one has its name."""
    package = importlib.import_module("minitorch")
    for module, names in NAMES.items():
        try:
            found = importlib.import_module(f"minitorch.{module}")
        except ModuleNotFoundError:
            found = None
        if not all(hasattr(found, name) for name in names):
            raise UnsupportedSpec(
                f"Received backend=minitorch; the minitorch in {package.__path__[0]} is another "
                "project of that name, without the layers and optimizers of "
                "github.com/abdimoallim/minitorch."
            )
    return package


minitorch: Any = _load()
nn: Any = minitorch.nn
optim: Any = minitorch.optim
functional: Any = importlib.import_module("minitorch.functional")
autograd: Any = importlib.import_module("minitorch.autograd")
tensor: Any = importlib.import_module("minitorch.tensor")
