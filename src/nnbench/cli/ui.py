"""`nnbench ui`: browse the recorded runs in MLflow's user interface."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import psutil

from nnbench.cli import options
from nnbench.config.installation import need
from nnbench.errors import ResultsError
from nnbench.reporting.pages.screen import say
from nnbench.tracking.quiet import PRIVACY
from nnbench.tracking.refusal import reason
from nnbench.tracking.store import DATABASE_NAME, VIEW_KEY, Experiment, experiments, store_uri

HOST = "127.0.0.1"
PORTS_TRIED = 50
START_SECONDS = 90.0
STOP_SECONDS = 2.0
ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
SERVER = """
import os, runpy, signal, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
"""


@click.command("ui")
@options.results
@click.option(
    "--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="First to try."
)
@click.option(
    "--browser/--no-browser", default=True, help="Open a browser where there is a display."
)
def command(results: Path, port: int, browser: bool) -> int:
    """Browse the recorded runs in MLflow's user interface."""
    return ui(results, port, open_browser=browser)


def ui(results: Path, port: int, open_browser: bool) -> int:
    """Serve the runs in `results` until Ctrl-C; return the exit code.

    Raises ResultsError, one line, when nothing was recorded or the server does not come up.
    """
    need("nnbench ui", "mlflow", otherwise="list the runs: nnbench ls")
    _check(results)
    with _ending_on_signals():
        try:
            free = port
            while True:
                free = free_port(free)
                if free != port:
                    say(f"Port {port} is taken; using {free}.")
                if not _serve(results, free, open_browser):
                    free += 1
        except KeyboardInterrupt:
            say("\nStopped.")
            return 0


def _check(results: Path) -> None:
    """Raise ResultsError where nothing was recorded, or not in a database of MLflow.

    Before a server is started, which would make its tables there, or try for a minute.
    """
    path = results / DATABASE_NAME
    if not path.is_file() or not path.stat().st_size:
        raise ResultsError(f"No runs recorded in {results}; run `nnbench` first.")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=START_SECONDS)) as connection:
            connection.execute("SELECT * FROM alembic_version, experiments LIMIT 1").fetchall()
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ResultsError:
    return ResultsError(f"Cannot read {path}: {reason(error)}; repair or move it.")


def _serve(results: Path, port: int, open_browser: bool) -> bool:
    """Serve until interrupted; return False where another process was faster to take the port."""
    say(f"Starting MLflow on {results} ...")
    with tempfile.TemporaryFile() as log:
        server = _start(results, port, log)
        try:
            found = _experiments(results)
            if not _is_up(server, port, log):
                return False
            _announce(f"http://{HOST}:{port}", found, open_browser)
            code = server.wait()  # until Ctrl-C; a server that ends by itself is an error
            raise ResultsError(f"MLflow's server ended with exit code {code}: {_last_line(log)}")
        finally:
            _stop(server)


def runs_page(address: str, experiment: Experiment) -> str:
    """Return the link to an experiment's table of runs, in the machine-learning view."""
    page = f"{address}/#/experiments/{experiment.id}/runs?workflowType=machine_learning"
    return f"{page}&viewStateShareKey={VIEW_KEY}" if experiment.has_view else page


def free_port(first: int) -> int:
    """Return the first port from `first` on that nobody listens on.

    Raises ResultsError when many in a row are taken.
    """
    last = min(first + PORTS_TRIED, 65536)
    for port in range(first, last):
        with socket.socket() as probe:
            # As servers do: a port that has just been left may be taken again.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ResultsError(
        f"Ports {first} to {last - 1} are taken or forbidden; choose another --port."
    )


def _start(results: Path, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that Ctrl-C reaches us first.

    It ends with us, however we end: the system then closes the pipe that it reads.
    """
    arguments = ["--backend-store-uri", store_uri(None, results), "--host", HOST]
    arguments += ["--port", str(port), "--workers", "1"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", SERVER, "ui", *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=environment | PRIVACY | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
        cwd=results,
    )


def _experiments(results: Path) -> list[Experiment]:
    """Look the experiments up while the server starts."""
    try:
        return experiments(results)
    except Exception as error:
        raise _unreadable(results / DATABASE_NAME, error) from None


def _is_up(server: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> bool:
    """Wait until our own server answers; return False where it found the port taken.

    Raises ResultsError where it ends otherwise, or does not come up.
    """
    deadline = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if server.poll() is not None:
            if "address already in use" in _said(log).lower():
                return False
            raise ResultsError(f"MLflow's server ended at once: {_last_line(log)}")
        if _listens(server, port):
            with contextlib.suppress(OSError, http.client.HTTPException):
                opener.open(f"http://{HOST}:{port}/health", timeout=2).close()
                return True
        time.sleep(0.2)
    raise ResultsError(f"MLflow's server was not up after {START_SECONDS:.0f} s: {_last_line(log)}")


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    """Tell whether it is this server, or a child of it, that listens on the port."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(server.pid)
        for process in (parent, *parent.children(recursive=True)):
            for each in process.net_connections("tcp4"):
                if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                    return True
    return False


def _announce(address: str, found: list[Experiment], open_browser: bool) -> None:
    if not found:
        say(f"MLflow is up, with no experiment yet: {address}\nCtrl-C stops it.")
        return
    first, *others = found
    page = runs_page(address, first)
    say(f"Runs of {first.name}: {page}")
    for other in others:
        say(f"  also {other.name}: {runs_page(address, other)}")
    say("Ctrl-C stops it.")
    if open_browser and has_display():
        click.launch(page)


def has_display() -> bool:
    """Tell whether a browser could be seen here."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and the worker processes that it started."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is not None and wish is signal.SIGTERM:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, wish)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Treat the end of the terminal and the like as Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _said(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _last_line(log: IO[bytes]) -> str:
    lines = _said(log).strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
