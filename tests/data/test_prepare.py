"""Splits, first n, validation, normalisation: the same for every data set."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from nnbench import data
from nnbench.data.config import Digits, Mnist5k, Npz, Synthetic
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload, build
from nnbench.errors import ConfigError, DataError


def payload(targets: Any, inputs: Any = None, fraction: float = 0.2) -> Payload:
    """Samples whose input is their own number, unless given."""
    targets = np.asarray(targets)
    if inputs is None:
        inputs = np.arange(len(targets), dtype=np.float64)[:, None]
    return Payload({"all": Split(inputs, targets)}, "0" * 64, "made up", test_fraction=fraction)


def made(source: Payload, kind: str = "classification", seed: int = 0, **values: Any) -> Any:
    return build(source, Npz(path="unused", **{"normalize": "unit"} | values), kind, seed)


def ids(dataset: data.Dataset, split: str) -> list[int]:
    return [int(x[0]) for x in dataset.splits[split].inputs]


UNEVEN = np.repeat([0, 1, 2, 3], [100, 50, 10, 1])


def test_each_class_gives_its_share_and_no_sample_is_lost_or_doubled() -> None:
    dataset = made(payload(UNEVEN))
    assert Counter(dataset.splits["test"].targets.tolist()) == {0: 20, 1: 10, 2: 2}
    assert sorted(ids(dataset, "train") + ids(dataset, "test")) == list(range(161))
    for split in dataset.splits.values():  # targets went along with their inputs
        np.testing.assert_array_equal(split.targets, UNEVEN[split.inputs[:, 0].astype(int)])


def test_every_class_keeps_a_sample_to_train_on() -> None:
    dataset = made(payload(UNEVEN, fraction=0.99))
    assert set(dataset.splits["train"].targets.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("end", [slice(0, 2), slice(-2, None)])
def test_the_parts_are_a_fair_mix_from_end_to_end(name: str, end: slice) -> None:
    source = payload(np.repeat(np.arange(10), 50))
    pairs = [made(source, seed=s).splits[name].targets[end].tolist() for s in range(400)]
    # Neighbours are of one class in 1 of 10 cases, and each class comes first as often: within 5
    # standard deviations (6) of 40 in 400.
    assert abs(sum(a == b for a, b in pairs) - 40) < 30
    assert abs(np.bincount([a for a, _ in pairs], minlength=10) - 40).max() < 30


def test_the_split_follows_its_seed_alone() -> None:
    source = payload(UNEVEN)
    first, again, other = (made(source, seed=s).digests() for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert made(source, seed=5, split_seed=0).digests() == first


def test_a_published_split_follows_no_seed() -> None:
    split = Split(np.arange(4.0)[:, None], np.array([0, 1, 0, 1]))
    source = Payload({"train": split, "test": split}, "0" * 64, "made up")
    assert made(source, seed=0).digests() == made(source, seed=1).digests()
    assert ids(made(source), "train") == [0, 1, 2, 3]


def test_regression_splits_without_classes() -> None:
    dataset = made(payload(np.arange(50.0)[:, None]), "regression")
    assert (len(dataset.splits["train"]), len(dataset.splits["test"])) == (40, 10)
    assert sorted(ids(dataset, "train") + ids(dataset, "test")) == list(range(50))


def test_first_n_then_the_last_part_validates() -> None:
    source = payload(UNEVEN)
    every = ids(made(source), "train")
    dataset = made(source, train_samples=100, test_samples=7, val_fraction=0.25)
    assert ids(dataset, "train") == every[:75]
    assert ids(dataset, "val") == every[75:100]
    assert ids(dataset, "test") == ids(made(source), "test")[:7]
    assert set(dataset.digests()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"train_samples": 130}, "Received data.train_samples=130; must be at most 129"),
        ({"test_samples": 33}, "Received data.test_samples=33; must be at most 32"),
        ({"val_fraction": 0.001}, "leaves none to validate with"),
        ({"val_fraction": 0.999}, "leaves none to train on"),
        ({"train_samples": 1, "val_fraction": 0.5}, "leaves none to validate with"),
    ],
)
def test_no_split_is_empty(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        made(payload(UNEVEN), **values)


@pytest.mark.parametrize(("targets", "kind"), [([0, 1], "classification"), ([[1.0]], "regression")])
def test_too_few_samples_to_test_on(targets: Any, kind: str) -> None:
    with pytest.raises(DataError, match=r"data\.test_fraction=0\.2; of the \d samples"):
        made(payload(targets), kind)


TABLE = np.array([[0.1, 7.0], [0.1, 9.0], [0.1, 11.0]] * 40)


def test_standard_by_column_from_the_training_samples_alone() -> None:
    inputs = np.random.default_rng(0).normal([3.0, -5.0], [2.0, 9.0], (200, 2))
    source = payload(np.arange(200) % 2, inputs)
    dataset = made(source, normalize="standard", train_samples=100, val_fraction=0.2)
    raw = made(source, normalize="none", train_samples=100, val_fraction=0.2)
    train = dataset.splits["train"].inputs
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(train.std(axis=0), 1.0, rtol=1e-14)
    mean, deviation = (getattr(raw.splits["train"].inputs, f)(axis=0) for f in ("mean", "std"))
    for name in ("val", "test"):
        expected = (raw.splits[name].inputs - mean) / deviation
        np.testing.assert_allclose(dataset.splits[name].inputs, expected, rtol=1e-13, atol=1e-15)
        # Statistics that leaked from here would have made these 0 and 1.
        assert abs(dataset.splits[name].inputs.mean(axis=0)).max() > 1e-3


def test_targets_are_standardized_by_the_training_samples_alone() -> None:
    """Output by output; a constant one becomes 0, and what others have moves nothing."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(5.0, 40.0, (100, 3)) * np.array([1.0, 1e3, 0.0]) + np.array([0, 0, 7.5])
    plain, scaled = (
        made(payload(numbers), "regression", val_fraction=0.2, normalize_targets=how)
        for how in ("none", "standard")
    )
    train = plain.splits["train"].targets
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    mean[2], deviation[2] = 7.5, 1.0
    for name, split in scaled.splits.items():
        np.testing.assert_array_equal(split.inputs, plain.splits[name].inputs)
        expected = (plain.splits[name].targets - mean) / deviation
        np.testing.assert_allclose(split.targets, expected, rtol=1e-12, atol=1e-12)
        assert split.digest() != plain.splits[name].digest()
    np.testing.assert_allclose(scaled.target_scale["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(scaled.target_scale["deviation"], deviation, rtol=1e-12)
    assert plain.target_scale == {}
    assert abs(scaled.splits["test"].targets[:, :2].mean()) > 1e-3  # not by its own mean
    elsewhere = numbers.copy()
    elsewhere[[int(x[0]) for x in plain.splits["test"].inputs]] += 1e6
    other = made(payload(elsewhere), "regression", val_fraction=0.2, normalize_targets="standard")
    assert other.target_scale == scaled.target_scale


def test_class_labels_are_not_standardized() -> None:
    with pytest.raises(ConfigError) as caught:
        made(payload(UNEVEN), normalize_targets="standard")
    assert str(caught.value) == (
        "Received data.normalize_targets=standard with task=classification; class labels are not "
        "quantities: leave it out, or use task=regression."
    )


def test_a_constant_column_becomes_zero() -> None:
    # 0.1 summed 96 times is not 9.6: mean and deviation carry rounding that must not be divided by.
    dataset = made(payload(np.arange(120) % 2, TABLE), normalize="standard")
    for split in dataset.splits.values():
        np.testing.assert_array_equal(split.inputs[:, 0], 0.0)
        assert split.inputs[:, 1].std() > 0.5


def test_images_are_standardised_as_a_whole() -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 20), dtype=np.uint8)
    images[:, 0] = 0
    dataset = made(payload(np.arange(100) % 2, images), normalize="standard")
    train = dataset.splits["train"].inputs
    kept = dataset.splits["train"].pixels  # what the pixels were, for loaders that read images
    assert kept is not None
    standard = (float(kept.mean()), float(kept.std()))
    assert dataset.inputs == data.ArraySpec((20,), "float64", 1.0, standard)
    np.testing.assert_allclose(train, (kept - standard[0]) / standard[1], rtol=1e-13)
    assert abs(train.mean()) < 1e-14
    assert abs(train.std() - 1.0) < 1e-14
    assert train[:, 0].mean() < -1.0


