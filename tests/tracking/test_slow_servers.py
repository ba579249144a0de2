"""A store that gives no answer costs 5 s in all, one that answers slowly 30 s, whatever its kind.

What is counted are the moments that somebody waits, each at most 0.05 s of them: a busy machine
makes them longer, not more.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nnbench.tracking import background
from nnbench.tracking.sync import forgetting, sync
from support.records import make_run
from support.servers import Server
from support.tracking import assert_mirrored, client_of, open_sink

MOMENT = 0.05
DEAD, SLOW = 5.0, 30.0
RUNS = 25


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were asked to be waited for a store, moment by moment."""
    found: list[float] = []

    class Counting(background.Patience):
        def wait(self, done: Callable[[float], bool]) -> bool:
            def counted(seconds: float) -> bool:
                found.append(seconds)
                return done(seconds)

            return super().wait(counted)

    monkeypatch.setattr(background, "Patience", Counting)
    return found


def silent(_: socket.socket, __: socket.socket | None) -> None:
    """Never answer."""
    time.sleep(3600)


def trickling(client: socket.socket, _: socket.socket | None) -> None:
    """Answer a byte a second, for ever."""
    client.recv(65536)
    for letter in "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + "{" * 3600:
        client.sendall(letter.encode())
        time.sleep(1.0)


def late(seconds: float) -> Callable[[socket.socket, socket.socket], None]:
    """Hand on what is asked at once, and every answer after some time."""

    def pass_on(client: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=copied, args=(client, server, 0.0), daemon=True).start()
        copied(server, client, seconds)

    return pass_on


def stalling(after: int) -> Callable[[socket.socket, socket.socket], None]:
    """Hand on so many bytes of answers, and then none."""

    def pass_on(client: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=copied, args=(client, server, 0.0), daemon=True).start()
        copied(server, client, 0.0, after)
        time.sleep(3600)

    return pass_on


def copied(
    source: socket.socket, target: socket.socket, seconds: float, most: int = 1 << 62
) -> None:
    with contextlib.suppress(OSError):
        while most > 0 and (data := source.recv(min(65536, most))):
            most -= len(data)
            time.sleep(seconds)
            target.sendall(data)
        if most > 0:
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def before(behind: str | None, behave: Callable[[Any, Any], None]) -> Iterator[str]:
    """Give the host and port of what behaves so, before the server at `behind`.

    In the end it lets go of all: those who were told nothing are told that.
    """
    held: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        held.append(client)
        with client, contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            server = None
            if behind is not None:
                parts = urlsplit(behind)
                server = socket.create_connection((str(parts.hostname), parts.port or 0))
                stack.enter_context(server)
                held.append(server)
            behave(client, server)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    for each in held:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def sent(results: Path, uri: str, count: int) -> list[dict[str, Any]]:
    """Have a sink take the ends of so many runs, as a sweep does; return its answers."""
    runs = [make_run(results / "runs" / f"r{n}") for n in range(count)]
    with open_sink(results, uri=uri) as sink:
        waits = [sink.finishing(run) for run in runs]
        return [wait() for wait in waits]


def each(*values: Any, short: bool = False) -> Any:
    """Return a case of a test that waits for seconds; make test has the `short` ones."""
    return pytest.param(*values, marks=[] if short else [pytest.mark.slow])


@pytest.mark.parametrize(
    ("kind", "behave", "count"),
    [
        each("http", silent, RUNS, short=True),
        each("postgresql", trickling, RUNS, short=True),
        each("http", silent, 1),
        each("http", trickling, 1),
        each("http", trickling, RUNS),
        each("postgresql", silent, 1),
        each("postgresql", silent, RUNS),
        each("postgresql", trickling, 1),
    ],
)
def test_no_answer_costs_five_seconds_in_all(
    tmp_path: Path, moments: list[float], behave: Any, count: int, kind: str
) -> None:
    with before(None, behave) as place:
        uri = f"http://{place}" if kind == "http" else f"postgresql://me@{place}/x"
        answers = sent(tmp_path, uri, count)
    assert all("error" in answer for answer in answers)
    assert sum(moments) <= DEAD, "whatever is asked, one command waits so long"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [1, RUNS])
def test_slow_answers_cost_half_a_minute_in_all(
    tmp_path: Path, server: Server, moments: list[float], count: int
) -> None:
    """Each request is answered after 3 s; `sync` brings the rest, once the server is itself again.

    Some has arrived, and the rest is told.
    """
    with before(server.uri, late(3.0)) as place:
        answers = sent(tmp_path, f"http://{place}", count)
    assert sum(moments) <= SLOW
    assert "error" in answers[-1] or count == 1
    synced(tmp_path, server.uri, count)
    assert_mirrored(client_of(server.uri), records(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("behave", [late(3.0), stalling(0), stalling(2000), stalling(20000)])
@pytest.mark.parametrize("made", [False, True])
def test_a_database_that_stalls(
    tmp_path: Path, postgres: str, moments: list[float], behave: Any, made: bool
) -> None:
    """From the beginning, after a while, or slow all along; its tables may have to be made."""
    if made:
        client_of(postgres).search_experiments()
    with before(postgres, behave) as place:
        answers = sent(tmp_path, f"postgresql://nnbench@{place}/postgres", RUNS)
    assert sum(moments) <= SLOW
    assert "error" in answers[-1]
    synced(tmp_path, postgres, RUNS)
    assert_mirrored(client_of(postgres), records(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sync_brings_all_over_a_slow_server(tmp_path: Path, server: Server) -> None:
    run = make_run(tmp_path / "runs" / "r0")
    with before(server.uri, late(3.0)) as place:
        ((_, said),) = sync([run], tmp_path, f"http://{place}")
    assert said == ["uploaded"]
    assert_mirrored(client_of(server.uri), [run])


@pytest.mark.parametrize("behave", [each(silent, short=True), each(trickling)])
def test_rm_waits_for_nobody_either(tmp_path: Path, moments: list[float], behave: Any) -> None:
    with before(None, behave) as place:
        tracking = {"mlflow_run_id": "x", "experiment_id": "1", "uri": f"http://{place}"}
        runs = [make_run(tmp_path / "runs" / f"r{n}", tracking=tracking) for n in range(RUNS)]
        with forgetting() as forget:
            lines = [line for run in runs for line in forget(run)]
    assert len(lines) == RUNS
    assert all("stays in MLflow" in line for line in lines)
    assert sum(moments) <= DEAD


def records(results: Path) -> list[Any]:
    from nnbench.records.folder import read_runs

    return read_runs(results)


def synced(results: Path, uri: str, count: int) -> None:
    found = records(results)
    assert len(found) == count
    assert [
        r.tracking["error"] for r, _ in sync(found, results, uri) if "error" in r.tracking
    ] == []
    assert list(sync(records(results), results, uri)) == []
