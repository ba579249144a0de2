"""A step of torch that is watched for tensors which come from the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MAKERS = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy)
COPIES = ("aten::_to_copy", "aten::copy_")


@contextmanager
def nothing_from_the_host(device: torch.device) -> Iterator[None]:
    """Raise RuntimeError within the block for a tensor made of numbers, or of another device's."""
    with _NoNumbers(), _NoCopies(device):
        yield


class _NoNumbers(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in MAKERS:
            raise RuntimeError(f"torch.{func.__name__} takes numbers of the host within a step")
        return func(*args, **(kwargs or {}))


class _NoCopies(TorchDispatchMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.name().partition(".")[0] in COPIES:
            for each in tree_leaves((args, kwargs)):
                if isinstance(each, torch.Tensor) and each.device.type != self._device.type:
                    raise RuntimeError(f"{func.name()} copies from {each.device} within a step")
        return func(*args, **(kwargs or {}))
