"""Servers of MLflow and of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Server, postgres_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    found = Server(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URI of a PostgreSQL server of our own."""
    with postgres_server() as uri:
        yield uri
