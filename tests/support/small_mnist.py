"""A small MNIST in the place of the real one, for tests of finding, verifying, downloading."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data import idx, mnist
from nnbench.data.config import Mnist

SIZES = {"train": 30, "t10k": 10}


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def digits(prefix: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SIZES[prefix])
    n = SIZES[prefix]
    return rng.integers(0, 256, (n, 28, 28), np.uint8), (np.arange(n) % 10).astype(np.uint8)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Put a small MNIST in the place of the real one, with no file anywhere; return its files."""
    files = {}
    for prefix in SIZES:
        images, labels = digits(prefix)
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images)
    assert files.keys() == mnist.MNIST.sums.keys()
    sums = {
        name: idx.Checksum(hashlib.sha256(files[name]).hexdigest()) for name in mnist.MNIST.sums
    }
    monkeypatch.setattr(mnist.MNIST, "sums", sums)
    monkeypatch.setattr(mnist.MNIST, "mirrors", ())
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NNBENCH_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return files


def lay(files: dict[str, bytes], folder: Path, *, suffix: str = ".gz", dot: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        spelling = name.replace("-idx", ".idx") if dot else name
        packed = gzip.compress(content) if suffix else content
        (folder / f"{spelling}{suffix}").write_bytes(packed)
    return folder


def load(root: Path | None = None) -> data.Dataset:
    config = Mnist(root=None if root is None else str(root))
    return data.load(config, kind="classification", seed=0)


def truncate(content: bytes) -> bytes:
    return content[:-3]


def flip(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 4]) + content[101:]
