"""One run as far as MLflow has it: created, filled batch by batch, ended."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnbench.records.run import RECORD_NAME, EpochRecord, RunResult
from nnbench.tracking import content
from nnbench.tracking.note import note

ARTIFACTS = (RECORD_NAME, "config.yaml", "weights.safetensors", "predictions.npz", "worker.log")
MOST_METRICS = 1000  # that MLflow takes at once
MOST_PARAMS = 100


@dataclass
class Mirror:
    """One run on its way to MLflow; every method may be called again after it failed.

    `pending` holds the metrics that MLflow has not taken yet, `seen` the epochs they came from;
    `had` the steps by metric that MLflow had when the run was taken up again; `beat` is called
    whenever MLflow has taken something.
    """

    run: RunResult
    mlflow_id: str | None = None
    seen: set[int] = field(default_factory=set)
    pending: list[content.Metric] = field(default_factory=list)
    had: dict[str, set[int]] = field(default_factory=dict)
    beat: Callable[[], None] = lambda: None
    seconds: float = 0.0

    def add(self, records: Sequence[EpochRecord], end: float) -> None:
        """Keep the figures of new epochs, the last of which ended at `end` (Unix seconds)."""
        fresh = [record for record in records if record.epoch not in self.seen]
        self.seen |= {record.epoch for record in fresh}
        self.pending += content.epoch_metrics(fresh, end)

    def create(self, client: Any, experiment_id: str) -> None:
        """Create the run with params, tags and dataset; take up the one that is there already.

        A run that another process began is looked for, by our id: that process may have died
        before it could note MLflow's.
        """
        from mlflow.entities import Param

        if self.mlflow_id:
            return
        begun = self.run.resumed or self.run.status != "running"
        known = find_run(client, experiment_id, self.run) if begun else None
        if known:
            self._reopen(client, known)
        else:
            created = client.create_run(
                experiment_id,
                start_time=round(content.started(self.run) * 1000),
                tags=content.tags(self.run, _user()),
                run_name=self.run.name,
            )
            self.mlflow_id = str(created.info.run_id)
        params = [Param(key, value) for key, value in content.params(self.run).items()]
        for first in range(0, len(params), MOST_PARAMS):
            client.log_batch(self.mlflow_id, params=params[first : first + MOST_PARAMS])
        self._log_dataset(client)

    def flush(self, client: Any) -> None:
        """Log what is pending; what was logged is forgotten batch by batch."""
        from mlflow.entities import Metric

        self.pending = [m for m in self.pending if m.step not in self.had.get(m.key, ())]
        while self.pending:
            batch = self.pending[:MOST_METRICS]
            client.log_batch(self.mlflow_id, metrics=[Metric(*metric) for metric in batch])
            del self.pending[: len(batch)]
            self.beat()

    def end(self, client: Any, end: float) -> None:
        """Set note and status, upload the files; a failed upload leaves an ended run behind."""
        from mlflow.entities import RunTag

        run = self.run
        tags = {"mlflow.note.content": note(run), "nnbench.status": run.status}
        tags |= {"nnbench.parity": run.parity["outcome"]} if run.parity else {}
        client.log_batch(self.mlflow_id, tags=[RunTag(*tag) for tag in tags.items()])
        try:
            for path in self.files():
                client.log_artifact(self.mlflow_id, str(path))
                self.beat()
        finally:
            client.set_terminated(self.mlflow_id, content.STATUS[run.status], round(end * 1000))

    def files(self) -> list[Path]:
        """Return the files of the run that MLflow is given."""
        paths = [self.run.directory / name for name in ARTIFACTS] if self.run.directory else []
        return [path for path in paths if path.is_file() and path.stat().st_size]

    def _reopen(self, client: Any, mlflow_id: str) -> None:
        """Continue a run, noting the figures that it has."""
        client.update_run(mlflow_id, status="RUNNING")
        for key in client.get_run(mlflow_id).data.metrics:
            history = client.get_metric_history(mlflow_id, key)
            self.had[key] = {metric.step for metric in history}
            self.beat()
        self.mlflow_id = mlflow_id

    def _log_dataset(self, client: Any) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        values = content.dataset(self.run)
        if values:
            tags = [InputTag("mlflow.data.context", "training")]
            client.log_inputs(self.mlflow_id, [DatasetInput(Dataset(**values), tags)])


def add_parity(client: Any, mlflow_id: str, run: RunResult) -> None:
    """Give a run that has ended the outcome of its certificate, the drift and run.json anew."""
    from mlflow.entities import Metric, RunTag

    assert run.parity is not None
    client.log_batch(
        mlflow_id,
        metrics=[Metric(*metric) for metric in content.parity_metrics(run)[:MOST_METRICS]],
        tags=[RunTag("nnbench.parity", run.parity["outcome"])],
    )
    if run.directory:
        client.log_artifact(mlflow_id, str(run.directory / RECORD_NAME))


def find_run(client: Any, experiment_id: str, run: RunResult) -> str | None:
    """Return the id of the MLflow run that mirrors `run` already, if there is one."""
    text = f"tags.`nnbench.run_id` = '{run.run_id}'"
    found = client.search_runs([experiment_id], filter_string=text, max_results=1)
    return str(found[0].info.run_id) if found else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return "unknown"