def test_unit_and_none_leave_the_samples_and_say_the_scale() -> None:
    images = payload(np.arange(100) % 2, np.full((100, 20), 255, np.uint8))
    assert made(images, normalize="unit").inputs == data.ArraySpec((20,), "uint8", 1.0 / 255.0)
    assert made(images, normalize="none").inputs == data.ArraySpec((20,), "uint8", 1.0)
    table = payload(np.arange(120) % 2, TABLE)
    assert made(table, normalize="unit").digests() == made(table, normalize="none").digests()
    assert made(table, normalize="unit").inputs.scale == 1.0


def test_arrays_are_read_only() -> None:
    for config in (Mnist5k(val_fraction=0.1), Digits(normalize="standard"), Synthetic()):
        dataset = data.load(config, kind="classification", seed=0)
        for split in dataset.splits.values():
            for array in (split.inputs, split.targets):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 0


@pytest.mark.parametrize("config", [Mnist5k(), Digits()])
def test_labels_are_no_numbers_to_regress(config: Any) -> None:
    with pytest.raises(ConfigError, match=f"data={config.name} has class labels, use task=class"):
        data.load(config, kind="regression", seed=0)


def test_an_unstratified_split_is_the_shuffled_samples_as_they_come() -> None:
    labels = np.repeat([0, 1], [90, 10])
    given = payload(labels, np.arange(100.0)[:, None])
    shares = {
        stratify: [
            float(made(given, stratify=stratify, split_seed=seed).splits["test"].targets.mean())
            for seed in range(8)
        ]
        for stratify in (True, False)
    }
    assert set(shares[True]) == {0.1}
    assert len(set(shares[False])) > 1
    one = made(given, stratify=False, split_seed=3)
    rows = np.concatenate([one.splits[name].inputs[:, 0] for name in ("train", "test")])
    assert sorted(rows) == list(range(100))
    assert len(one.splits["test"]) == 20
