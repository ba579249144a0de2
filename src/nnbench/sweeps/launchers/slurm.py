"""Runs cells as job arrays of a SLURM cluster, through submitit.

Jobs write into the results folder, which must be on a file system that the nodes share, and know
nothing of MLflow: the process that submitted them mirrors what they record. It may die; given the
same command again, it takes what is finished and submits the rest. A cancelled job leaves its run
with a checkpoint.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.installation import lacks
from nnbench.config.launcher import Slurm
from nnbench.config.run import Cell
from nnbench.errors import ConfigError, NNBenchError, RunFailed
from nnbench.records.run import RunResult
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import Planner, is_ready
from nnbench.sweeps.process import Interrupts
from nnbench.sweeps.session import Session

FOLDER_NAME = "slurm"
POLL_SECONDS = 1.0
Outcome = Path | RunFailed | None  # the folder of a run, why there is none, or nothing was said


def run_on_slurm(
    cells: Sequence[Cell],
    launcher: Slurm,
    on_end: Callable[[Cell, RunResult | NNBenchError], None],
    stopping: Callable[[], bool],
    say: Callable[[str], None],
    names: tuple[str | None, Sequence[str]],
) -> None:
    """Submit the cells, those that wait for others after them, and follow them to their end.

    `names` are the sweep and the overrides that run names leave out. When `stopping` turns true
    the jobs are cancelled. Raises MissingPackage without submitit, ConfigError without SLURM.
    """
    executor = _executor(launcher, Path(cells[0].config.results))
    waiting = list(cells)
    while waiting and not stopping():
        ready = [cell for cell in waiting if is_ready(cell, waiting)]
        waiting = [cell for cell in waiting if cell not in ready]
        jobs = _submit(executor, ready, launcher, names)
        array = str(jobs[0][0].job_id).partition("_")[0]
        say(f"submitted {len(ready)} runs as {len(jobs)} jobs of array {array}")
        _follow(jobs, on_end, stopping)


def _executor(launcher: Slurm, results: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise lacks("launcher=slurm", "submitit", "slurm") from None
    try:
        executor = submitit.AutoExecutor(folder=results.resolve() / FOLDER_NAME, cluster="slurm")
    except RuntimeError:
        raise ConfigError(
            "Received launcher=slurm; there is no sbatch on this machine. Use launcher=parallel "
            "or sequential."
        ) from None
    more: dict[str, Any] = dict(launcher.parameters or {})
    executor.update_parameters(
        name="nnbench",
        timeout_min=launcher.minutes,
        tasks_per_node=launcher.tasks_per_job,
        cpus_per_task=launcher.cpus_per_task,
        slurm_array_parallelism=launcher.at_once,
        slurm_additional_parameters=more,
        **({"slurm_partition": launcher.partition} if launcher.partition else {}),
        **({"mem_gb": launcher.memory_gb} if launcher.memory_gb else {}),
        **({"slurm_gpus_per_task": launcher.gpus_per_task} if launcher.gpus_per_task else {}),
    )
    return executor


def _submit(
    executor: Any, cells: Sequence[Cell], launcher: Slurm, names: tuple[str | None, Sequence[str]]
) -> list[tuple[Any, list[list[Cell]]]]:
    """Submit one array; return each of its jobs with the cells of its tasks."""
    size = launcher.cells_per_task
    shares = [list(cells[i : i + size]) for i in range(0, len(cells), size)]
    per_job = launcher.tasks_per_job
    jobs = [shares[i : i + per_job] for i in range(0, len(shares), per_job)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # submitit passes on every line of sbatch's
            submitted = executor.map_array(
                work, jobs, [names[0]] * len(jobs), [list(names[1])] * len(jobs)
            )
    except Exception as error:  # submitit's own classes
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"sbatch refused the job: {reason}") from None
    return list(zip(submitted, jobs, strict=True))


def _follow(
    jobs: list[tuple[Any, list[list[Cell]]]],
    on_end: Callable[[Cell, RunResult | NNBenchError], None],
    stopping: Callable[[], bool],
) -> None:
    cancelled = False
    while jobs:
        if stopping() and not cancelled:
            for job, _ in jobs:
                job.cancel(check=False)
            cancelled = True
        for pair in [pair for pair in jobs if pair[0].done()]:
            jobs.remove(pair)
            job, shares = pair
            for share, outcomes in zip(shares, _outcomes(job, shares), strict=True):
                for cell, outcome in zip(share, outcomes, strict=True):
                    on_end(cell, _result(cell, outcome, job))
        time.sleep(POLL_SECONDS if jobs else 0.0)


def _outcomes(job: Any, shares: list[list[Cell]]) -> list[list[Outcome]]:
    """Return what the tasks of a job said; of one that could not say anything, nothing."""
    tasks = [job.task(i) for i in range(len(shares))] if len(shares) > 1 else [job]
    found = []
    for task, share in zip(tasks, shares, strict=True):
        try:
            found.append(list(task.result()))
        except Exception:  # cancelled, out of time or memory, or the node died
            found.append([None] * len(share))
    return found


def _result(cell: Cell, outcome: Outcome, job: Any) -> RunResult | NNBenchError:
    """Return the run of a cell; one whose job was killed has its record all the same."""
    if isinstance(outcome, RunFailed):
        return outcome
    if outcome is not None:
        return RunResult.read(outcome)
    step = Planner(Path(cell.config.results)).look(cell)
    if step.run is not None and step.state in ("finished", "stopped"):
        return step.run
    return RunFailed(f"Its job {job.job_id} ended as {job.state} (see {job.paths.stderr})")


def work(shares: list[list[Cell]], sweep: str | None, unnamed: Sequence[str]) -> list[Outcome]:
    """Do this task's share of the cells, on a node; SIGTERM leaves a checkpoint."""
    import submitit

    from nnbench.sweeps.cells import run_or_take_up

    rank = submitit.JobEnvironment().local_rank
    outcomes: list[Outcome] = []
    with Interrupts() as interrupts:
        for cell in shares[rank] if rank < len(shares) else []:
            session = Session(Observer(), None, sweep, unnamed, interrupts)
            try:
                if interrupts.asked:
                    raise RunFailed("cancelled before it began")
                run = run_or_take_up(cell, Planner(Path(cell.config.results)), session)
                outcomes.append(run.directory)
            except NNBenchError as error:
                outcomes.append(RunFailed(str(error)))
    return outcomes
