"""Downloads of MNIST, from servers on this machine: mirrors, damage, deadlines, the cache."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nnbench.data import catalog, download, mnist
from nnbench.errors import DataError
from support.commands import PATIENCE
from support.small_mnist import flip, lay, load, small, truncate

__all__ = ["small"]  # a fixture


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Serve a folder over HTTP; return its address. What it has comes, however busy we are."""
    monkeypatch.setattr(download, "FIRST_FILE_SECONDS", PATIENCE)
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_is_missing_is_downloaded_once(
    small: dict[str, bytes],
    tmp_path: Path,
    serve: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mnist.MNIST, "mirrors", (serve(lay(small, tmp_path / "served")),))
    before = os.umask(0o027)
    downloaded = load().digests()
    os.umask(before)
    cached = tmp_path / "cache" / "mnist"
    assert {path.stat().st_mode & 0o777 for path in cached.iterdir()} == {0o640}
    assert sorted(p.name for p in cached.iterdir()) == sorted(f"{name}.gz" for name in small)
    monkeypatch.setattr(mnist.MNIST, "mirrors", ())
    assert load().digests() == downloaded
    assert mnist.MNIST.fetch() == cached


@pytest.mark.parametrize("damage", [truncate, flip, None], ids=["cut", "flip", "not there"])
def test_the_second_mirror_makes_up_for_the_first(
    small: dict[str, bytes],
    tmp_path: Path,
    serve: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes] | None,
) -> None:
    first, second = lay(small, tmp_path / "first"), lay(small, tmp_path / "second")
    bad = first / "train-images-idx3-ubyte.gz"
    packed = bad.read_bytes()
    bad.unlink()
    if damage:
        bad.write_bytes(damage(packed))
    monkeypatch.setattr(mnist.MNIST, "mirrors", (serve(first), serve(second)))
    load()
    monkeypatch.setattr(mnist.MNIST, "mirrors", (serve(first),))
    shutil.rmtree(tmp_path / "cache")
    expected = r"no download \(127\.0\.0\.1:\d+: " + ("train-images" if damage else "HTTP 404")
    with pytest.raises(DataError, match=expected) as caught:
        load()
    assert "\n" not in str(caught.value)
    # What was whole is kept, what was not never reached the cache.
    kept = sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir())
    assert kept == sorted(f"{name}.gz" for name in small if name not in bad.name)


def test_fetch_replaces_what_is_damaged_in_the_cache(
    small: dict[str, bytes],
    tmp_path: Path,
    serve: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = lay(small, tmp_path / "cache" / "mnist")
    name = "t10k-labels-idx1-ubyte"
    (cached / f"{name}.gz").write_bytes(gzip.compress(flip(small[name] + bytes(100))))
    with pytest.raises(DataError, match="nnbench data fetch mnist"):
        load()
    monkeypatch.setattr(mnist.MNIST, "mirrors", (serve(lay(small, tmp_path / "served")),))
    told: list[tuple[float, float, str]] = []
    assert catalog.fetch("mnist", lambda *each: told.append(each)) == cached
    load()
    size = (tmp_path / "served" / f"{name}.gz").stat().st_size
    assert told[0][2] == f"asking {urlsplit(mnist.MNIST.mirrors[0]).netloc} for {name}.gz"
    assert told[-1][:2] == (size, size)  # all of its bytes
    assert all(0 <= done <= total for done, total, _ in told)


def test_fetch_leaves_the_users_own_files_alone(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = lay(small, tmp_path / "own")
    monkeypatch.setenv("NNBENCH_DATA", str(own))
    assert catalog.fetch("mnist") == own
    path = own / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"t10k-labels.* is no IDX file"):
        catalog.fetch("mnist")
    assert path.read_bytes() == b"damaged"


def test_without_network_or_files_the_way_out_is_named(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    lay({"t10k-labels-idx1-ubyte": small["t10k-labels-idx1-ubyte"]}, own)
    monkeypatch.setenv("NNBENCH_DATA", str(own))
    with socket.socket() as silent:  # takes connections and never answers: only a deadline ends it
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            ports = [s.getsockname()[1] for s in (silent, closed)]
            mirrors = tuple(f"http://127.0.0.1:{port}/" for port in ports)
            monkeypatch.setattr(mnist.MNIST, "mirrors", mirrors)
            within = download._within

            def patient(_: float | None, action: Any) -> Path:  # but with who never answers
                return within(0.5 if action.args[0].startswith(mirrors[0]) else PATIENCE, action)

            monkeypatch.setattr(download, "_within", patient)
            with pytest.raises(DataError) as caught:
                load(tmp_path / "root")
    message = str(caught.value)
    for part in (
        "use data=mnist_5k, which is embedded",
        str(tmp_path / "root"),
        f"{own} (lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte, train-images-idx3-ubyte)",
        f"put t10k-labels-idx1-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        f"train-images-idx3-ubyte.gz into {tmp_path / 'cache' / 'mnist'}",
        f"127.0.0.1:{ports[0]}: TimeoutError",
        f"127.0.0.1:{ports[1]}: ConnectionError",
    ):
        assert part in message
    assert "\n" not in message


def test_both_mirrors_stay_within_ten_seconds() -> None:
    assert len(mnist.MNIST.mirrors) * download.FIRST_FILE_SECONDS < 10.0


def test_a_cache_that_cannot_be_written_is_named(
    small: dict[str, bytes],
    tmp_path: Path,
    serve: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(mnist.MNIST, "mirrors", (serve(lay(small, tmp_path / "served")),))
    with pytest.raises(
        DataError, match=r"Cannot write to the cache .* set NNBENCH_CACHE"
    ) as caught:
        load()
    assert "\n" not in str(caught.value)
