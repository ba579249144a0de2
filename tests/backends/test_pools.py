"""Two threads are those of one pool, as the libraries that are loaded say themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnbench.records.environment import THREAD_VARIABLES
from nnbench.records.machine import usable_cores

SMALL, LARGE = "batch_size=32", "batch_size=500 arch=mlp arch.hidden=[1000,400]"
PROGRAM = """
import json, sys
import scipy.linalg.blas, scipy.linalg.lapack  # the data, or a user's own code, may bring them
from threadpoolctl import threadpool_info
from nnbench import data
from nnbench.backends.numpy import NumpyTrainer
from nnbench.config.composition import compose
from nnbench.training.assembly import all_splits, make_task, make_walk

def pools():
    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {pool["filepath"]: pool["num_threads"] for pool in blas}

found = [pools()]
words = ["data=digits", "threads=" + sys.argv[1], "loss=cross_entropy", *sys.argv[2].split()]
for execution in sys.argv[3:]:
    config = compose([*words, "backend=numpy_" + execution if execution != "fused" else words[0]])
    config = config.config
    dataset = data.load(config.data, kind=config.task, seed=0)
    task = make_task(config, dataset)
    trainer = NumpyTrainer(task, all_splits(dataset, None))
    samples = len(dataset.splits["train"])
    trainer.warm_up(samples)
    found.append(pools())
    lr = config.schedule.per_step(0, task.steps(samples), 1, ())
    trainer.train(make_walk(config, task, samples, 0, lr))
    trainer.evaluate("test")
    found.append(pools())
print(json.dumps(found))
"""


def pools(threads: int, net: str, *executions: str) -> list[dict[str, int]]:
    """Return the threads of every BLAS pool: before, and of each execution warm and at work."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(threads), net, *executions],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, int]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(usable_cores() < 2, reason="a BLAS library has no more threads than cores")
def test_one_pool_has_the_threads_while_the_other_is_limited() -> None:
    before, *later = pools(2, LARGE, "fused", "reference")
    if len(before) < 2:
        pytest.skip("NumPy and SciPy share one BLAS library here")
    assert set(before.values()) == {2}  # what there would be without a limit: two pools of two
    assert len(later) == 4
    for found, library in zip(later, ("scipy", "scipy", "numpy", "numpy"), strict=True):
        assert sorted(found.values()) == [1] * (len(found) - 1) + [2]
        (path,) = (path for path, threads in found.items() if threads == 2)
        assert library in Path(path).parent.as_posix().rpartition("site-packages")[2]


@pytest.mark.parametrize(("threads", "net"), [(1, LARGE), (2, SMALL)])
def test_one_thread_is_one_thread(threads: int, net: str) -> None:
    """So are two, of a net that is better off with one."""
    before, *later = pools(threads, net, "fused")
    assert set(before.values()) == {min(threads, usable_cores())}
    for found in later:
        assert set(found.values()) == {1}
