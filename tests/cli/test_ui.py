"""`nnbench ui` on a real store and a real server."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nnbench.cli.ui import command, free_port, runs_page, ui
from nnbench.errors import ResultsError
from nnbench.tracking.store import DATABASE_NAME, Experiment, open_store, quiet
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


def test_it_serves_until_interrupted(tmp_path: Path) -> None:
    with quiet():
        client, experiment = open_store(None, "mine", tmp_path)
        run = client.create_run(experiment, run_name="first")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "--results", str(tmp_path), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE), "DISPLAY": "", "PYTHONUNBUFFERED": "1"},
        )
        try:
            lines = lines_of(process)
            first = lines.get(timeout=PATIENCE)
            assert first.startswith(f"Port {port} is taken; using ")
            used = int(first.split()[-1].rstrip("."))
            output = [lines.get(timeout=PATIENCE) for _ in range(3)]
            link = f"http://127.0.0.1:{used}/#/experiments/{experiment}/runs?workflowType=machine_"
            assert link in output[1]
            assert ask(used, "runs/get?run_id=" + run.info.run_id)["run"]["info"]
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=PATIENCE)
    assert code == 0
    wait_for(lambda: free_port(used) == used)
    assert not list(tmp_path.glob("mlruns"))


def ask(port: int, what: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/api/2.0/mlflow/{what}", timeout=PATIENCE) as answer:
        return json.load(answer)
