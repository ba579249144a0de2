"""MLflow's side of runs: sending records to a store, and asking it what arrived."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.run import TrackingConfig
from nnbench.records.run import RunResult
from nnbench.tracking import content
from nnbench.tracking.mlflow import MlflowSink
from nnbench.tracking.store import store_uri


@contextlib.contextmanager
def open_sink(results: Path, patient: bool | None = None, **tracking: Any) -> Iterator[MlflowSink]:
    """Give a sink; it is patient with a store of our own, which a busy machine makes slow."""
    patient = "uri" not in tracking if patient is None else patient
    sink = MlflowSink(TrackingConfig(**tracking), results, patient)
    try:
        yield sink
    finally:
        sink.close()


def mirror(
    results: Path, *runs: RunResult, patient: bool | None = None, **tracking: Any
) -> list[dict[str, Any]]:
    """Send `runs` one after the other, epoch by epoch, as the command line does."""
    answers = []
    with open_sink(results, patient, **tracking) as sink:
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
    """Assert that the store has every run once, ended, and shows what its record says, by value."""
    experiments = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    assert len(experiments) == 1
    mirrored = client.search_runs([*experiments, "0"], max_results=1000)
    assert len(mirrored) == len(runs)
    by_id = {each.data.tags["nnbench.run_id"]: each for each in mirrored}
    for run in runs:
        assert_shown(client, by_id[run.run_id], run)


ENDS = {"finished": "FINISHED", "diverged": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
NAMES = {  # of the fields of an epoch's record whose keys in MLflow are not made from them
    **{f"{split}_{what}": f"{split}/{what}" for split in ("train", "test", "val")
       for what in ("loss", "accuracy")},
    "running_loss": "train/running_loss", "train_seconds": "time/epoch_seconds",
    "evaluate_seconds": "time/evaluate_seconds", "learning_rate": "learning_rate",
    "generalization_gap": "generalization_gap",
}  # fmt: skip


def assert_shown(client: Any, each: Any, run: RunResult) -> None:
    """Assert that an MLflow run shows what the record of `run` says, figure by figure."""
    shown = each.data.metrics
    assert each.info.status == ENDS[run.status]
    assert each.data.tags["nnbench.status"] == run.status
    assert ("nnbench.message" in each.data.tags) == bool(run.message)
    assert each.data.params["parameters"] == str(run.parameters)
    assert bool(each.inputs.dataset_inputs) == bool(run.data)
    others = {name: key for key, name in content.EPOCH_METRICS.items()}
    for name, key in (others | NAMES).items():
        values = ((record.epoch, getattr(record, name)) for record in run.epochs)
        expected = {epoch: v for epoch, v in values if v is not None and math.isfinite(v)}
        assert history(client, each, key) == expected, key
        assert shown.get(key) == (expected[max(expected)] if expected else None), key
    phases = dataclasses.asdict(run.phases).items()
    finals = {f"phase/{k}": v for k, v in phases if isinstance(v, int | float)}
    if run.kept:
        names = [n for n in NAMES if n.rpartition("_")[2] in ("loss", "accuracy", "gap")]
        names.remove("running_loss")
        finals |= {f"final/{n}": getattr(run.kept, n) for n in names}
        finals["time/median_epoch_seconds"] = run.epoch_seconds
        finals["time/total_train_seconds"] = math.fsum(e.train_seconds for e in run.epochs)
    if run.status == "killed":  # it may go on: what MLflow has of them is right, or not there
        finals = {key: value for key, value in finals.items() if key in shown}
    for key, value in finals.items():
        there = value is not None and math.isfinite(value)
        assert shown.get(key) == (value if there else None), key
    names_of_files = {artifact.path for artifact in client.list_artifacts(each.info.run_id)}
    assert names_of_files >= {"run.json", "config.yaml"}


def history(client: Any, each: Any, key: str) -> dict[int, float]:
    """Return what MLflow has of a figure at each step; the newest where there are several."""
    metrics = client.get_metric_history(each.info.run_id, key)
    return {m.step: m.value for m in sorted(metrics, key=lambda m: m.timestamp)}
