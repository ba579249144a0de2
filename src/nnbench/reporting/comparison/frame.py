"""Reports as data: a row for each run, and one for each group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nnbench.records.run import RunResult
from nnbench.records.settings import settings
from nnbench.reporting.comparison.content import Report

if TYPE_CHECKING:
    import pandas as pd


def groups_frame(report: Report) -> pd.DataFrame:
    """Return a row for each group of each table; units as in `comparison.rows.Row`."""
    import pandas as pd

    rows = [
        {"table": number} | vars(row)
        for number, content in enumerate(report.tables, start=1)
        for row in content.rows
    ]
    return pd.DataFrame(rows)


def epochs_frame(report: Report) -> pd.DataFrame:
    """Return a row for each epoch of each run, with what tells its group."""
    import pandas as pd

    return pd.DataFrame(
        [known | vars(record) for run, known in _runs(report) for record in run.epochs]
    )


def runs_frame(report: Report) -> pd.DataFrame:
    """Return a row for each run: identity, settings, figures of the kept epoch, phases."""
    import pandas as pd

    rows = []
    for run, known in _runs(report):
        row = known | {k: str(v) for k, v in settings(run.config).items()}
        row |= vars(run.kept) if run.kept else {}
        row |= {f"phase_{k}": v for k, v in vars(run.phases).items()}
        row |= {"parameters": run.parameters, "memory": run.peak_memory_bytes}
        rows.append(row)
    return pd.DataFrame(rows)


def _runs(report: Report) -> Iterator[tuple[RunResult, dict[str, Any]]]:
    """Yield each run of each table with what it is called by."""
    for number, content in enumerate(report.tables, start=1):
        for group in content.table.groups:
            for run in group.runs:
                yield (
                    run,
                    {
                        "table": number,
                        "group": group.label,
                        "run_id": run.run_id,
                        "run": run.name,
                        "status": run.status,
                        "seed": run.config.get("seed"),
                        "semantics": run.semantics,
                        "sweep": run.sweep,
                    },
                )
