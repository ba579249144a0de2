"""Images one by one: what torchvision's MNIST does to each, the same training as from arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnbench.backends.protocol import Walk
from nnbench.config.composition import compose
from nnbench.data.dataset import Dataset, Split
from nnbench.data.prepare import Payload, build
from nnbench.errors import ConfigError, UnsupportedSpec
from nnbench.model.init import He, Params, initial_params
from nnbench.training.assembly import all_splits, make_task

torch = pytest.importorskip("torch")
WORDS = ["backend=torch", "data=mnist", "arch=784-128-64-10", "loss=cross_entropy", "init=he",
         "batch_size=32", "shuffle=true", "schedule=constant", "epochs=1"]  # fmt: skip
RATE = {"unit": 0.05, "standard": 0.05, "none": 1e-6}  # pixels up to 255 want a small one


def dataset(normalize: str, shape: tuple[int, ...] = (28, 28)) -> Dataset:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        return Split(rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 10, n))

    config = compose([*WORDS, f"data.normalize={normalize}"]).config
    payload = Payload({"train": split(100), "test": split(50)}, "-", "noise")
    return build(payload, config.data, "classification", 0)


def trained(normalize: str, dtype: str, *words: str) -> tuple[Params, list[np.ndarray], int | None]:
    """Return weights and logits after an epoch, and how many samples were right when met."""
    from nnbench.backends.torch import TorchTrainer

    data = dataset(normalize)
    config = compose([*WORDS, f"dtype={dtype}", f"data.normalize={normalize}", *words]).config
    task = make_task(config, data)
    made = TorchTrainer(task, all_splits(data, 40))
    made.load(initial_params(He(), task.architecture, 0, dtype))
    order = np.random.default_rng(1).permutation(100)
    stats = made.train(
        Walk(order, np.full(task.steps(100), RATE[config.data.normalize]), 100, 0, 0, 0)
    )
    return made.params(), [made.evaluate(s) for s in ("train_eval", "test")], stats.correct


@pytest.mark.parametrize("normalize", ["unit", "standard", "none"])
def test_it_trains_as_from_arrays(normalize: str) -> None:
    one = trained(normalize, "float64", "input=per_sample")
    other = trained(normalize, "float64", "input=resident")
    for key, value in other[0].items():
        np.testing.assert_allclose(one[0][key], value, rtol=0, atol=1e-12)
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    assert one[2] == other[2]


def test_every_image_is_read_by_itself_to_evaluate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnbench.backends.torch import loading

    read: list[int] = []
    original = loading.Images.__getitem__

    def counted(self: loading.Images, index: int) -> object:
        read.append(index)
        return original(self, index)

    monkeypatch.setattr(loading.Images, "__getitem__", counted)
    trained("unit", "float32", "input=per_sample")
    assert len(read) == 100 + 40 + 50
    read.clear()
    trained("unit", "float32", "input=native")
    assert not read


def test_an_image_goes_through_pil_to_what_totensor_and_normalize_give() -> None:
    from nnbench.backends.torch.loading import Images

    data = dataset("standard")
    task = make_task(compose([*WORDS, "input=per_sample"]).config, data)
    pixels = data.splits["train"].pixels
    assert pixels is not None
    tensor, target = Images(task, data.splits["train"], data.splits["train"].targets)[7]
    assert (tensor.dtype, tensor.shape) == (torch.float32, (784,))
    assert int(target) == data.splits["train"].targets[7]
    mean, deviation = pixels.mean(), pixels.std()
    expected = (pixels[7].reshape(-1) - mean) / deviation
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=1e-5)
    # torchvision's Normalize works on pixels / 255, with mean and deviation of these.
    scaled = pixels[7].reshape(-1) / 255
    again = (scaled - mean / 255) / (deviation / 255)
    np.testing.assert_allclose(tensor.numpy(), again, rtol=0, atol=1e-5)


def test_a_ragged_last_batch_is_dropped_where_asked() -> None:
    dropped = trained("unit", "float64", "input=per_sample", "drop_last=true")[0]
    kept = trained("unit", "float64", "input=per_sample")[0]
    arrays = trained("unit", "float64", "drop_last=true")[0]
    for key, value in arrays.items():
        np.testing.assert_allclose(dropped[key], value, rtol=0, atol=1e-12)
    assert any((dropped[key] != kept[key]).any() for key in kept)


def test_data_that_are_no_images_are_refused() -> None:
    from nnbench.backends.torch import TorchTrainer

    data = dataset("unit")
    floats = {n: Split(s.inputs / 255.0, s.targets) for n, s in data.splits.items()}
    inputs = dataclasses.replace(data.inputs, dtype="float64")
    data = dataclasses.replace(data, splits=floats, inputs=inputs)
    task = make_task(compose([*WORDS, "input=per_sample"]).config, data)
    with pytest.raises(UnsupportedSpec, match=r"reads images of 8 bits, the data has float64"):
        TorchTrainer(task, all_splits(data, 40))


@pytest.mark.parametrize("backend", ["numpy", "keras", "keras_fit", "numpy_textbook"])
def test_backends_without_such_a_loader_refuse(backend: str) -> None:
    with pytest.raises(ConfigError, match=r"input=per_sample; .* one by one; use backend=torch"):
        compose([f"backend={backend}", *WORDS[1:], "input=per_sample"])


def test_pixels_stay_with_the_split_that_is_cut() -> None:
    split = dataset("standard").splits["train"]
    assert split.pixels is not None
    part = split.first(10)
    assert part.pixels is not None
    assert part.pixels.base is not None
    np.testing.assert_array_equal(part.pixels, split.pixels[:10])
