"""What PyTorch needs of the process: a device, a compiler, arithmetic that is what it says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from nnbench.backends.cuda import Accelerator, refusal
from nnbench.backends.protocol import Semantics
from nnbench.errors import UnsupportedSpec

# How torch.compile is called, None where it is not; cudagraph records what eager launches.
EXECUTIONS: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "compile": {"dynamic": False},
    "cudagraph": None,
}


def compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Return `function` compiled; raises UnsupportedSpec where there is nothing to compile with."""
    if shutil.which(os.environ.get("CXX", "c++")) is None and shutil.which("g++") is None:
        raise UnsupportedSpec(
            "Received backend.execution=compile; torch.compile needs a C++ compiler, none was "
            "found. Install g++ or use backend.execution=eager."
        )
    faster: Callable[..., Any] = torch.compile(function, **options)
    return faster


def find_device(name: str) -> torch.device:
    """Return the device called `name`; raises UnsupportedSpec when it cannot be used."""
    if name not in ("cpu", "cuda", "auto"):
        raise UnsupportedSpec(f"Received device={name}; backend=torch has cpu, cuda, auto.")
    if name == "cpu":
        return torch.device("cpu")
    try:
        torch.zeros(1, device="cuda").item()  # finds out what is_available() only guesses
    except (AssertionError, RuntimeError) as error:
        if name == "auto":
            return torch.device("cpu")
        raise refusal(f"PyTorch {torch.__version__}", error) from None
    return torch.device("cuda")


def fix_arithmetic(threads: int, semantics: Semantics) -> None:
    """Set the thread count, and forbid TF32 so that float32 means float32.

    Matched semantics also make cuDNN take algorithms whose sums come out the same every time.
    """
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = semantics == "matched"
    torch.backends.cudnn.benchmark = False


def accelerator(device: torch.device) -> Accelerator | None:
    """Return what run.json says of the GPU and of the arithmetic on it, None for the CPU."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
    }
