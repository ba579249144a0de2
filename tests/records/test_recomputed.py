"""The logits that a certificate recomputes, as a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from nnbench.records import recomputed
from nnbench.records.files import write_arrays
from nnbench.schema.archives import SMALL, arrays


def test_what_was_written_is_read(tmp_path: Path) -> None:
    logits = {"test": np.arange(6.0).reshape(3, 2), "train_eval": np.ones((2, 2), np.float32)}
    recomputed.save(tmp_path, logits)
    found = recomputed.load(tmp_path)
    assert found is not None
    assert found.keys() == logits.keys()
    for name, expected in logits.items():
        assert found[name].dtype == expected.dtype
        assert np.array_equal(found[name], expected)


@pytest.mark.parametrize("rows", [3, SMALL // 64, 4 * SMALL // 64])
def test_files_of_every_size_are_read_alike(tmp_path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    written = {"logits": rng.normal(size=(rows, 8)), "labels": rng.integers(0, 9, rows)}
    path = tmp_path / "some.npz"
    write_arrays(path, written)
    found = arrays(path)
    assert found.keys() == written.keys()
    assert all(np.array_equal(found[name], written[name]) for name in written)
    assert arrays(path, wanted=["labels"]).keys() == {"labels"}


def test_floats_are_stored_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_arrays(path, {"logits": np.zeros((300, 4)), "labels": np.zeros(300, np.int64)})
    with zipfile.ZipFile(path) as archive:
        packed = {info.filename: info.compress_type for info in archive.infolist()}
    assert packed == {"logits.npy": zipfile.ZIP_STORED, "labels.npy": zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "vector", "labels", "none"])
def test_what_is_damaged_or_missing_is_not_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / recomputed.RECOMPUTED_NAME
    recomputed.save(tmp_path, {"test": np.random.default_rng(0).normal(size=(300, 4))})
    stored = path.read_bytes()
    middle = len(stored) // 2
    changed = {
        "cut": stored[:middle],
        "flipped": stored[:middle] + bytes([stored[middle] ^ 255]) + stored[middle + 1 :],
        "empty": b"",
        "text": b"no archive",
    }
    if damage in changed:
        path.write_bytes(changed[damage])
    elif damage == "vector":
        recomputed.save(tmp_path, {"test": np.zeros(3)})
    elif damage == "labels":
        recomputed.save(tmp_path, {"test": np.zeros((3, 2), np.int64)})
    else:
        recomputed.save(tmp_path, {})
    assert recomputed.load(tmp_path) is None
    path.unlink()
    assert recomputed.load(tmp_path) is None


def test_a_flipped_byte_anywhere_raises_nothing(tmp_path: Path) -> None:
    path = tmp_path / recomputed.RECOMPUTED_NAME
    recomputed.save(tmp_path, {"test": np.random.default_rng(0).normal(size=(20, 4))})
    stored = path.read_bytes()
    for i in range(0, len(stored), 31):
        path.write_bytes(stored[:i] + bytes([stored[i] ^ 255]) + stored[i + 1 :])
        found = recomputed.load(tmp_path)
        assert found is None or found["test"].shape == (20, 4) or "test" not in found
