"""What a framework can do here, asked in a process of its own.

An import that crashes, hangs or takes gigabytes then costs the caller nothing:
`ask(["numpy", "torch"], seconds=5)` starts one process each, side by side, and returns what they
said. `python -m nnbench.cli.doctor.probe torch` is such a process; it prints one JSON line. What a
backend's `_target_` names, `mine.Mine`, is probed likewise: its import says whether it works.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from typing import Any, Literal

from nnbench.config.sources import python_path
from nnbench.schema.deferred import dataclass

State = Literal["works", "missing", "broken", "silent"]


@dataclass(frozen=True)
class Answer:
    """What a probe found out.

    `state`: the import works, the package is missing, the import is broken, or there was no answer
    in time; `detail` says why it does not work, `devices` are the names of the CUDA devices that
    the framework can use, `facts` whatever else it told.
    """

    name: str
    state: State
    detail: str = ""
    devices: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def ask(names: Sequence[str], *, seconds: float) -> dict[str, Answer]:
    """Probe `names`, keys of PROBES or dotted targets, side by side, each for at most `seconds`."""
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: _ask(name, seconds), names), strict=True))


def _ask(name: str, seconds: float) -> Answer:
    # -P: not the working directory
    command = [sys.executable, "-P", "-m", "nnbench.cli.doctor.probe", name]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if path := python_path():
        environment["PYTHONPATH"] = path
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return Answer(name, "silent", f"no answer in {seconds:g} s")
    if done.returncode < 0:
        return Answer(name, "broken", f"import crashed ({_signal_name(-done.returncode)})")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return Answer(name, "broken", lines[-1] if lines else f"exit code {done.returncode}")
    said = json.loads(done.stdout.splitlines()[-1])
    if "missing" in said:
        return Answer(name, "missing", f"no package {said['missing']}")
    return Answer(name, "works", devices=tuple(said.pop("devices", ())), facts=said)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _numpy() -> dict[str, Any]:
    from nnbench.records import machine

    importlib.import_module("scipy.linalg.blas")
    described = machine.describe(())
    return {key: described[key] for key in ("versions", "blas", "blas_kernel", "threads")}


def _torch() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"devices": devices, "cuda_build": torch.version.cuda}


def _keras() -> dict[str, Any]:
    tensorflow = importlib.import_module("tensorflow")
    importlib.import_module("keras")
    found = tensorflow.config.list_physical_devices("GPU")
    details = [tensorflow.config.experimental.get_device_details(device) for device in found]
    devices = [detail.get("device_name", "GPU") for detail in details]
    return {"devices": devices, "cuda_build": tensorflow.test.is_built_with_cuda() or None}


def _cupy() -> dict[str, Any]:
    runtime = importlib.import_module("cupy").cuda.runtime
    count = range(runtime.getDeviceCount())
    return {"devices": [runtime.getDeviceProperties(i)["name"].decode() for i in count]}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "numpy": _numpy,
    "torch": _torch,
    "keras": _keras,
    "cupy": _cupy,
}
PACKAGES = {
    "numpy": ("numpy", "scipy"),
    "torch": ("torch",),
    "keras": ("keras", "tensorflow"),
    "cupy": ("cupy",),
}


def _target(dotted: str) -> dict[str, Any]:
    module, _, name = dotted.rpartition(".")
    getattr(importlib.import_module(module), name)
    return {}


def main(name: str) -> int:
    """Run one probe and print its answer as the last line of standard output."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            said = PROBES[name]() if name in PROBES else _target(name)
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES.get(name, ()):
            raise
        said = {"missing": error.name}
    print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)  # frameworks' exit handlers have nothing to save
