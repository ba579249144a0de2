"""Recorded runs as tables of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnbench.config.installation import need
from nnbench.records.identity import LEFT_OUT
from nnbench.records.run import RunResult
from nnbench.schema import flat

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("test_accuracy", "train_accuracy", "generalization_gap", "test_loss", "epoch_seconds")
SHORT = (
    *("name", "status", "backend", "architecture", "batch_size", "seed"),
    *("test_accuracy", "train_accuracy", "generalization_gap", "test_loss", "epoch_seconds"),
)


def frame(runs: Sequence[RunResult], every: bool = False) -> pd.DataFrame:
    """Return one row a run, by run_id: its name, settings and figures that one looks at first.

    `every`: also its whole configuration (dotted), all figures and phases.
    """
    need("A table of runs", "pandas")
    import pandas as pd

    rows = [_row(run) for run in runs]
    index = pd.Index([row.pop("run_id") for row in rows], name="run_id", dtype="object")
    if every:
        return pd.DataFrame(rows, index=index)
    short = [
        row | {"backend": run.config.get("backend", {}).get("name")}
        for row, run in zip(rows, runs, strict=True)
    ]
    return pd.DataFrame(short, index=index, columns=list(SHORT))


def comparison(runs: Sequence[RunResult]) -> pd.DataFrame:
    """Return the runs by name with the settings that vary among them and their main figures."""
    need("A table of runs", "pandas")
    import pandas as pd

    settings = [flat(run.config) for run in runs]
    keys = dict.fromkeys(key for each in settings for key in each if _decides(key))
    varying = [key for key in keys if len({str(each.get(key)) for each in settings}) > 1]
    rows = []
    for run, each in zip(runs, settings, strict=True):
        row = _row(run)
        kept = {key: each.get(key) for key in varying} | {"status": run.status}
        rows.append(kept | {figure: row.get(figure) for figure in FIGURES})
    return pd.DataFrame(rows, index=pd.Index([run.name for run in runs], name="run"))


def _decides(key: str) -> bool:
    """Tell whether a setting is one that a reader compares; a backend's inner ones are not."""
    first, _, rest = key.partition(".")
    return first not in LEFT_OUT and (first != "backend" or rest in ("name", "execution", "engine"))


def _row(run: RunResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "status": run.status,
        "created": run.created,
        "sweep": run.sweep,
        "architecture": run.architecture,
        "parameters": run.parameters,
    }
    figures = {k: v for k, v in vars(run.kept).items() if k != "train_seconds"} if run.kept else {}
    figures |= {"epoch_seconds": run.epoch_seconds, **vars(run.phases)}
    figures["directory"] = str(run.directory)
    settings = {key: value for key, value in flat(run.config).items() if key not in row}
    return row | settings | figures
