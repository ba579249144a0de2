"""Runs read back from an MLflow store, by the run.json that each brought there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.installation import need
from nnbench.credentials import remember, usable
from nnbench.errors import ConfigError, ResultsError
from nnbench.records.run import RECORD_NAME, RunResult
from nnbench.schema.progress import Tell, nobody
from nnbench.tracking.background import Background
from nnbench.tracking.converge import search
from nnbench.tracking.refusal import reason
from nnbench.tracking.store import connect, is_made

SCHEMES = ("http", "https", "sqlite", "postgresql", "postgres", "mysql", "mssql", "databricks")


def from_store(uri: str, experiment: str, into: Path, tell: Tell = nobody) -> list[RunResult]:
    """Return the runs of an experiment of the MLflow store at `uri`, by their run.json.

    The files are brought `into` a folder. Raises ResultsError where it cannot be reached.
    """
    check_uri(uri)
    need("nnbench report --uri", "mlflow")
    with contextlib.closing(Background(patient=True)) as thread:

        def read() -> list[RunResult]:
            is_made(usable(uri))  # or does not answer
            client = connect(usable(uri), thread.patience)
            known = client.get_experiment_by_name(experiment)
            if known is None:
                names = ", ".join(e.name for e in client.search_experiments())
                raise ResultsError(f"{remember(uri)} has no experiment {experiment}, but {names}.")
            return list(_read(client, search(client, known.experiment_id), into, tell))

        try:
            return thread.begin(read)()
        except ResultsError:
            raise
        except Exception as error:  # whatever MLflow and its drivers raise
            raise ResultsError(f"Cannot read {remember(uri)}: {reason(error)}.") from None


def check_uri(uri: str, reading: bool = True) -> None:
    """Raise ConfigError where `uri` names no store; `reading`: where a sqlite file is not there.

    MLflow would make the file, and the folders above it.
    """
    scheme, found, path = uri.partition("://")
    kind = scheme.partition("+")[0]
    if not found or kind not in SCHEMES:
        raise ConfigError(
            f"Received --uri {remember(uri)}; must begin with http://, https://, sqlite:///, "
            "postgresql:// or mysql://"
        )
    file = Path(path.removeprefix("/"))
    if kind == "sqlite" and not (file if reading else file.absolute().parent).exists():
        lacks = "there is no such file" if reading else f"there is no folder {file.parent}"
        raise ConfigError(f"Received --uri {remember(uri)}; {lacks}")


def _read(
    client: Any, found: Mapping[str, Sequence[Any]], into: Path, tell: Tell
) -> Iterator[RunResult]:
    """Bring the run.json of every run, once, and read it."""
    for done, (run_id, entities) in enumerate(found.items()):
        tell(done, len(found), "bringing runs")
        active = [each for each in entities if each.info.lifecycle_stage == "active"]
        if active and re.fullmatch(r"[\w-]+", run_id):
            (into / run_id).mkdir(parents=True, exist_ok=True)
            client.download_artifacts(active[0].info.run_id, RECORD_NAME, str(into / run_id))
            yield RunResult.read(into / run_id)
