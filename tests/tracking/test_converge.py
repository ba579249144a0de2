"""A store is brought to what the records say, whatever it shows and however it answers."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnbench.records.run import RunResult
from nnbench.tracking.content import Shown
from nnbench.tracking.converge import converge, search
from nnbench.tracking.download import from_store
from nnbench.tracking.store import Client, open_store, store_uri
from nnbench.tracking.sync import sync
from support.records import epoch, make_run
from support.tracking import assert_mirrored, assert_shown, client_of, history


@pytest.fixture
def results(tmp_path: Path, tables: Path) -> Path:
    """A results folder with a store and its experiment, without runs."""
    shutil.copy(tables, tmp_path)
    open_store(None, "nnbench", tmp_path)
    return tmp_path


def repaired(results: Path, *runs: RunResult) -> dict[str, str]:
    """Return what `sync` says of each run; asked again, it has nothing to say."""
    said = {run.run_id: "; ".join(words) for run, words in sync(runs, results)}
    fresh = [RunResult.read(results / "runs" / run.run_id) for run in runs]
    assert all("error" not in run.tracking for run in fresh)
    before = everything(results)
    assert [words for _, words in sync(fresh, results)] == []
    assert everything(results) == before
    return said


def everything(results: Path) -> Any:
    """Return all that the store has of all runs, deleted ones too."""
    client = client_of(results)
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = [each for e in experiments for some in search(client, e).values() for each in some]
    return {
        each.info.run_id: (
            dict(each.info),
            each.data.tags,
            {key: client.get_metric_history(each.info.run_id, key) for key in each.data.metrics},
        )
        for each in found
        if each.info.lifecycle_stage == "active"
    }


def planted(results: Path, run: RunResult, **shown: Any) -> str:
    """Have the store show other values of a run than its record will have."""
    client = Client(client_of(results), lambda *_: None)
    experiment = client.get_experiment_by_name("nnbench").experiment_id
    return converge(client, experiment, dataclasses.replace(run, **shown)).mlflow_id


def test_what_a_stopped_run_left_is_corrected(results: Path) -> None:
    """As version 0.1 left it: the final figures of when it was stopped, logged as for ever."""
    run = make_run(results / "runs" / "r1")
    id_ = planted(results, run, epochs=run.epochs[:2], kept_epoch=0, message="stopped early")
    client = client_of(results)
    assert client.get_run(id_).data.metrics["final/test_accuracy"] == 0.8
    client.log_metric(id_, "phase/wall_seconds", 77.0, step=3)
    said = repaired(results, run)
    assert said["r1"].startswith("corrected ")
    assert_mirrored(client_of(results), [run])
    assert client.get_run(id_).data.metrics["final/test_accuracy"] == 0.81
    assert client.get_run(id_).data.metrics["phase/wall_seconds"] == 9.0


def test_a_wrong_epoch_is_corrected(results: Path) -> None:
    """Also one in the middle, which the latest value does not show."""
    run = make_run(results / "runs" / "r1")
    wrong = (epoch(0), epoch(1, test_accuracy=0.123, train_seconds=5.0), epoch(2))
    id_ = planted(results, run, epochs=wrong)
    assert "test/accuracy" in repaired(results, run)["r1"]
    assert_shown(client_of(results), client_of(results).get_run(id_), run)


def test_epochs_that_are_not_on_record_go(results: Path) -> None:
    run = make_run(results / "runs" / "r1")
    planted(results, run, epochs=(*run.epochs, epoch(3), epoch(4)))
    assert "made anew" in repaired(results, run)["r1"]
    assert_mirrored(client_of(results), [run])


def test_doubled_runs_become_one(results: Path) -> None:
    """The one that has most is kept, and none is running for ever."""
    run = make_run(results / "runs" / "r1")
    id_ = planted(results, run)
    client = client_of(results)
    experiment = client.get_run(id_).info.experiment_id
    for _ in range(4):
        client.create_run(experiment, tags={"nnbench.run_id": "r1"})
    assert repaired(results, run)["r1"] == "4 duplicates deleted"
    (found,) = client.search_runs([experiment])
    assert found.info.run_id == id_
    assert all(r.info.status != "RUNNING" for r in search(client, experiment)["r1"])


def test_a_doubled_run_is_read_back_once(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The one that has its files; `report --uri` would count the other as a run."""
    run = make_run(results / "runs" / "r1")
    client = client_of(results)
    experiment = client.get_experiment_by_name("nnbench").experiment_id
    client.create_run(experiment, tags={"nnbench.run_id": "r1"})
    gone = client.create_run(experiment, tags={"nnbench.run_id": "r2"})
    client.delete_run(gone.info.run_id)
    planted(results, make_run(results / "runs" / "r3"))
    planted(results, run)
    client.create_run(experiment, tags={"nnbench.run_id": "r1"})
    capfd.readouterr()
    found = from_store(store_uri(None, results), "nnbench", results / "back")
    assert sorted(each.run_id for each in found) == ["r1", "r3"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("status", ["finished", "killed", "failed"])
def test_a_run_that_is_running_for_ever_ends(results: Path, status: Any) -> None:
    run = make_run(results / "runs" / "r1", status=status)
    planted(results, run, status="running", epochs=run.epochs[:1])
    assert "was RUNNING" in repaired(results, run)["r1"]
    assert_mirrored(client_of(results), [run])


def test_a_deleted_run_is_restored(results: Path) -> None:
    run = make_run(results / "runs" / "r1")
    id_ = planted(results, run)
    client_of(results).delete_run(id_)
    assert "restored" in repaired(results, run)["r1"]
    assert client_of(results).get_run(id_).info.lifecycle_stage == "active"


def test_a_changed_file_alone_is_uploaded(results: Path) -> None:
    run = make_run(results / "runs" / "r1")
    planted(results, run)
    (results / "runs" / "r1" / "config.yaml").write_text("seed: 4\n")
    assert repaired(results, run)["r1"] == "uploaded config.yaml"
    client = client_of(results)
    (found,) = client.search_runs([run_of.experiment_id for run_of in client.search_experiments()])
    stored = Path(client.download_artifacts(found.info.run_id, "config.yaml"))
    assert stored.read_text() == "seed: 4\n"


def test_a_certificate_with_other_lists_is_taken_as_it_is(results: Path) -> None:
    parity = {"outcome": "fail", "words": ["a"], "difference": [0.1, float("inf"), 0.3], "x": [1]}
    parity |= {"text": "t", "reference": None, "envelope": []}
    run = make_run(results / "runs" / "r1", parity=parity)
    id_ = planted(results, run)
    client = client_of(results)
    found = client.get_run(id_)
    assert history(client, found, "parity/difference") == {0: 0.1, 2: 0.3}
    assert history(client, found, "parity/x") == {0: 1.0}
    assert found.data.tags["nnbench.parity"] == "fail"
    repaired(results, run)


def test_what_a_user_added_stays(results: Path) -> None:
    run = make_run(results / "runs" / "r1")
    id_ = planted(results, run, epochs=run.epochs[:2])
    client = client_of(results)
    client.set_tag(id_, "mine", "yes")
    client.log_metric(id_, "my/metric", 5.0)
    client.update_run(id_, name="my name")
    repaired(results, run)
    found = client.get_run(id_)
    assert found.data.tags["mine"] == "yes"
    assert found.data.metrics["my/metric"] == 5.0
    assert found.info.run_name == "my name"


class Unreliable:
    """A client whose calls get lost, whose answers get lost, that does things twice and late."""

    def __init__(self, client: Any, rng: random.Random) -> None:
        self.client, self.rng = client, rng
        self.late: list[Callable[[], Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            fate = self.rng.random()
            if fate < 0.12:
                raise TimeoutError("timed out")
            if fate < 0.2 and name in ("create_run", "log_batch", "set_terminated", "update_run"):
                self.late.append(lambda: method(*arguments, **named))
                raise TimeoutError("timed out")
            if fate < 0.3 and self.late:
                with contextlib.suppress(Exception):
                    self.late.pop(0)()
            answer = method(*arguments, **named)
            if fate > 0.88:
                raise TimeoutError("timed out")
            if fate > 0.8:
                with contextlib.suppress(Exception):
                    method(*arguments, **named)
            return answer

        return call


@pytest.mark.parametrize("seed", range(4))
def test_an_unreliable_store_ends_right(
    results: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed, stopped, resumed and ended over lost, late and doubled calls; then one sync."""
    monkeypatch.setattr("nnbench.tracking.store.PAUSE_SECONDS", 0.0)
    run = make_run(results / "runs" / "r1")
    unreliable = Unreliable(client_of(results), random.Random(seed))
    client = Client(unreliable, lambda *_: None)
    experiment = client_of(results).get_experiment_by_name("nnbench").experiment_id
    for changed in (
        {"status": "running", "epochs": ()},
        {"status": "running", "epochs": run.epochs[:1]},
        {"status": "killed", "epochs": run.epochs[:2], "message": "stopped"},
        {"status": "running", "epochs": run.epochs[:2]},
        {},
    ):
        for _ in range(20):
            with contextlib.suppress(Exception):
                converge(client, experiment, dataclasses.replace(run, **changed))
                break
    for late in unreliable.late:  # they come when everything is over
        with contextlib.suppress(Exception):
            late()
    repaired(results, run)
    assert_mirrored(client_of(results), [run])


def test_what_the_process_knows_may_be_dropped(results: Path) -> None:
    """Forgotten after every call, the store ends up the same."""
    run = make_run(results / "runs" / "r1")
    for n in range(3):
        planted(results, run, status="running", epochs=run.epochs[:n])
    planted(results, run)
    assert_mirrored(client_of(results), [run])
    assert Shown(run).digest == Shown(RunResult.read(results / "runs" / "r1")).digest
