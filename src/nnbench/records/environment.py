"""Environment variables that change what a run measures: BLAS kernels, threads, framework switches.

Recorded with every run, and warned of before one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import NamedTuple

from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Forcing:
    """Variables that change what a run measures, their effect, and the remedy for `{name}`.

    `kernels`: they choose what computes, so that times are no longer those of the processor.
    """

    names: tuple[str, ...]
    effect: str
    remedy: str = "unset {name} for timings that represent this machine"
    kernels: bool = False


class Forced(NamedTuple):
    """A variable that is set, `NAME=VALUE`, with what it does and the remedy."""

    setting: str
    effect: str
    remedy: str


THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
FORCINGS = (
    Forcing(
        ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR",
         "BLIS_ARCH_TYPE",
         *(("NVPL_BLAS_DEBUG_CPU_TYPE",) if platform.machine() == "aarch64" else ())),
        "forces a BLAS kernel, perhaps not the one for this processor",
        kernels=True,
    ),
    Forcing(
        ("OPENBLAS_L2_SIZE",),
        "makes OpenBLAS choose its block sizes for another cache",
        kernels=True,
    ),
    Forcing(
        ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY",
         "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
        "limits the instructions of one framework and not of the others",
        kernels=True,
    ),
    Forcing(
        THREAD_VARIABLES,
        "forces a thread count outside of runs; inside, the threads setting decides",
        "unset {name} and set threads=N instead",
    ),
    Forcing(
        ("OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY",
         "KMP_AFFINITY", "KMP_BLOCKTIME", "MKL_DYNAMIC", "MKL_DOMAIN_NUM_THREADS",
         "OPENBLAS_DEFAULT_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
        "changes how many threads run, or where, beside the threads setting",
        "unset {name} unless that is what you compare",
    ),
)  # fmt: skip
# Switches of frameworks. By name, never by the prefix TF_: Terraform keeps secrets in TF_VAR_*.
SWITCHES = (
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES",
    "CUPY_TF32",
    "KERAS_BACKEND", "NVIDIA_TF32_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF", "TF32_OVERRIDE",
    "TF_CUDNN_DETERMINISTIC", "TF_CUDNN_USE_AUTOTUNE", "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR",
    "TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)  # fmt: skip
# What an interpreter, a loader or an allocator reads: other libraries, other costs per call.
BELOW = (
    "GLIBC_TUNABLES", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_CONF",
    "PYTHONDEVMODE", "PYTHONHASHSEED", "PYTHONMALLOC", "PYTHONOPTIMIZE", "PYTHONTRACEMALLOC",
)  # fmt: skip
PREFIXES = (
    "OPENBLAS_", "OMP_", "MKL_", "BLIS_", "DNNL_", "ONEDNN_", "GOMP_", "KMP_", "NPY_", "JAX_",
    "TORCHINDUCTOR_", "TORCHDYNAMO_",
)  # fmt: skip


def switches(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables, of those set, that choose kernels, threads or framework switches."""
    environ = os.environ if environ is None else environ
    named = {*SWITCHES, *BELOW, *(name for forcing in FORCINGS for name in forcing.names)}
    return {
        name: value
        for name, value in sorted(environ.items())
        if name in named or name.startswith(PREFIXES)
    }


def forced(environ: Mapping[str, str] | None = None) -> list[Forced]:
    """Return the variables, of those set, that force a BLAS kernel or threads."""
    environ = os.environ if environ is None else environ
    return [
        Forced(f"{name}={environ[name]}", forcing.effect, forcing.remedy.format(name=name))
        for forcing in FORCINGS
        for name in forcing.names
        if name in environ
    ]


def forced_kernels(environ: Mapping[str, str]) -> list[str]:
    """Return `NAME=VALUE` of those variables that choose kernels instead of the processor."""
    names = {name for forcing in FORCINGS if forcing.kernels for name in forcing.names}
    return [f"{name}={environ[name]}" for name in sorted(names & environ.keys())]
