"""What PyTorch needs of the process: a device, a compiler, arithmetic that is what it says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnbench.errors import UnsupportedSpec

# How torch.compile is called, None where it is not.
EXECUTIONS: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "compile": {"dynamic": False},
    "cudagraph": {"dynamic": False, "mode": "reduce-overhead"},
}


def compiled(function: Callable[..., Tensor], options: dict[str, Any]) -> Callable[..., Tensor]:
    """Return `function` compiled; raises UnsupportedSpec where there is nothing to compile with."""
    if shutil.which(os.environ.get("CXX", "c++")) is None and shutil.which("g++") is None:
        raise UnsupportedSpec(
            "Received backend.execution=compile; torch.compile needs a C++ compiler, none was "
            "found. Install g++ or use backend.execution=eager."
        )
    faster: Callable[..., Tensor] = torch.compile(function, **options)
    return faster


def find_device(name: str) -> torch.device:
    """Return the device called `name`; raises UnsupportedSpec when it is not there."""
    if name not in ("cpu", "cuda", "auto"):
        raise UnsupportedSpec(f"Received device={name}; backend=torch has cpu, cuda, auto.")
    if name == "cuda" and not torch.cuda.is_available():
        build = f"a build for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        raise UnsupportedSpec(
            f"Received device=cuda; PyTorch sees no CUDA device here ({torch.__version__}, "
            f"{build}); use device=cpu."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def fix_arithmetic(threads: int) -> None:
    """Set the thread count, and forbid TF32 so that float32 means float32."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
