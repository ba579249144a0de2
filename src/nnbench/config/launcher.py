"""What a user may say about how runs are started; one dataclass per `conf/launcher/*.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from nnbench.schema import at_least
from nnbench.schema.deferred import dataclass

Count = Annotated[int, at_least(1)]


@dataclass(frozen=True)
class Sequential:
    """One run after the other: the only way to times that can be compared."""

    name: Literal["sequential"] = "sequential"


@dataclass(frozen=True)
class Parallel:
    """`n_jobs` runs at a time (None: as many as fit the cores), each on cores of its own.

    A GPU takes `per_gpu` of them.
    """

    n_jobs: Count | None = None
    per_gpu: Count = 1
    name: Literal["parallel"] = "parallel"


@dataclass(frozen=True)
class Slurm:
    """Jobs of a SLURM cluster, through submitit: job arrays whose tasks take `cells_per_task` runs.

    `tasks_per_job` tasks share a job of the array. `parameters` are passed on to sbatch.
    """

    partition: str | None = None
    minutes: Count = 60
    tasks_per_job: Count = 1
    cells_per_task: Count = 1
    at_once: Count = 256
    cpus_per_task: Count = 1
    gpus_per_task: Annotated[int, at_least(0)] = 0
    memory_gb: Annotated[float, at_least(0)] | None = None
    parameters: dict[str, Any] | None = None
    name: Literal["slurm"] = "slurm"


LauncherConfig = Sequential | Parallel | Slurm
