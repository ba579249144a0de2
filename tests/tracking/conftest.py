"""A store without runs, made once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnbench.tracking.store import DATABASE_NAME, open_store
from support.servers import Server, postgres_server


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs; MLflow takes a second to make one."""
    folder, copy = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("tables")
    open_store(None, "Default", folder)
    with (
        contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as made,
        contextlib.closing(sqlite3.connect(copy / DATABASE_NAME)) as found,
    ):
        made.backup(found)
    return copy / DATABASE_NAME


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
