"""Two sweeps at once, over a server that delays, drops, repeats and reorders what it is told."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nnbench.records.folder import read_runs
from support.commands import PATIENCE, Nnbench, begin, wait_for
from support.servers import Server
from support.tracking import assert_mirrored, client_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
TWICE = ("-m", "backend=numpy", "batch_size=32", "epochs=1", "data.train_samples=200")


class Proxy(ThreadingHTTPServer):
    """Stands before an MLflow server; `late` counts the requests that it still holds."""

    daemon_threads = True

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port, self.rng = port, random.Random(seed)
        self.late, self.lock = 0, threading.Lock()
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.done: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def forward(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def postponed(self, body: bytes, seconds: float) -> None:
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            self.forward(body)
        with self.server.lock:
            self.server.late -= 1

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        with server.lock:
            fate, seconds = server.rng.random(), server.rng.uniform(0.2, 5.0)
        kinds = {0.06: "drop", 0.12: "lose", 0.18: "late", 0.26: "delay", 0.34: "twice", 0.4: "old"}
        kind = next((name for limit, name in kinds.items() if fate < limit), "")
        server.done[kind] = server.done.get(kind, 0) + 1
        if kind == "drop":
            return self.close()
        if kind == "late":
            with server.lock:
                server.late += 1
            threading.Thread(target=self.postponed, args=(body, seconds), daemon=True).start()
            return self.close()
        answer = self.forward(body)
        if kind == "twice":
            answer = self.forward(body)
        if kind == "lose":
            return self.close()
        if kind == "delay":
            time.sleep(seconds)
        place = self.path.partition("?")[0]
        old, server.answers[place] = server.answers.get(place, answer), answer
        status, text = old if kind == "old" else answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        return None

    def close(self) -> None:
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(params=range(3))
def proxy(server: Server, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    found = Proxy(server.port, request.param)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def two_sweeps(folder: Path, *words: str) -> None:
    """R2's commands: the same two runs, asked for at once in the other order."""
    processes = [begin(folder, [*TWICE, f"seed={seeds}", *words]) for seeds in ("0,1", "1,0")]
    for process in processes:
        out, err = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0, out + err


def test_one_sync_is_enough(server: Server, proxy: Proxy, nnbench: Nnbench, tmp_path: Path) -> None:
    two_sweeps(tmp_path, f"tracking.uri={proxy.uri}")
    wait_for(lambda: proxy.late == 0)
    done = nnbench("sync")
    wait_for(lambda: proxy.late == 0)
    print(proxy.done, done.stdout, done.stderr)  # noqa: T201 - shown where the test fails
    assert {"drop", "lose", "late", "delay", "twice", "old"} <= proxy.done.keys()
    assert_mirrored(client_of(server.uri), read_runs(tmp_path / "results"))


def test_two_sweeps_at_once_leave_one_of_each(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        two_sweeps(folder)
        assert_mirrored(client_of(folder / "results"), read_runs(folder / "results"))
