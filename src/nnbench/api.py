"""nnbench from Python: `run` for one run, `runs` for a table of all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench.config.composition import compose
from nnbench.records.frame import frame
from nnbench.records.run import RunResult, read_runs
from nnbench.sweeps.loop import run_one

if TYPE_CHECKING:
    import pandas as pd


def run(overrides: Sequence[str] = ()) -> RunResult:
    """Train one run in a fresh process, as `nnbench OVERRIDES...` does, and return its record.

    Raises NNBenchError, one line, where it cannot be done.
    """
    return run_one(compose(overrides))


def runs(results: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """Return every recorded run of a results folder, oldest first, one row each.

    Columns: run_id, name, status, created, the configuration (dotted), parameters, the figures
    of the kept epoch (accuracies from 0 to 1), epoch_seconds (training time, the median of all
    epochs but the first) and phases (seconds).
    """
    return frame(read_runs(Path(results)))
