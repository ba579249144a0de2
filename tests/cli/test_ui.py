"""`nnbench ui` on a real store and a real server."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nnbench.cli.ui import _serve, command, free_port, runs_page, ui
from nnbench.credentials import hidden
from nnbench.errors import ResultsError
from nnbench.tracking.quiet import quiet
from nnbench.tracking.store import DATABASE_NAME, Experiment, open_store
from support import SOURCE
from support.commands import PATIENCE, wait_for

SCRIPT = "import sys; from nnbench.cli.ui import command; command.main(sys.argv[1:])"


def test_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"^No runs recorded in .*; run `nnbench` first\.$"):
        ui(tmp_path, 5000, open_browser=False)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ResultsError, match="its database file is damaged") as caught:
        ui(tmp_path, free_port(5600), open_browser=False)
    assert "\n" not in str(caught.value)


def test_what_is_no_store_is_told_before_a_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would make its tables in somebody else's database, twice at once in an empty one."""
    monkeypatch.setattr("nnbench.cli.ui._start", lambda *_: pytest.fail("a server was started"))
    path = tmp_path / DATABASE_NAME
    path.touch()
    with pytest.raises(ResultsError, match=r"^No runs recorded in .*; run `nnbench` first\.$"):
        ui(tmp_path, 5000, open_browser=False)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE alembic_version (version_num)")
        other.commit()
    for content in (path.read_bytes(), b"no database" * 99, path.read_bytes()[:2000]):
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=r"; repair or move it\.$") as caught:
            ui(tmp_path, 5000, open_browser=False)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == content


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) > port
    assert free_port(port) == port


def test_the_link_opens_the_machine_learning_view() -> None:
    page = runs_page("http://h:1", Experiment("7", "mine", has_view=False))
    assert page == "http://h:1/#/experiments/7/runs?workflowType=machine_learning"
    page = runs_page("http://h:1", Experiment("7", "mine", has_view=True))
    assert page.endswith("workflowType=machine_learning&viewStateShareKey=nnbench")
    assert hidden(page) == page, "it is printed whole"


def test_a_port_out_of_range() -> None:
    answer = CliRunner().invoke(command, ["--port", "70000"])
    assert answer.exit_code == 2
    assert "70000" in answer.output


def lines_of(process: subprocess.Popen[str]) -> queue.Queue[str]:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    stream = process.stdout
    threading.Thread(target=lambda: [lines.put(line) for line in stream], daemon=True).start()
    return lines


def begin(results: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--results", str(results), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE), "DISPLAY": "", "PYTHONUNBUFFERED": "1"},
    )


def announced(process: subprocess.Popen[str]) -> str:
    """Return the link that the command prints once its server is up."""
    lines = lines_of(process)
    while True:
        line = lines.get(timeout=PATIENCE)
        if "http://" in line:
            return line


def port_of(line: str) -> int:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    assert found, line
    return int(found[1])


@pytest.mark.slow
def test_it_serves_until_interrupted(tmp_path: Path) -> None:
    """On a port that is free, its own runs."""
    with quiet():
        client, experiment = open_store(None, "mine", tmp_path)
        run = client.create_run(experiment, run_name="first")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = begin(tmp_path, port)
        try:
            line = announced(process)
            used = port_of(line)
            assert used != port
            assert f"/#/experiments/{experiment}/runs?workflowType=machine_" in line
            assert ask(used, "runs/get?run_id=" + run.info.run_id)["run"]["info"]
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=PATIENCE)
    assert code == 0
    wait_for(partial(free, used))
    assert not list(tmp_path.glob("mlruns"))


@pytest.mark.slow
def test_two_at_once_serve_each_their_own_and_end_when_killed(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        with quiet():
            open_store(None, f"experiment {folder.name}", folder)
    first = free_port(5700)
    processes = [begin(folder, first) for folder in folders]
    try:
        ports = [port_of(announced(process)) for process in processes]
        assert len(set(ports)) == 2
        for port, folder in zip(ports, folders, strict=True):
            found = ask(port, f"experiments/get-by-name?experiment_name=experiment%20{folder.name}")
            assert found["experiment"]["name"] == f"experiment {folder.name}"
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for port in ports:
        wait_for(partial(free, port))


def free(port: int) -> bool:
    return free_port(port) == port


@pytest.mark.slow
def test_a_port_that_is_taken_at_the_last_moment(tmp_path: Path) -> None:
    """Somebody else answers there, and well; it is not our server, and is not announced."""
    open_store(None, "mine", tmp_path)
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    assert _serve(tmp_path, elsewhere.server_address[1], open_browser=False) is False
    elsewhere.shutdown()
    elsewhere.server_close()


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def ask(port: int, what: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/api/2.0/mlflow/{what}", timeout=PATIENCE) as answer:
        return json.load(answer)
