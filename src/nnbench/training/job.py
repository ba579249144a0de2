"""One run as its worker receives it, and the way there: a line of JSON."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from nnbench.config.run import RunConfig, read_config
from nnbench.records.flags import Flag, read_flag
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Job:
    """One run to do: `values` is its resolved configuration, `directory` where it is kept.

    `weights` is the folder or file of `init=from_run`. `nudged`: start one ulp away from the
    initial weights, to see what rounding alone does. `resume`: `directory` holds a run that was
    stopped; go on with it. `flags` are facts that belong to the figures, as that other runs
    were beside it; `cores` those that the worker may use (None: all); `started` a `time.time()`;
    `log` where a worker writes that was started before there was one (None: it has one).
    """

    values: dict[str, Any]
    run_id: str
    name: str
    created: str
    directory: Path
    weights: Path | None = None
    sweep: str | None = None
    nudged: bool = False
    resume: bool = False
    flags: tuple[Flag, ...] = ()
    cores: tuple[int, ...] | None = None
    started: float = 0.0
    log: Path | None = None

    @cached_property
    def config(self) -> RunConfig:
        """Return the configuration, typed. Raises ConfigError."""
        return read_config(self.values)

    def line(self) -> str:
        """Return the job as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def of_plain(cls, job: dict[str, Any]) -> Job:
        """Return the job whose `line` said `job`."""
        paths = {k: job[k] and Path(job[k]) for k in ("directory", "weights", "log")}
        return cls(**job | paths | {"flags": tuple(map(read_flag, job["flags"]))})
