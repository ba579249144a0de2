"""MNIST: IDX files found and verified; every planted fault is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data import idx, mnist
from nnbench.errors import DataError
from support.small_mnist import digits, flip, lay, load, small, truncate

__all__ = ["small"]  # a fixture


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("place", [".", "mnist"])
def test_files_however_named_are_read_in_their_order(
    small: dict[str, bytes], tmp_path: Path, suffix: str, dot: bool, place: str
) -> None:
    lay(small, tmp_path / "root" / place, suffix=suffix, dot=dot)
    dataset = load(tmp_path / "root")
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = digits(prefix)
        np.testing.assert_array_equal(dataset.splits[name].inputs, images)
        np.testing.assert_array_equal(dataset.splits[name].targets, labels)
    assert dataset.inputs == data.ArraySpec((28, 28), "uint8", 1.0 / 255.0)
    assert (dataset.outputs, dataset.splits["train"].targets.dtype) == (10, np.int64)


def test_root_goes_before_the_variable_before_the_cache(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "root", tmp_path / "variable" / "mnist", tmp_path / "cache" / "mnist"]
    for place in places:
        lay(small, place)
    monkeypatch.setenv("NNBENCH_DATA", str(tmp_path / "variable"))
    for place in places:
        found = mnist.MNIST.find(str(tmp_path / "root"))
        assert found is not None
        assert {path.parent for path in found.values()} == {place}
        shutil.rmtree(place)
    assert mnist.MNIST.find(str(tmp_path / "root")) is None


def other_magic(content: bytes) -> bytes:
    return content[:3] + b"\x02" + content[4:]


def one_more(content: bytes) -> bytes:
    return content + b"\0"


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (truncate, "is damaged: truncated, 23533 bytes where 23536 belong"),
    "bit flip": (flip, "is damaged: wrong checksum"),
    "magic": (other_magic, "magic number 0x00000802, must be 0x00000803"),
    "too long": (one_more, "is damaged: too long"),
    "header only": (lambda content: content[:8], "is damaged: truncated, 8 bytes where 16 belong"),
    "empty": (lambda content: b"", "magic number 0x, must be"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_planted_faults_are_named(
    small: dict[str, bytes], tmp_path: Path, fault: str, suffix: str
) -> None:
    damage, expected = FAULTS[fault]
    name = "train-images-idx3-ubyte"
    lay(small | {name: damage(small[name])}, tmp_path, suffix=suffix)
    with pytest.raises(DataError, match=expected) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / f"{name}{suffix}"))
    assert "\n" not in message
    assert message.endswith("run 'nnbench data fetch mnist', or use data=mnist_5k")


@pytest.mark.parametrize(
    "damage", [truncate, lambda content: content[:15], flip], ids=["cut", "head", "flip"]
)
def test_a_damaged_gzip_is_named(
    small: dict[str, bytes], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = lay(small, tmp_path) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is damaged: ") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_large_file_is_unpacked_once_and_no_copy_is_trusted(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "UNPACKED_BYTES", 0)
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "cache"))
    folder = lay(small, tmp_path / "root")
    wanted = load(folder).splits["test"].inputs
    copies = list((tmp_path / "cache" / "unpacked").iterdir())
    assert len(copies) == len(small)
    with monkeypatch.context() as without:
        without.delattr(idx, "unzipped")
        np.testing.assert_array_equal(load(folder).splits["test"].inputs, wanted)
    bad_end: Callable[[bytes], bytes] = lambda content: content[:-1] + bytes([content[-1] ^ 4])  # noqa: E731
    for damage in (bad_end, truncate, lambda _: b""):  # of every copy: read anew, and mended
        whole = {copy: copy.read_bytes() for copy in copies}
        for copy, content in whole.items():
            copy.write_bytes(damage(content))
        np.testing.assert_array_equal(load(folder).splits["test"].inputs, wanted)
        assert {copy: copy.read_bytes() for copy in copies} == whole
    packed = folder / "t10k-images-idx3-ubyte.gz"
    packed.write_bytes(flip(packed.read_bytes()))  # a copy does not stand in for a damaged file
    with pytest.raises(DataError, match="is damaged"):
        load(folder)


def test_swapped_files_are_found_out(small: dict[str, bytes], tmp_path: Path) -> None:
    train, test = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
    lay(small | {train: small[test], test: small[train]}, tmp_path)
    with pytest.raises(DataError, match="wrong checksum"):
        load(tmp_path)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: it is a directory"):
        idx.read(tmp_path, 1, idx.Checksum(""))


@pytest.mark.published
@pytest.mark.skipif("NNBENCH_DATA" not in os.environ, reason="NNBENCH_DATA is not set")
def test_the_real_files() -> None:
    dataset = load()
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (train.inputs.shape, test.inputs.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # The mean that everyone normalises MNIST with, here as the oracle.
    assert abs(train.inputs.mean() / 255 - 0.1307) < 5e-5
    assert dataset.payload_digest == (
        "0fa6d6565a8c3c625178be6403669c236d152d4b783ec5f4f9cb963fc165420b"
    )
