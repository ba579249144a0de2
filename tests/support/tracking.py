"""MLflow's side of runs: sending records to a store, and asking it what arrived."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.run import TrackingConfig
from nnbench.records.run import RunResult
from nnbench.tracking import content
from nnbench.tracking.mlflow import MlflowSink
from nnbench.tracking.store import store_uri


@contextlib.contextmanager
def open_sink(results: Path, **tracking: Any) -> Iterator[MlflowSink]:
    sink = MlflowSink(TrackingConfig(**tracking), results)
    try:
        yield sink
    finally:
        sink.close()


def mirror(results: Path, *runs: RunResult, **tracking: Any) -> list[dict[str, Any]]:
    """Send `runs` one after the other, epoch by epoch, as the command line does."""
    answers = []
    with open_sink(results, **tracking) as sink:
        for run in runs:
            sink.start(dataclasses.replace(run, status="running", epochs=(), kept_epoch=None))
            for record in run.epochs:
                sink.epochs(run, [record])
            answers.append(sink.finish(run))
    return answers


def client_of(store: Path | str) -> Any:
    """Return a client of a results folder's own store, or of the store at a URI."""
    from mlflow import MlflowClient

    return MlflowClient(store if isinstance(store, str) else store_uri(None, store))


def assert_mirrored(client: Any, runs: Sequence[RunResult]) -> None:
    """Assert that the store has every run once, ended, and every epoch of every figure once."""
    experiments = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    assert len(experiments) == 1
    mirrored = client.search_runs([*experiments, "0"], max_results=1000)
    assert len(mirrored) == len(runs)
    by_id = {each.data.tags["nnbench.run_id"]: each for each in mirrored}
    for run in runs:
        each = by_id[run.run_id]
        assert each.info.status == "FINISHED"
        assert each.data.params["parameters"] == str(run.parameters)
        assert each.inputs.dataset_inputs
        for key, name in content.EPOCH_METRICS.items():
            expected = [getattr(record, name) for record in run.epochs]
            history = client.get_metric_history(each.info.run_id, key)
            got = sorted((m.step, m.value) for m in history)
            assert got == [(i, v) for i, v in enumerate(expected) if v is not None], key
        for key in ("final/test_accuracy", "phase/wall_seconds"):
            assert len(client.get_metric_history(each.info.run_id, key)) == 1
        names = {artifact.path for artifact in client.list_artifacts(each.info.run_id)}
        assert names >= {"run.json", "config.yaml", "weights.safetensors"}
