"""Where a run took place: versions, processor, BLAS kernel, threads, source; recorded with it.

Everything is read from what is loaded or installed already: no framework is imported here, and
nothing takes longer than the run's own noise.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from nnbench.config.installation import VERSION
from nnbench.records import source
from nnbench.records.environment import THREAD_VARIABLES, switches
from nnbench.records.flags import Crowded

PACKAGE = Path(__file__).resolve().parents[1]
OWN_PACKAGES = ("numpy", "scipy")

# Modules whose distribution on the index may have one of several names.
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"),
    "cupy": ("cupy", "cupy-cuda12x", "cupy-cuda13x"),
}


def describe(
    packages: Sequence[str],
    *,
    device: str = "cpu",
    target: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what this process runs on, as plain values for run.json.

    `packages` are the import names of the frameworks in use, already imported by the caller;
    `target` is the backend's, whose source is digested (`backend_source`); `environment` the
    variables as they were before that import, which may set some of its own.
    `memory_bytes` is the machine's; `cores` counts physical ones and those this process may use,
    `blas` lists the loaded BLAS libraries, NumPy's first.
    `gpu` is asked for only when `device` is not `cpu`. What cannot be found out is None.
    """
    environment = switches() if environment is None else dict(environment)
    import numpy  # noqa: F401 - loads its BLAS
    import psutil

    pools = blas()
    chosen = pools[0] if pools else {}
    names = dict.fromkeys((*OWN_PACKAGES, *packages))
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "cpu": cpu_name(),
        "cores": {"physical": psutil.cpu_count(logical=False), "usable": usable_cores()},
        "memory_bytes": psutil.virtual_memory().total,
        "versions": {"nnbench": VERSION} | {name: version(name) for name in names},
        "blas": pools,
        "blas_kernel": chosen.get("architecture") or _built_with(),
        "threads": threads(environment),
        "environment": environment,
        "commit": commit(),
        "source_digest": source.training_digest(),
        "backend_source": source.backend_source(target) if target else None,
        "gpu": None if device == "cpu" else gpu_name(),
        "gpu_driver": None if device == "cpu" else gpu_driver(),
    }


def blas() -> list[dict[str, Any]]:
    """Return the BLAS libraries that are loaded, NumPy's first, with their threads as of now."""
    import threadpoolctl

    return [_pool(pool) for pool in _blas_pools(threadpoolctl.threadpool_info())]


def threads(environment: Mapping[str, str], own: int | None = None) -> dict[str, Any]:
    """Return how many threads compute in this process: asked of the libraries that are loaded.

    `blas` is NumPy's pool, `openmp` the largest of its kind, `torch` and `tensorflow` what these
    say where they are loaded; `in_use` is the most of all, BLAS libraries of frameworks and the
    threads that a Trainer brings itself, `own`, included. `environment` are the variables that were
    set for them.
    """
    import threadpoolctl

    pools = threadpoolctl.threadpool_info()
    numpys = next(iter(_blas_pools(pools)), {})
    openmp = [pool["num_threads"] for pool in pools if pool["user_api"] == "openmp"]
    frameworks = _framework_threads()
    every = [*(pool["num_threads"] for pool in pools), *frameworks.values()]
    return {
        "blas": numpys.get("num_threads"),
        "openmp": max(openmp, default=None),
        **frameworks,
        "in_use": max((n for n in (*every, own) if n), default=None),
        "environment": {n: v for n, v in environment.items() if n in THREAD_VARIABLES},
    }


def _framework_threads() -> dict[str, int]:
    """Return the threads that loaded frameworks compute one operation with, by framework."""
    found = {}
    if (torch := sys.modules.get("torch")) and hasattr(torch, "get_num_threads"):
        found["torch"] = int(torch.get_num_threads())
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and hasattr(tensorflow, "config"):
        asked = int(tensorflow.config.threading.get_intra_op_parallelism_threads())
        found["tensorflow"] = asked or usable_cores()  # 0: as many as there are cores
    return found


def commit(package: Path = PACKAGE) -> str | None:
    """Return the git commit of the checkout that `package` runs from, `-dirty` when changed.

    None when it runs from no checkout of its own (a wheel in an environment that happens to lie
    in somebody's repository is not one) or git does not answer within a second.
    """
    root = package.parent.parent
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    # A git hook hands down GIT_DIR and the like, which name another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return _first_line(command, seconds=1.0, cwd=root, env=environment)


def version(name: str) -> str | None:
    """Return the installed version of the package that is imported as `name`, without importing."""
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return getattr(sys.modules.get(name), "__version__", None)


def crowding(threads: int) -> tuple[Crowded, ...]:
    """Return the flag of a run that asks for more threads than there are cores to run them."""
    cores = usable_cores()
    return (Crowded(threads, cores),) if threads > cores else ()


def peak_memory_bytes() -> int | None:
    """Return the most memory this process has had resident, None where the system does not say.

    On Linux not by getrusage: what it says begins at the size of the process that started this one.
    """
    if kibibytes := _value_in("/proc/self/status", "VmHWM"):
        return 1024 * int(kibibytes.split()[0])
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return getattr(psutil.Process().memory_info(), "peak_wset", None)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cpu_name() -> str:
    """Return the processor's model name, or the architecture where the system has no name."""
    if name := _value_in("/proc/cpuinfo", "model name"):
        return name
    if sys.platform == "darwin":
        name = _first_line(["sysctl", "-n", "machdep.cpu.brand_string"], seconds=1.0)
        return name or platform.machine()
    return platform.processor() or platform.machine()


def _value_in(path: str, key: str) -> str | None:
    """Return the first value of `key` in a file of `KEY: VALUE` lines, None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return next((s.partition(":")[2].strip() for s in lines if s.startswith(key)), None)
    except OSError:
        return None


def usable_cores() -> int:
    """Return how many logical cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_name() -> str | None:
    """Return the name of the first visible NVIDIA GPU, when nvidia-smi answers in two seconds."""
    return _nvidia("name")


def gpu_driver() -> str | None:
    """Return the version of the NVIDIA driver, as `gpu_name` finds it."""
    return _nvidia("driver_version")


def _nvidia(fact: str) -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible in ("", "-1"):
        return None
    command = ["nvidia-smi", f"--query-gpu={fact}", "--format=csv,noheader", f"--id={visible}"]
    return _first_line(command, seconds=2.0)


def _pool(pool: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return {key: pool.get(key) for key in keys} | {"library": Path(pool["filepath"]).name}


def _blas_pools(pools: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the BLAS pools, NumPy's own, out of its wheel, first."""

    def is_numpys(pool: Mapping[str, Any]) -> bool:
        path = Path(pool["filepath"])
        return path.parent.name == "numpy.libs" or path.parts[-3:-1] == ("numpy", ".dylibs")

    blas = [pool for pool in pools if pool["user_api"] == "blas"]
    return sorted(blas, key=is_numpys, reverse=True)


def _built_with() -> str | None:
    """Return the name of the BLAS that NumPy was built with, as for Apple's Accelerate."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    name = config.get("Build Dependencies", {}).get("blas", {}).get("name")
    return str(name) if name else None


def _first_line(command: list[str], *, seconds: float, **options: Any) -> str | None:
    """Return the first line that `command` prints, None when it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=True,
            **options,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None
