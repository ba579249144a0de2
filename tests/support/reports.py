"""Runs to report on, and a browser that looks at the page."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nnbench.records.run import RunResult
from support.commands import PATIENCE
from support.records import epoch, make_run


def some_runs(
    folder: Path, backend: str, seeds: int = 5, factor: float = 1.0, **changed: Any
) -> list[RunResult]:
    """Return runs whose epochs take about `factor` seconds, one for each seed."""
    found = []
    for seed in range(seeds):
        base = make_run(folder / f"{backend}{seed}{len(changed)}{factor}")
        seconds = [factor * (1 + 0.01 * ((seed * 7 + i) % 5)) for i in range(4)]
        config = base.config | {"seed": seed, "case": None} | changed
        config["backend"] = config["backend"] | {"name": backend}
        records = tuple(
            epoch(i, train_seconds=s, test_accuracy=0.8 + 0.01 * i + 0.001 * seed)
            for i, s in enumerate(seconds)
        )
        found.append(
            dataclasses.replace(
                base, config=config, epochs=records, kept_epoch=3, name=f"{backend} s{seed}",
                created=f"2026-01-0{seed + 1}T00:00:00+00:00",
            )
        )  # fmt: skip
    return found


def in_chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser that has no network; return what it says, the DOM on stdout."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    return subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}", *options, "--dump-dom", str(page),
        ],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
