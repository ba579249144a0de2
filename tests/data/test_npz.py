"""NumPy archives: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench import data
from nnbench.data.config import Npz
from nnbench.errors import DataError, NNBenchError

X = np.arange(60, dtype=np.float32).reshape(20, 3)
LABELS = np.arange(20) % 4
PARTS = {"x_train": X, "y_train": LABELS, "x_test": X[:5], "y_test": LABELS[:5]}


def save(tmp_path: Path, **arrays: Any) -> str:
    np.savez(tmp_path / "a.npz", **arrays)
    return str(tmp_path / "a.npz")


def load(path: str, kind: str = "classification", **values: Any) -> data.Dataset:
    return data.load(Npz(path=path, **{"normalize": "unit"} | values), kind=kind, seed=0)


def test_a_published_split_is_kept_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path, **PARTS)
    loaded = load(path)
    np.testing.assert_array_equal(loaded.splits["train"].inputs, X)
    np.testing.assert_array_equal(loaded.splits["test"].targets, LABELS[:5])
    assert loaded.inputs == data.ArraySpec((3,), "float64")
    assert loaded.outputs == 4
    assert loaded.payload_digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_x_and_y_are_split(tmp_path: Path) -> None:
    loaded = load(save(tmp_path, x=X, y=LABELS), test_fraction=0.4)
    assert np.bincount(loaded.splits["test"].targets).tolist() == [2, 2, 2, 2]
    together = np.concatenate([s.inputs for s in loaded.splits.values()])
    np.testing.assert_array_equal(together[together[:, 0].argsort()], X)


def test_images_keep_shape_and_dtype(tmp_path: Path) -> None:
    images = np.arange(20 * 28 * 28, dtype=np.uint8).reshape(20, 28, 28)
    loaded = load(save(tmp_path, x=np.asfortranarray(images), y=LABELS))
    assert loaded.inputs == data.ArraySpec((28, 28), "uint8", 1.0 / 255.0)
    assert loaded.splits["train"].inputs.flags.c_contiguous


@pytest.mark.parametrize("width", [None, 1, 3])
def test_regression(tmp_path: Path, width: int | None) -> None:
    y = X[:, 0] if width is None else X[:, :width]
    loaded = load(save(tmp_path, x=X, y=y), "regression")
    assert loaded.outputs == (width or 1)
    train = loaded.splits["train"]
    np.testing.assert_array_equal(train.targets, train.inputs[:, : width or 1])
    assert train.targets.dtype == np.float64


def test_the_task_must_fit_the_targets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="use task=classification"):
        load(save(tmp_path, x=X, y=LABELS.astype(str)), "regression")
    with pytest.raises(DataError, match=r"y row 1: received 0.1 as a class label.*task=regression"):
        load(save(tmp_path, x=X, y=LABELS / 10), "classification")
    counts = load(save(tmp_path, x=X, y=LABELS), "regression")
    assert counts.targets == data.ArraySpec((1,), "float64")
    assert set(counts.splits["train"].targets[:, 0]) == {0.0, 1.0, 2.0, 3.0}


NAN = np.where(np.arange(60).reshape(20, 3) == 7, np.nan, X)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": X}, "lacks y; it has x. Name the array with data.y=NAME"),
        ({"a": X, "b": LABELS}, "has a, b; must have x_train.*data.x=NAME data.y=NAME"),
        ({"x": X, "images": X, "y": LABELS}, "has x and images; name the array with data.x=NAME"),
        ({k: v for k, v in PARTS.items() if k != "y_test"}, "lacks y_test"),
        ({"x": X, "y": LABELS[:-1]}, r"y has shape \(19,\).*x has 20 samples"),
        ({"x": X, "y": np.ones((20, 2))}, r"y has shape \(20, 2\); class labels must be .*one-hot"),
        ({"x": X[:, 0], "y": LABELS}, r"x has shape \(20,\)"),
        ({"x": X[:0], "y": LABELS[:0]}, r"x has shape \(0, 3\)"),
        ({"x": NAN, "y": LABELS}, "x has 1 values that are NaN"),
        ({"x": X, "y": NAN}, "y has 1 values that are NaN"),
        ({"x": X.astype(str), "y": LABELS}, "x has dtype <U32"),
        ({"x": X, "y": LABELS * 0}, "only label 0"),
        ({"x": X.astype(object), "y": LABELS}, "objects are never loaded"),
        (PARTS | {"x_test": X[:5, :2]}, "must be alike"),
        (PARTS | {"x_test": X[:5].astype(np.uint8)}, "must be alike"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        load(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="cannot read it"):
        load(str(path))
    for content in (b"", b"text\n", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as npz"):
            load(str(path))
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(DataError, match="single array"):
        load(str(tmp_path / "one.npy"))


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_gives_one_line_and_never_other_data(tmp_path: Path, compressed: bool) -> None:
    path = Path(save(tmp_path, x=X, y=LABELS))
    if compressed:
        np.savez_compressed(path, x=X, y=LABELS)
    whole, clean = path.read_bytes(), load(str(path)).digests()
    chance, refused = random.Random(0), 0
    for case in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged if case % 4 else whole[: chance.randrange(len(whole))])
        try:
            assert load(str(path)).digests() == clean  # a flip in a time stamp, say
        except NNBenchError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it is one of two allowed ends
            refused += 1
    assert refused > 200
