"""The counter-based generator: published answers, the same bits everywhere, and randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnbench.backends.numpy import randomness as numpy_side
from nnbench.model import counter
from nnbench.model.layers import Augment, Dropout

SHAPE = (5, 6, 7, 3)
AUGMENT = Augment(SHAPE[1:], 2, True)


def words(*values: int) -> counter.Words:
    return np.array(values, np.uint32)


@pytest.mark.parametrize(
    ("key", "count", "answer"),
    [  # the vectors of Random123 1.14, kat_vectors, threefry2x32 20
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_answers(key: Any, count: Any, answer: Any) -> None:
    found = counter.threefry(words(*key), words(*count)[None])[0]
    assert tuple(found.tolist()) == answer


def test_mix_gives_the_published_answers() -> None:
    """MurmurHash3_x86_32 of the empty string is its finalizer of the seed."""
    found = counter.mix(words(0, 1, 0xFFFFFFFF))
    assert found.tolist() == [0, 0x514E28B7, 0x81F16F39]


def test_our_own_answers_stay() -> None:
    """A change would silently change every run with dropout."""
    key = counter.keys(seed=7, first_step=41, steps=2, stream=3)
    found = counter.bits(np.arange(4, dtype=np.uint32), key[1])
    assert key.tolist() == KEYS
    assert found.tolist() == BITS
    assert (counter.keys(7, 42, 1, 3) == key[1]).all()


KEYS = [[1602237989, 3716581], [3130502752, 3379411006]]
BITS = [1974271004, 3524471597, 1544301713, 4054819613]


def test_large_seeds_and_steps_have_keys_of_their_own() -> None:
    keys = [counter.keys(seed, step, 1, stream)[0] for seed, step, stream in DISTINCT]
    assert len({tuple(key.tolist()) for key in keys}) == len(DISTINCT)


DISTINCT = [(0, 0, 0), (1, 0, 0), (2**32, 0, 0), (0, 1, 0), (0, 0, 1), (2**40 + 1, 2**31, 9)]


def uniform(seed: int, step: int, stream: int, n: int = 100_000) -> Any:
    key = counter.keys(seed, step, 1, stream)[0]
    return (counter.bits(np.arange(n, dtype=np.uint32), key) >> np.uint32(8)) / 2**24


@pytest.mark.parametrize("where", [(0, 0, 0), (0, 1, 0), (3, 77, 5)])
def test_the_numbers_are_uniform(where: tuple[int, int, int]) -> None:
    """Chi-square of 100 bins, 99 degrees of freedom: within 6 deviations of its mean."""
    counts, _ = np.histogram(uniform(*where), bins=100, range=(0, 1))
    chi_square = float(((counts - 1000.0) ** 2 / 1000.0).sum())
    assert abs(chi_square - 99) < 6 * (2 * 99) ** 0.5


@pytest.mark.parametrize("other", [(0, 1, 0), (1, 0, 0), (0, 0, 1)])
def test_neighbouring_steps_layers_and_seeds_are_unrelated(other: tuple[int, int, int]) -> None:
    a, b = uniform(0, 0, 0), uniform(*other)
    assert abs(np.corrcoef(a, b)[0, 1]) < 6 / 100_000**0.5
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 6 / 100_000**0.5


def key() -> counter.Words:
    return counter.keys(5, 11, 1, 2)[0]


def test_torch_draws_the_same_bits() -> None:
    torch = pytest.importorskip("torch")
    from nnbench.backends.torch.randomness import CounterDropout, RandomAugment

    x = np.random.default_rng(0).random(SHAPE)
    module = CounterDropout(Dropout(0.3)).train()
    module.key.copy_(torch.tensor(key().view(np.int32)))
    found = module(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert (found == numpy_dropout(x)).all()
    augment = RandomAugment(AUGMENT).train()
    augment.key.copy_(module.key)
    assert (augment(torch.tensor(x)).numpy() == numpy_side.augmented(AUGMENT, x, key())).all()


def test_keras_draws_the_same_bits() -> None:
    pytest.importorskip("keras")
    from nnbench.backends.keras import process
    from nnbench.backends.keras.randomness import CounterDropout, RandomAugment

    process.prepare("cpu", 1, "matched")  # before TensorFlow starts with threads of its own
    x = np.random.default_rng(0).random(SHAPE)
    layer = CounterDropout(Dropout(0.3), "float64")
    layer.key.assign(key().view(np.int32))
    assert (np.asarray(layer(x, training=True)) == numpy_dropout(x)).all()
    augment = RandomAugment(AUGMENT, "float64")
    augment.key.assign(key().view(np.int32))
    found = np.asarray(augment(x, training=True))
    assert (found == numpy_side.augmented(AUGMENT, x, key())).all()


def numpy_dropout(x: Any) -> Any:
    return numpy_side.Dropout({}, Dropout(0.3)).forward_training(x, key())


def test_dropout_keeps_the_share_and_the_mean() -> None:
    y = numpy_side.Dropout({}, Dropout(0.3)).forward_training(np.ones(100_000), key())
    assert set(np.unique(y)) == {0.0, 1.0 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 6 * (0.21 / 100_000) ** 0.5


def test_augmentation_moves_then_mirrors() -> None:
    """Each image against the plain loop that the docstring describes."""
    x = np.random.default_rng(1).random((600, 6, 5, 2))
    found = numpy_side.augmented(Augment((6, 5, 2), 2, True), x, key())
    numbers = (counter.bits(np.arange(1800, dtype=np.uint32), key()) >> np.uint32(8)).reshape(
        600, 3
    )
    seen = set()
    for image, result, (a, b, c) in zip(x, found, numbers.tolist(), strict=True):
        down, across, mirrored = a % 5 - 2, b % 5 - 2, c & 1
        moved = np.zeros_like(image)
        for row in range(6):
            for column in range(5):
                if 0 <= row - down < 6 and 0 <= column - across < 5:
                    moved[row, column] = image[row - down, column - across]
        assert (result == (moved[:, ::-1] if mirrored else moved)).all()
        seen.add((down, across, mirrored))
    assert len(seen) == 5 * 5 * 2
