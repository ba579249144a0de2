"""Runs read back from an MLflow store, by the run.json that each brought there."""

from __future__ import annotations

import re
from pathlib import Path

from nnbench.config.installation import need
from nnbench.credentials import hidden
from nnbench.errors import ResultsError
from nnbench.records.run import RunResult
from nnbench.tracking.refusal import reason
from nnbench.tracking.store import client_of


def from_store(uri: str, experiment: str, into: Path) -> list[RunResult]:
    """Return the runs of an experiment of the MLflow store at `uri`, by their run.json.

    The files are brought `into` a folder. Raises ResultsError where it cannot be reached.
    """
    need("nnbench report --uri", "mlflow")
    shown = hidden(uri)
    try:
        with client_of(uri, patient=True) as client:
            known = client.get_experiment_by_name(experiment)
            if known is None:
                names = ", ".join(e.name for e in client.search_experiments())
                raise ResultsError(f"{shown} has no experiment {experiment}, but {names}.")
            runs = []
            token = None
            while True:
                page = client.search_runs([known.experiment_id], page_token=token)
                for each in page:
                    run_id = each.data.tags.get("nnbench.run_id")
                    if not run_id or not re.fullmatch(r"[\w-]+", run_id):
                        continue
                    folder = into / run_id
                    folder.mkdir(parents=True, exist_ok=True)
                    client.download_artifacts(each.info.run_id, "run.json", str(folder))
                    runs.append(RunResult.read(folder))
                token = page.token
                if not token:
                    return runs
    except ResultsError:
        raise
    except Exception as error:  # whatever MLflow and its drivers raise
        raise ResultsError(f"Cannot read {shown}: {reason(error)}.") from None
