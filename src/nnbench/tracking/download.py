"""Runs read back from an MLflow store, by the run.json that each brought there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnbench.config.installation import need
from nnbench.credentials import remember, usable
from nnbench.errors import ResultsError
from nnbench.records.run import RunResult
from nnbench.schema.progress import Tell, nobody
from nnbench.tracking.background import Background
from nnbench.tracking.converge import RUN_TAG
from nnbench.tracking.refusal import reason
from nnbench.tracking.store import connect, is_made


def from_store(uri: str, experiment: str, into: Path, tell: Tell = nobody) -> list[RunResult]:
    """Return the runs of an experiment of the MLflow store at `uri`, by their run.json.

    The files are brought `into` a folder. Raises ResultsError where it cannot be reached.
    """
    need("nnbench report --uri", "mlflow")
    with contextlib.closing(Background(patient=True)) as thread:

        def read() -> list[RunResult]:
            is_made(usable(uri))  # or does not answer
            client = connect(usable(uri), thread.patience)
            known = client.get_experiment_by_name(experiment)
            if known is None:
                names = ", ".join(e.name for e in client.search_experiments())
                raise ResultsError(f"{remember(uri)} has no experiment {experiment}, but {names}.")
            return list(_download(client, known.experiment_id, into, tell))

        try:
            return thread.begin(read)()
        except ResultsError:
            raise
        except Exception as error:  # whatever MLflow and its drivers raise
            raise ResultsError(f"Cannot read {remember(uri)}: {reason(error)}.") from None


def _download(client: Any, experiment_id: str, into: Path, tell: Tell) -> Iterator[RunResult]:
    token, count = None, 0
    while True:
        page = client.search_runs([experiment_id], page_token=token)
        for each in page:
            count += 1
            tell(0, 0, f"bringing run {count:,}")
            run_id = each.data.tags.get(RUN_TAG, "")
            if re.fullmatch(r"[\w-]+", run_id):
                (into / run_id).mkdir(parents=True, exist_ok=True)
                client.download_artifacts(each.info.run_id, "run.json", str(into / run_id))
                yield RunResult.read(into / run_id)
        token = page.token
        if not token:
            return
