"""A worker that is started before its job: who takes it, what it is charged, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nnbench.config import sources
from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from nnbench.sweeps import workers
from nnbench.sweeps.loop import run_one
from nnbench.sweeps.process import LOG_NAME
from nnbench.sweeps.workers import worker_ahead
from support.commands import TINY, Nnbench, is_gone, plug_in, wait_for

KILLED = -9


def idle(worker: subprocess.Popen[str]) -> float:
    """Return the processor seconds of its imports once it takes none any more, else 0."""
    process = psutil.Process(worker.pid)
    before, began = process.cpu_times(), time.monotonic()
    while time.monotonic() < began + 0.3:
        time.sleep(0.02)
        if process.status() != "sleeping" or process.cpu_times() != before:
            return 0.0
    return before.user + before.system


READS = """
import os
from nnbench.backends.numpy import NumpyTrainer
class Reads(NumpyTrainer):
    def __init__(self, task, splits):
        assert os.environ["KERAS_BACKEND"] == "torch"
        super().__init__(task, splits)
"""


@pytest.mark.parametrize(
    ("words", "other", "code"),
    [([], "MLFLOW_DISABLE_TELEMETRY", 0), (["threads=2"], "A", KILLED), ([], "A", KILLED)],
)
def test_a_run_takes_it_where_its_environment_is_the_usual(
    words: list[str], other: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what frameworks read, and what MLflow is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(sources, "_typed", [tmp_path / "conf"])
    plug_in(tmp_path, "reads", READS, "reference")
    with (tmp_path / "conf" / "backend" / "reads.yaml").open("a") as file:
        file.write("env: [KERAS_BACKEND=torch]\n")
    with worker_ahead():
        ((worker, _),) = workers._ahead
        monkeypatch.setenv(other, "true")
        run = run_one(compose(["backend=reads", *TINY, *words]))
    assert worker.wait() == code
    assert run.status == "finished"


def test_what_it_waits_is_not_charged_and_what_it_imports_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell, began = compose(TINY), time.time()
    with worker_ahead():
        ((worker, _),) = workers._ahead
        imports = wait_for(lambda: idle(worker))
        time.sleep(1.0)
        run = run_one(cell)
    assert worker.returncode == 0
    assert run.phases.import_seconds > 0.9 * imports > 0.05
    assert run.phases.wall_seconds < time.time() - began - 1.0


def test_it_ends_with_a_mistake_and_with_its_parent() -> None:
    def mistaken() -> None:
        with worker_ahead():
            started.append(workers._ahead[0][0])
            compose(["batch_sise=2"])

    started: list[subprocess.Popen[str]] = []
    with pytest.raises(ConfigError):
        mistaken()
    assert started[0].returncode == KILLED
    assert workers._ahead == []
    code = (
        "import os\nfrom nnbench.sweeps import workers\nwith workers.worker_ahead():\n"
        " print(workers._ahead[0][0].pid, flush=True)\n os._exit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    wait_for(lambda: is_gone(int(done.stdout)))


OTHERS = "sklearn, hydra, matplotlib.pyplot, mlflow, pandas, psutil, rich, scipy.stats, seaborn"


@pytest.mark.parametrize("users", [{}, {"KMP_DUPLICATE_LIB_OK": "True", "KMP_BLOCKTIME": "0"}])
@pytest.mark.parametrize("names", ["threadpoolctl", pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_a_worker_gets_what_the_user_set_and_not_what_imports_set(
    names: str, users: dict[str, str]
) -> None:
    """Whatever this process has imported: runs of one sweep have one environment."""
    code = (
        "from nnbench.records.environment import switches\n"
        "from nnbench.sweeps import workers\n"
        "given = lambda: switches(workers._environment(1, {}, 'cpu'))\n"
        f"before = given()\nimport {names}\nassert given() == before, (before, given())\n"
        f"assert {users!r}.items() <= before.items(), before\n"
    )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KMP_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=inherited | users)


def test_nor_what_was_imported_before_nnbench() -> None:
    """As in a notebook."""
    code = (
        "import sklearn, threadpoolctl\nfrom nnbench.sweeps import workers\n"
        "given = workers._environment(1, {}, 'cpu')\n"
        "assert not [name for name in given if name.startswith('KMP_')], given\n"
    )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KMP_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=inherited)


def test_what_a_backend_says_is_in_the_log(nnbench: Nnbench, tmp_path: Path) -> None:
    code = (
        "import os\nfrom nnbench.backends.numpy import NumpyTrainer\n"
        "class Loud(NumpyTrainer):\n"
        " def warm_up(self, samples):\n"
        "  print('printed', flush=True)\n  os.write(2, b'written')\n"
        "  super().warm_up(samples)\n"
    )
    done = nnbench("backend=loud", *plug_in(tmp_path, "loud", code, "reference"), *TINY)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    assert (run.directory / LOG_NAME).read_text() == "printed\nwritten"
    assert "written" not in done.stdout + done.stderr


def test_what_an_import_says_before_there_is_a_job_is_in_the_log(
    nnbench: Nnbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    assert nnbench(*TINY).returncode == 0
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    said = (run.directory / LOG_NAME).read_text()
    assert said.count("nnbench.training.worker") <= 1 <= said.count("| nnbench.training.runner")
