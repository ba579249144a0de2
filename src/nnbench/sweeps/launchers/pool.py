"""Runs cells in places on this machine, one at a time in each; threads only wait here."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from nnbench.config.launcher import LauncherConfig, Parallel
from nnbench.config.run import Cell
from nnbench.errors import ConfigError, RunBusy
from nnbench.records.flags import Beside
from nnbench.records.machine import usable_cores
from nnbench.sweeps.order import contender
from nnbench.sweeps.plan import is_ready
from nnbench.sweeps.session import ANYWHERE, Place

BUSY_SECONDS = 0.5  # before a run that another process is at is looked at again
Do = Callable[[Cell, Place], Any]


def places(launcher: LauncherConfig, cells: Sequence[Cell]) -> list[Place]:
    """Return where runs may be at the same time. Raises ConfigError for more than there is."""
    if not isinstance(launcher, Parallel):
        return [ANYWHERE]
    cores, threads = _cores(), max(cell.config.threads for cell in cells)
    gpus = _gpus() if any(cell.config.device.name != "cpu" for cell in cells) else []
    most = len(gpus) * launcher.per_gpu if gpus else max(1, len(cores) // threads)
    n = min(launcher.n_jobs or most, len(cells))
    if gpus and n > most:
        raise ConfigError(
            f"Received launcher.n_jobs={n} with device=cuda; {len(gpus)} GPU takes "
            f"launcher.per_gpu={launcher.per_gpu} run at a time. Raise launcher.per_gpu."
        )
    share = max(1, len(cores) // n)
    return [
        Place(
            cores=tuple(cores[i * share % len(cores) :][:share]),
            environment=(("CUDA_VISIBLE_DEVICES", gpus[i % len(gpus)]),) if gpus else (),
            flags=(Beside(n),) if n > 1 else (),
        )
        for i in range(n)
    ]


def run_in_places(
    cells: Sequence[Cell], where: Sequence[Place], do: Do, stopping: Callable[[], bool]
) -> None:
    """Call `do(cell, place)` for every cell, in order, those that wait for others after them.

    Of the next cells, one for each place, that goes to a free place whose contender has been there
    least often: a slower place is nobody's own. A cell for which `do` raises RunBusy is tried again
    later. Ends when all are done, or those under way are and `stopping` tells so. Any other
    exception of `do` is raised when it occurs.
    """
    waiting, free = list(cells), list(where)
    active: dict[Future[Any], tuple[Cell, Place]] = {}
    busy: list[Cell] = []
    been: Counter[tuple[str, Place]] = Counter()
    with ThreadPoolExecutor(len(where), thread_name_prefix="nnbench-run") as pool:
        while (waiting or busy or active) and not (stopping() and not active):
            if not stopping():
                unfinished = [*waiting, *busy, *(c for c, _ in active.values())]
                could = (cell for cell in waiting if is_ready(cell, unfinished))
                ready = list(itertools.islice(could, 2 * len(where)))  # more are never looked at
                while free and ready:
                    cell, place = _best(ready[: len(where)], free, been)
                    been[contender(cell), place] += 1
                    ready.remove(cell)
                    waiting.remove(cell)
                    free.remove(place)
                    active[pool.submit(do, cell, place)] = cell, place
            done, _ = wait(active, BUSY_SECONDS if busy else None, FIRST_COMPLETED)
            if not done or not waiting:
                waiting, busy = [*waiting, *busy], []
            for future in done:
                cell, place = active.pop(future)
                free.append(place)
                try:
                    future.result()
                except RunBusy:
                    busy.append(cell)


def _best(
    cells: Sequence[Cell], free: Sequence[Place], been: Counter[tuple[str, Place]]
) -> tuple[Cell, Place]:
    """Return which of `cells` is to run in which `free` place; the first of equals."""

    def visits(pair: tuple[Cell, Place]) -> int:
        return been[contender(pair[0]), pair[1]]

    return min(itertools.product(cells, free), key=visits)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(usable_cores()))


def _gpus() -> list[str]:
    """Return the indices of the GPUs that may be used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return ["0"]
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return done.stdout.split() or ["0"]
