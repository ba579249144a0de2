"""nnbench from Python: `run` for one run, `runs` for a table of all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench.config.composition import compose
from nnbench.config.installation import need
from nnbench.records.run import RunResult, read_runs
from nnbench.schema import flat
from nnbench.sweeps.session import Session, Silent, open_sink

if TYPE_CHECKING:
    import pandas as pd


def run(overrides: Sequence[str] = ()) -> RunResult:
    """Train one run in a fresh process, as `nnbench OVERRIDES...` does, and return its record.

    Raises NNBenchError, one line, where it cannot be done.
    """
    cell = compose(overrides)
    with open_sink(cell.config) as sink:
        session = Session(Silent(), sink)
        run = session.run(cell)
        return session.settle().get(run.run_id, run)


def runs(results: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """Return every recorded run of a results folder, oldest first, one row each.

    Columns: run_id, name, status, created, the configuration (dotted), parameters, the figures
    of the kept epoch (accuracies from 0 to 1), epoch_seconds (training time, the median of all
    epochs but the first) and phases (seconds).
    """
    need("nnbench.runs", "pandas")
    import pandas as pd

    return pd.DataFrame([_row(run) for run in read_runs(Path(results))])


def _row(run: RunResult) -> dict[str, object]:
    row: dict[str, object] = {
        "run_id": run.run_id,
        "name": run.name,
        "status": run.status,
        "created": run.created,
        "sweep": run.sweep,
        "architecture": run.architecture,
        "parameters": run.parameters,
    }
    row |= flat(run.config)
    if run.kept:
        row |= {key: value for key, value in vars(run.kept).items() if key != "train_seconds"}
    row |= {"epoch_seconds": run.epoch_seconds} | vars(run.phases)
    return row | {"directory": str(run.directory)}
