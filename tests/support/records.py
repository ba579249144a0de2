"""Records as runs leave them, without the run."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from nnbench.records.run import EpochRecord, Phases, RunResult

CONFIG: dict[str, Any] = {
    "task": "classification",
    "seed": 3,
    "batch_size": 1,
    "shuffle": False,
    "semantics": "matched",
    "results": "results",
    "name": None,
    "case": "study/first",
    "backend": {"name": "numpy", "_target_": "a.B", "execution": "fused", "executions": ["fused"]},
    "arch": {"name": "mlp", "hidden": [128, 64], "activation": "relu"},
    "data": {"name": "mnist_5k", "train_samples": 1000, "root": None},
    "schedule": {"name": "phases", "starts": [0, 30], "rates": [0.005, 0.003]},
    "tracking": {"name": "mlflow", "uri": None, "experiment": "nnbench"},
}

MACHINE: dict[str, Any] = {
    "python": "3.11.7",
    "platform": "Linux-6.18-x86_64",
    "hostname": "vm",
    "cpu": "A Processor",
    "cores": {"physical": 2, "usable": 2},
    "memory_bytes": 2**34,
    "versions": {"nnbench": "0.2.0", "numpy": "2.4.6", "scipy": "1.17.1"},
    "blas_kernel": "SkylakeX",
    "threads": {"blas": 1, "openmp": None, "in_use": 1},
    "environment": {"OMP_NUM_THREADS": "1"},
    "commit": "f" * 40,
    "source_digest": "d4" * 32,
    "backend_source": {"package": "nnbench", "version": "0.2.0", "digest": "e5" * 32},
    "gpu": None,
}


def memory() -> int:
    """Return the most bytes that this process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def epoch(number: int, **changed: Any) -> EpochRecord:
    values: dict[str, Any] = {
        "learning_rate": 0.005,
        "running_loss": 0.5 / (number + 1),
        "train_loss": 0.4 / (number + 1),
        "train_accuracy": 0.9,
        "test_loss": 0.6 / (number + 1),
        "test_accuracy": 0.8 + number / 100,
        "generalization_gap": 0.1 - number / 100,
        "train_seconds": 2.0,
        "evaluate_seconds": 0.5,
    }
    return EpochRecord(epoch=number, **(values | changed))


def make_run(directory: Path, **changed: Any) -> RunResult:
    directory.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "run_id": directory.name,
        "name": f"numpy {directory.name}",
        "status": "finished",
        "semantics": "matched",
        "fingerprint": "0123456789abcdef",
        "created": "2026-01-02T03:04:05+00:00",
        "config": CONFIG,
        "architecture": "784-128-64-10 relu/sigmoid",
        "parameters": 109386,
        "data": {
            "name": "mnist_5k",
            "digests": {"payload": "a1" * 32, "train": "b2" * 32, "test": "c3" * 32},
            "samples": {"train": 1000, "test": 1000},
        },
        "machine": MACHINE,
        "phases": Phases(train_seconds=6.0, evaluate_seconds=1.5, wall_seconds=9.0),
        "epochs": (epoch(0), epoch(1), epoch(2)),
        "kept_epoch": 1,
        "sweep": "20260102-030405",
        "directory": directory,
    }
    run = RunResult(**(values | changed))
    run.write()
    (directory / "config.yaml").write_text("seed: 3\n")
    (directory / "worker.log").write_text("")
    return run
