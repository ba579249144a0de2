"""Fashion-MNIST and CIFAR-10 from small files of their form; what is damaged or a pickle."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data import cifar10, idx, mnist
from nnbench.data.config import Cifar10, FashionMnist, Sequences
from nnbench.errors import ConfigError, DataError
from support.small_mnist import idx_bytes


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NNBENCH_DATA", raising=False)
    for source in (mnist.MNIST, mnist.FASHION_MNIST):
        monkeypatch.setattr(source, "mirrors", ())
    monkeypatch.setattr(cifar10, "MIRRORS", ())


def fashion(root: Path) -> data.Dataset:
    return data.load(FashionMnist(root=str(root)), kind="classification", seed=0)


@pytest.fixture
def clothes(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files, sums = {}, {}
    for prefix, n in (("t10k", 10), ("train", 30)):
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)),
            (f"{prefix}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8)),
        ):
            files[name] = gzip.compress(idx_bytes(array))
            sums[name] = idx.Checksum(hashlib.md5(files[name]).hexdigest(), array.shape)
    monkeypatch.setattr(mnist.FASHION_MNIST, "sums", sums)
    return files


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_is_read_gzipped_or_not(
    clothes: dict[str, bytes], tmp_path: Path, packed: bool
) -> None:
    for name, content in clothes.items():
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(content if packed else gzip.decompress(content))
    found = fashion(tmp_path)
    assert found.splits["train"].inputs.shape == (30, 28, 28)
    assert found.splits["test"].targets.tolist() == list(range(10))


def test_damaged_fashion_mnist_is_refused(clothes: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in clothes.items():
        (tmp_path / f"{name}.gz").write_bytes(content)
    name = "train-labels-idx1-ubyte"
    other = gzip.compress(idx_bytes(np.zeros(30, np.uint8)))
    (tmp_path / f"{name}.gz").write_bytes(other)
    with pytest.raises(DataError, match=r"wrong checksum; delete it and run .* fetch fashion"):
        fashion(tmp_path)
    (tmp_path / f"{name}.gz").unlink()
    (tmp_path / name).write_bytes(idx_bytes(np.zeros(31, np.uint8)))
    with pytest.raises(DataError, match="wrong checksum"):
        fashion(tmp_path)


def test_the_files_of_mnist_are_not_taken_for_fashion_mnist(
    monkeypatch: pytest.MonkeyPatch, clothes: dict[str, bytes], tmp_path: Path
) -> None:
    """Both sets' files have the same names; a shared base folder may hold those of MNIST."""
    for name, content in clothes.items():
        (tmp_path / f"{name}.gz").write_bytes(content)
    monkeypatch.setenv("NNBENCH_DATA", str(tmp_path))
    assert mnist.MNIST.find(None) is not None
    assert mnist.FASHION_MNIST.find(None) is None


def test_without_network_a_set_says_what_to_do() -> None:
    for config, name in ((FashionMnist(), "fashion_mnist"), (Cifar10(), "cifar10")):
        with pytest.raises(DataError) as caught:
            data.load(config, kind="classification", seed=0)
        assert f"data={name}: no" in str(caught.value)
        assert "data.root=FOLDER" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setattr(cifar10, "RECORDS", 20)
    rng = np.random.default_rng(0)
    files = {}
    for name in (name for names in cifar10.PARTS.values() for name in names):
        batch = rng.integers(0, 256, (20, cifar10.RECORD_BYTES)).astype(np.uint8)
        batch[:, 0] %= 10
        files[name] = batch.tobytes()
    return files


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_is_read_from_archive_and_folder(
    monkeypatch: pytest.MonkeyPatch, records: dict[str, bytes], tmp_path: Path, packed: bool
) -> None:
    if packed:
        stored = archive(records)
        monkeypatch.setattr(cifar10, "MD5", hashlib.md5(stored).hexdigest())
        (tmp_path / cifar10.ARCHIVE).write_bytes(stored)
    else:
        (tmp_path / cifar10.FOLDER).mkdir()
        for name, content in records.items():
            (tmp_path / cifar10.FOLDER / name).write_bytes(content)
    found = data.load(Cifar10(root=str(tmp_path)), kind="classification", seed=0)
    train = found.splits["train"]
    assert train.inputs.shape == (100, 32, 32, 3)
    raw = np.frombuffer(records["data_batch_2.bin"], np.uint8).reshape(20, -1)[3]
    assert train.targets[23] == raw[0]
    for channel in range(3):  # stored one after the other, row by row
        plane = raw[1 + 1024 * channel : 1 + 1024 * (channel + 1)].reshape(32, 32)
        assert (train.inputs[23, :, :, channel] == plane).all()


def test_a_wrong_or_truncated_cifar10_is_refused(records: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / cifar10.ARCHIVE).write_bytes(archive(records))
    with pytest.raises(DataError, match=r"wrong checksum; delete it and run .* fetch cifar10"):
        cifar10.read(str(tmp_path))
    (tmp_path / cifar10.ARCHIVE).unlink()
    (tmp_path / cifar10.FOLDER).mkdir()
    for name, content in records.items():
        (tmp_path / cifar10.FOLDER / name).write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"data_batch_1.bin has 61459 bytes where 61460 belong"):
        cifar10.read(str(tmp_path))


def test_the_pickled_cifar10_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match="is the Python version, a pickle, which is never loaded"):
        cifar10.read(str(tmp_path))


def test_sequences_are_those_of_their_chains() -> None:
    """Tokens of one class follow its own matrix: classes differ, seeds differ, a seed repeats."""
    config = Sequences(samples=4000, vocabulary=5, outputs=2)
    found = data.load(config, kind="classification", seed=0)
    train = found.splits["train"]
    assert train.inputs.dtype == np.int64
    assert (train.inputs.min(), train.inputs.max()) == (0, 4)
    pairs = np.zeros((2, 5, 5))
    for k in (0, 1):
        rows = train.inputs[train.targets == k]
        np.add.at(pairs[k], (rows[:, :-1].ravel(), rows[:, 1:].ravel()), 1)
    shares = pairs / pairs.sum(axis=2, keepdims=True)
    assert np.abs(shares[0] - shares[1]).max() > 0.1
    again = data.load(config, kind="classification", seed=0)
    assert (again.splits["train"].inputs == train.inputs).all()
    other = data.load(config, kind="classification", seed=1)
    assert (other.splits["train"].inputs != train.inputs).any()


def test_tokens_are_not_standardised() -> None:
    with pytest.raises(ConfigError, match="tokens are not quantities"):
        data.load(Sequences(normalize="standard"), kind="classification", seed=0)
