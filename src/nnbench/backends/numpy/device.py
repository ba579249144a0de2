"""Where NumPy's arrays live: on the CPU, or through CuPy on a GPU."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from nnbench.backends.cuda import Accelerator, refusal
from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec

EXECUTIONS = ("fused", "reference", "compiled")


def array_module(device: str) -> Any:
    """Return numpy or, for CUDA, cupy. Raises UnsupportedSpec where there is no usable GPU."""
    if device == "cpu":
        return np
    if device not in ("cuda", "auto"):
        raise UnsupportedSpec(f"Received device={device}; backend=numpy has cpu, cuda, auto.")
    try:
        return _usable_cupy()
    except UnsupportedSpec:
        if device == "auto":
            return np
        raise


def _usable_cupy() -> Any:
    """Return cupy once it has computed something: it finds out at first use what it lacks."""
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise refusal("CuPy", error) from None
        raise UnsupportedSpec(
            "Received device=cuda; backend=numpy computes there with CuPy, which is not installed. "
            "Install it (pip install '.[cuda12]' or '.[cuda13]') or use device=cpu."
        ) from None
    except ImportError as error:
        raise refusal("CuPy", error) from None
    name = f"CuPy {cupy.__version__}"
    try:
        if not cupy.cuda.runtime.driverGetVersion():
            raise refusal(name, "no NVIDIA driver")
        if not cupy.cuda.runtime.getDeviceCount():
            raise refusal(name, "no CUDA GPUs")
        ones = cupy.ones((2, 2), "float32")
        (ones @ ones + ones).get()
    except UnsupportedSpec:
        raise
    except Exception as error:  # CuPy raises classes of its own, of every library below
        raise refusal(name, error) from None
    return cupy


def accelerator(xp: Any) -> Accelerator | None:
    """Return what run.json says of the GPU, None for NumPy itself."""
    if xp is np:
        return None
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(xp.cuda.Device().id)
    return {
        "name": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "memory_bytes": properties["totalGlobalMem"],
        "cuda": _dotted(runtime.runtimeGetVersion()),
        "driver_cuda": _dotted(runtime.driverGetVersion()),
        "tf32": os.environ.get("CUPY_TF32", "0") == "1",
    }


def wait(xp: Any) -> None:
    """Return when the device is idle."""
    if xp is not np:
        xp.cuda.get_current_stream().synchronize()


def _dotted(version: int) -> str:
    """Return 13.0 for 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def stays_on_cpu(task: Task) -> bool:
    """Tell whether device=auto means the CPU: `fused` runs nowhere else."""
    return task.device == "auto" and task.execution in ("fused", "compiled")


def execution_of(name: str, xp: Any) -> str:
    """Return what `name` means here; raises UnsupportedSpec for what there is not."""
    if name == "auto":
        return "fused" if xp is np else "reference"
    supported(dict.fromkeys(EXECUTIONS), name, "backend.execution", "numpy")
    if name != "reference" and xp is not np:
        raise UnsupportedSpec(
            f"Received backend.execution={name} with device=cuda; it runs on the CPU only. "
            "Use backend.execution=reference."
        )
    return name
