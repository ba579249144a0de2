"""Reports as data: a row for each run, and one for each group."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench.record import RunResult
from nnbench.report.content import Report
from nnbench.tracking.content import settings

if TYPE_CHECKING:
    import pandas as pd


def groups_frame(report: Report) -> pd.DataFrame:
    """Return a row for each group of each table: see `nnbench.report.content.Row` for units."""
    import pandas as pd

    rows = [
        {"table": number} | asdict(row)
        for number, content in enumerate(report.tables, start=1)
        for row in content.rows
    ]
    return pd.DataFrame(rows)


def epochs_frame(report: Report) -> pd.DataFrame:
    """Return a row for each epoch of each run, with what tells its group."""
    import pandas as pd

    rows = []
    for number, content in enumerate(report.tables, start=1):
        for group in content.table.groups:
            for run in group.runs:
                known = {"table": number, "group": group.label, **_identity(run)}
                rows += [known | asdict(record) for record in run.epochs]
    return pd.DataFrame(rows)


def runs_frame(report: Report) -> pd.DataFrame:
    """Return a row for each run: identity, settings, figures of the kept epoch, phases."""
    import pandas as pd

    rows = []
    for number, content in enumerate(report.tables, start=1):
        for group in content.table.groups:
            for run in group.runs:
                row = {"table": number, "group": group.label, **_identity(run)}
                row |= {k: str(v) for k, v in settings(run.config).items()}
                row |= asdict(run.kept) if run.kept else {}
                row |= {f"phase_{k}": v for k, v in asdict(run.phases).items()}
                row |= {"parameters": run.parameters, "memory": run.peak_memory_bytes}
                rows.append(row)
    return pd.DataFrame(rows)


def write_data(report: Report, folder: Path) -> list[Path]:
    """Write groups, runs and epochs as CSV with all digits, and as parquet."""
    written = []
    frames = {
        "groups": groups_frame(report),
        "runs": runs_frame(report),
        "epochs": epochs_frame(report),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        written += [folder / f"{name}.csv", folder / f"{name}.parquet"]
    return written


def _identity(run: RunResult) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "run": run.name,
        "status": run.status,
        "seed": run.config.get("seed"),
        "semantics": run.semantics,
        "sweep": run.sweep,
    }
