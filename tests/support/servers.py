"""Real servers for a test: MLflow on its own sqlite store, and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import wait_for

NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # ten processes that nobody asks


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Server:
    """An MLflow server on its own sqlite store; may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--workers", "1", "--port", str(self.port)),
                *("--backend-store-uri", f"sqlite:///{self.folder}/s.db"),
                *("--artifacts-destination", str(self.folder / "artifacts")),
            ],
            cwd=self.folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **NO_JOBS},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.is_up)

    def is_up(self) -> bool:
        """Tell whether it answers; fails where it has ended."""
        assert self.process is not None
        assert self.process.poll() is None
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
            return True
        return False

    def stop(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, which Debian keeps out of the PATH."""
    for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (path / "initdb").exists():
            return path
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@contextlib.contextmanager
def postgres_server(password: str | None = None) -> Iterator[str]:
    """A PostgreSQL server of our own, in a temporary folder, on a free port of loopback.

    Its user is `nnbench`, with a `password` where one is given.
    """
    pytest.importorskip("psycopg", reason="SQLAlchemy needs psycopg for PostgreSQL")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    # It refuses to run as root.
    root = os.geteuid() == 0
    if root and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    port = free_port()
    try:
        if root:
            shutil.chown(folder, "postgres", "postgres")
        entry = ["-A", "trust"]
        if password is not None:
            (folder / "password").write_text(password)
            entry = ["-A", "scram-sha-256", "--pwfile", str(folder / "password")]
        subprocess.run(
            [*user, programs / "initdb", "-D", folder / "data", "-U", "nnbench", *entry],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        control = [*user, programs / "pg_ctl", "-D", folder / "data", "-w"]
        subprocess.run(
            [*control, "-o", options, "-l", folder / "log", "start"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        yield f"postgresql://nnbench@127.0.0.1:{port}/postgres"
        subprocess.run(
            [*control, "-m", "fast", "stop"], cwd=folder, check=True, capture_output=True
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
