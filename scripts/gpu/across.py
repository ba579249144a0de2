"""Certificates across devices: the runs on the GPU against the reference's on the CPU."""

from __future__ import annotations

from pathlib import Path


def certificates(results: Path) -> list[tuple[bool, str]]:
    """Return for each run on CUDA below `results` whether it agrees, and the sentence."""
    from nnbench.records.certifying import certify
    from nnbench.records.figures import Figures
    from nnbench.records.run import RunResult

    runs = [RunResult.read(path.parent) for path in sorted(results.rglob("run.json"))]
    twins = [run for run in runs if run.directory and "parity" in run.directory.parts]
    reference, nudged = (
        next(
            run
            for run in runs
            if (run in twins) == twin
            and run.config["device"]["name"] == "cpu"
            and run.config["backend"]["name"] == "numpy"
        )
        for twin in (False, True)
    )
    found = []
    for run in runs:
        if run not in twins and run.config["device"]["name"] == "cuda":
            certificate = certify(reference, nudged, run, Figures())
            found.append((certificate.outcome == "agrees", f"CUDA against CPU: {certificate}"))
    return found
