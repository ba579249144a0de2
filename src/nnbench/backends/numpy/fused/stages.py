"""From the task's layers to stages: which layer gets which form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.dense import Dense
from nnbench.backends.numpy.fused.images import WINDOWS, Conv
from nnbench.backends.numpy.fused.plain import Plain
from nnbench.backends.numpy.fused.pointwise import IN_PLACE, Pointwise
from nnbench.backends.numpy.fused.stage import Material, Stage
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.randomness import augmented
from nnbench.backends.protocol import Task
from nnbench.model import counter
from nnbench.model import layers as spec
from nnbench.model.layers import Shape
from nnbench.model.network import Architecture

RELU = spec.Activation("relu")
# Of a batch at a time: images; of anything else, bytes, more where threads share the parts.
IMAGES, PART_BYTES, SHARED_BYTES = 32, 2**20, 2**21
Located = tuple[int, spec.Layer, Shape]  # position, layer, shape of its input


def arranged(architecture: Architecture) -> list[Located]:
    """Return the layers in the order in which they are computed.

    A ReLU between convolution and max-pooling comes after the pooling, on a quarter of the values:
    the maximum of the positive parts is the positive part of the maximum, and their gradients go
    to the same place or, where nothing is positive, nowhere.
    """
    found: list[Located] = [(i, layer, before) for i, layer, before, _ in architecture.shapes()]
    for at, ((_, conv, _), (i, layer, shape)) in enumerate(pairwise(found[:-1])):
        j, pool, _ = found[at + 2]
        if is_plain(conv) and layer == RELU and is_halving(pool):
            found[at + 1 : at + 3] = (j, pool, shape), (i, layer, pool.output_shape(shape))
    return found


def is_plain(layer: spec.Layer) -> bool:
    """Tell whether this is a convolution of stride 1 that learns."""
    return isinstance(layer, spec.Conv2d) and layer.stride == 1 and layer.trainable


def convolves(architecture: Architecture) -> bool:
    """Tell whether the net has a convolution that is computed as one product of all windows."""
    return any(is_plain(layer) for layer in architecture.layers)


def is_halving(layer: spec.Layer) -> bool:
    """Tell whether this is max-pooling 2 x 2."""
    return isinstance(layer, spec.MaxPool2d) and layer.size == layer.step == 2


def samples_at_a_time(task: Task, weight_bytes: int) -> int | None:
    """Return how many samples of a batch are best computed at a time, None for the whole batch.

    Of images so many that what their layers need stays in the cache, of anything else so many
    whose values do, where the weights are as small: the data are then read from memory once.
    """
    architecture = task.architecture
    if architecture.augment is not None or task.loss.mistake == "broadcast_targets":
        return None
    if any(isinstance(layer, spec.BatchNorm | spec.Dropout) for layer in architecture.layers):
        return None
    if convolves(architecture):
        return IMAGES
    shapes = (architecture.input_shape, *(after for *_, after in architecture.shapes()))
    values = sum(math.prod(shape) for shape in shapes)
    of = PART_BYTES if task.threads == 1 else SHARED_BYTES
    most = of // (values * np.dtype(task.dtype).itemsize)
    return most if most and weight_bytes <= PART_BYTES else None


def products(architecture: Architecture) -> Iterator[tuple[int, int, int]]:
    """Yield rows for each sample, fan-in and units of every product `x W`: windows are rows."""
    for _, layer, before, after in architecture.shapes():
        if isinstance(layer, spec.Dense):
            yield 1, before[0], layer.units
        elif isinstance(layer, spec.Conv2d):
            yield after[0] * after[1], layer.kernel_size**2 * before[2], layer.filters


def largest_product(task: Task) -> int:
    """Return how many multiplications the largest matrix product of a step takes.

    That of a convolution takes a block of windows at a time.
    """
    batch = task.batch_size
    sizes = (
        (batch if rows == 1 else min(batch * rows, WINDOWS)) * fan_in * units
        for rows, fan_in, units in products(task.architecture)
    )
    return max(sizes, default=0)


def build_stages(material: Material, blas: Blas, logits: Array) -> tuple[list[Stage], int]:
    """Return the stages whose last one writes `logits`, and which is the first that learns.

    Layers that only rename an array have no stage.
    """
    located = arranged(material.task.architecture)
    learning = {key.layer for key in material.weights.views}
    stages: list[Stage] = []
    first, out = 0, logits
    while located:
        i, layer, before = located.pop()
        if isinstance(layer, spec.Flatten) or layer == spec.Activation("linear"):
            out = out.reshape(len(logits), *before)
            continue
        if is_halving(layer) and located and is_plain(located[-1][1]):
            i, conv, before = located.pop()
            shape = (len(logits), *before)
            stage: Stage = Conv(i, conv, shape, material.weights, out, pooled=True)  # type: ignore[arg-type]
        else:
            shape = (len(logits), *before)
            stage = _stage(material, blas, (i, layer, shape), [at[1] for at in located], out)
        stages.insert(0, stage)
        first = 0 if i in learning else first + 1
        out = stage.input
    return stages, first


def _stage(
    material: Material, blas: Blas, located: Located, earlier: list[spec.Layer], out: Array
) -> Stage:
    """Return the stage of a layer; its input has the samples as first axis."""
    i, layer, shape = located
    dtype = material.task.dtype
    if isinstance(layer, spec.Dense) and layer.trainable:
        fed_by_data = all(isinstance(below, spec.Flatten) for below in earlier)
        columns = blas.columns(shape, layer.units) if fed_by_data else 1
        return Dense(i, material.weights, out, columns)
    if isinstance(layer, spec.Conv2d) and is_plain(layer):
        return Conv(i, layer, shape, material.weights, out, pooled=False)
    if isinstance(layer, spec.Activation) and layer.name in IN_PLACE:
        # An earlier activation needs its output for its slope; the data must stay as they are.
        free = bool(earlier) and not isinstance(earlier[-1], spec.Activation | spec.Flatten)
        return Pointwise(i, layer.name, out if free else np.zeros(shape, dtype), out)
    tokens = isinstance(layer, spec.Embedding)
    given = np.zeros(shape, np.int64 if tokens else dtype)
    return Plain(i, material, given, out)


def gather_calls(material: Material, rows: Array, x: Array) -> list[Call]:
    """Return the calls that bring the training samples `rows` to x, scaled and augmented."""
    data, scale = material.inputs, material.task.inputs.scale
    samples = data.reshape(len(data), -1)
    if samples.dtype == x.dtype and x.flags.c_contiguous:
        calls: list[Call] = [partial(np.take, samples, rows, 0, x.reshape(len(x), -1), "clip")]
    else:
        taken = np.empty((len(rows), samples.shape[1]), samples.dtype)
        calls = [partial(np.take, samples, rows, 0, taken, "clip")]
        calls.append(partial(np.copyto, x, taken.reshape(x.shape), casting="unsafe"))
        if material.task.inputs.dtype == "uint8":  # in two passes: NumPy casts in small pieces else
            calls.append(partial(np.multiply, x, x.dtype.type(scale), x))
    augment = material.task.architecture.augment
    if augment is None or not material.training:
        return calls

    def call() -> None:
        x[...] = augmented(augment, x, material.keys[counter.AUGMENT_STREAM])

    return [*calls, call]
