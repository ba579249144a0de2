"""A Task as the tables of numbers that compiled code works from; see `tables` for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnbench.backends.numpy.compiled import activations, losses, narrow, updates
from nnbench.backends.numpy.compiled.sparse import entries
from nnbench.backends.numpy.compiled.tables import Source, Work
from nnbench.backends.numpy.compiled.walk import evaluate, walk, working_space
from nnbench.backends.numpy.fused.stage import Material
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.optimizers import Rule
from nnbench.backends.numpy.pools import Library
from nnbench.backends.numpy.stopwatch import Stopwatch
from nnbench.backends.protocol import Task
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers as spec
from nnbench.model import optimizers
from nnbench.model.counter import Words
from nnbench.model.network import ParamKey

PART = 256  # samples evaluated at a time
SPARSE_SHARE = 0.5  # of values that are not zero in the data, below which leaving zeros out pays
SPARSE_VALUES, DENSE_VALUES = 2**13, 2**18  # of a kernel, updated at a time: they stay in cache
DENSE_ROWS = 128  # at a time at least: BLAS brings all the errors into its own order for each block
ZERO_SAMPLES = 1000  # in which zeros are counted
RULES = {
    optimizers.SGD: updates.MOMENTUM,
    optimizers.Adam: updates.ADAM,
    optimizers.AdamW: updates.ADAM,
    optimizers.RMSprop: updates.RMSPROP,
    optimizers.Adagrad: updates.ADAGRAD,
}


def unsupported(task: Task) -> None:
    """Raise UnsupportedSpec, by name, for what has no compiled loop."""
    net, loss = task.architecture, task.loss
    known = (spec.Dense, spec.Flatten, spec.Activation, spec.LeakyReLU)
    others: list[str] = [layer.name for layer in net.layers if not isinstance(layer, known)]
    problems = {
        f"layer {(others or [''])[0]}; it has dense layers and activations": bool(others),
        f"loss={loss.name}": loss.name not in losses.NUMBERS,
        f"loss.mistake={loss.mistake}": loss.mistake is not None,
        "augmentation": net.augment is not None,
        "layers that do not learn (trainable=false)": not net.learns_throughout,
        "steps of several batches (gradient_accumulation_steps)":
            task.gradient_accumulation_steps > 1,
        f"optimizer={task.optimizer.name}": type(task.optimizer) not in RULES,
        "two activations in a row, or one before the first dense layer, or after the last":
            not others and not _alternate(net.layers),
        f"device={task.device}; it has cpu": task.device not in ("cpu", "auto"),
    }  # fmt: skip
    for what, met in problems.items():
        if met:
            raise UnsupportedSpec(f"backend=numpy_compiled has no {what}.")


def _alternate(layers: Any) -> bool:
    """Tell whether each dense layer is followed by at most one activation, the last by none."""
    free = False  # an activation may follow
    for layer in layers:
        if isinstance(layer, spec.Dense):
            free = True
        elif not isinstance(layer, spec.Flatten) and layer != spec.Activation("linear"):
            if not free:
                return False
            free = False
    return free


class Compiled:
    """Takes the steps of a walk; `multiple` is the Trainer's `slice_multiple`.

    `threads` are those of the BLAS that `library` brings: Numba's `np.dot` is SciPy's.
    """

    multiple = threads = 1
    library: Library = "scipy"

    def __init__(self, material: Material, rule: Rule) -> None:
        unsupported(material.task)
        self.material, self.rule, task = material, rule, material.task
        self._data = material.inputs.reshape(len(material.inputs), math.prod(task.inputs.shape))
        self._scale = task.inputs.scale if task.inputs.dtype == "uint8" else 1.0
        known = self._data[:ZERO_SAMPLES]
        units = next(
            layer.units for layer in task.architecture.layers if isinstance(layer, spec.Dense)
        )
        self._narrow = bool(narrow.pays(units, task.batch_size))
        self._sparse = not self._narrow and np.count_nonzero(known) < SPARSE_SHARE * known.size
        self._sources: dict[str, Source] = {"train": self._source(self._data)}
        self._layers, self._decimals = self._tables()
        self._work: Work | None = None
        self._switches, self._constants = _rule_tables(rule)
        vectors = [buffer.vector for buffer in rule.buffers.values()]
        empty = np.zeros(0, task.dtype)
        self._buffers = tuple((*vectors, empty, empty, empty)[:3])
        loss = task.loss
        batch = 1.0 if loss.batch_scale(2) != 1.0 else 0.0
        outputs = material.targets.shape[1]
        self._loss_constants = np.array(
            [loss.output_scale(outputs), batch, loss.label_smoothing, loss.delta]
        )
        activation = activations.NUMBERS[task.architecture.output_activation]
        self._loss = np.array([losses.NUMBERS[loss.name], activation])
        self._class_weights = np.array(loss.class_weights or (), task.dtype)

    def choices(self) -> dict[str, int | str | None]:
        """Return what was chosen by net and data: sizes of parts, whether zeros are skipped."""
        return {
            "samples_per_evaluation": PART,
            "zeros": "skipped" if self._sparse else "multiplied",
        }

    def run(self, order: Array, rates: Array, keys: list[dict[int, Words]]) -> Array:
        """Take one step per rate over consecutive parts of `order`; return their logits."""
        task, weights = self.material.task, self.material.weights.vector
        logits = np.empty((len(order), self.material.targets.shape[1]), task.dtype)
        goal = self.material.targets, self._loss, self._loss_constants, self._class_weights
        rule = self._buffers, self._switches, self._constants
        source, size, taken = self._sources["train"], task.batch_size, self.rule.steps
        net = weights, self._layers, self._decimals
        if self._work is None:  # kept: new memory takes a millisecond of a large batch's step
            self._work = working_space(source, size, net, rule)
        walk(source, goal, order, rates, size, net, rule, taken, self._work, logits)
        self.rule.steps += len(rates)
        return logits

    def evaluate(self, split: str, inputs: Array) -> Array:
        """Return the logits `(n, outputs)` of the `inputs` of a split."""
        logits = np.empty((len(inputs), self.material.targets.shape[1]), self.material.task.dtype)
        weights = self.material.weights.vector
        data = inputs.reshape(len(inputs), self._data.shape[1])
        if split not in self._sources:
            self._sources[split] = self._source(data)
        source = self._sources[split]
        if not np.isfinite(weights.sum()):  # 0 times NaN is NaN: nothing may be left out
            source = data, entries(data[:0]), self._scale
        evaluate(source, PART, (weights, self._layers, self._decimals), logits)
        return logits

    def _source(self, data: Array) -> Source:
        """Return data `(n, fan_in)` as a walk takes them, with what is not zero if it counts."""
        return data, entries(data if self._sparse else data[:0]), self._scale

    def profile(
        self, watch: Stopwatch, order: Array, rates: Array, keys: list[dict[int, Words]]
    ) -> None:
        """Take the steps of `run`: a walk is one call, so its time is one row."""
        watch.time("walk", lambda: self.run(order, rates, keys))

    def _tables(self) -> tuple[Array, Array]:
        """Return the tables of layers: whole numbers, decimals."""
        weights, decays = self.material.weights, self.rule.decays
        rows: list[list[int]] = []
        decimals: list[list[float]] = []
        place = 0
        for i, layer in enumerate(self.material.task.architecture.layers):
            if isinstance(layer, spec.Dense):
                kernel, bias = ParamKey(i, "kernel"), ParamKey(i, "bias")
                fan_in, units = weights.views[kernel].shape
                most, least = DENSE_VALUES, DENSE_ROWS
                if self._sparse and not rows:
                    most, least = SPARSE_VALUES, 4
                height = min(max(least, most // units), fan_in)
                height = fan_in if self._narrow and not rows else height
                biased = bias in weights.views
                at = weights.starts[kernel], weights.starts[bias] if biased else -1
                rows.append([fan_in, units, *at, activations.LINEAR, place, place + units, height])
                decimals.append([0.0, decays[kernel], decays[bias] if biased else 0.0])
                place += 2 * units
            elif not isinstance(layer, spec.Flatten):
                rows[-1][4] = activations.NUMBERS[layer.name]
                decimals[-1][0] = getattr(layer, "slope", 0.0)
        return np.array(rows), np.array(decimals)


def _rule_tables(rule: Rule) -> tuple[Array, Array]:
    """Return what `update` needs to know of a rule: switches, constants."""
    r = rule.rule
    kind = RULES[type(r)]
    if kind == updates.MOMENTUM and not r.momentum:
        kind = updates.PLAIN
    said = {
        updates.RULE: kind,
        updates.NESTEROV: getattr(r, "nesterov", False),
        updates.INSIDE: getattr(r, "rate", None) == "inside",
        updates.DECOUPLED: r.decay == "decoupled",
        updates.ROOT_INSIDE: getattr(r, "epsilon_root", None) == "inside",
        updates.AFTER: getattr(r, "epsilon_correction", None) == "after",
        updates.AMSGRAD: getattr(r, "amsgrad", False),
    }
    first = getattr(r, "beta1", None) or getattr(r, "momentum", 0.0)
    second = getattr(r, "beta2", None) or getattr(r, "rho", 0.0)
    epsilon = getattr(r, "epsilon", 0.0)
    clipped = r.clip_value or 0.0, r.clip_norm or 0.0, getattr(r, "clip_offset", 0.0) or 0.0
    switches = np.array([int(said[i]) for i in range(len(said))])
    return switches, np.array([first, second, epsilon, *clipped], np.float64)
