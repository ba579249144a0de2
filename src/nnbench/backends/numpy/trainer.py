"""The NumPy Trainer: gathers the walk's samples, steps through them, measures the losses after.

Runs on the CPU with NumPy and on CUDA with CuPy: `xp` is the only place that knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnbench.backends.arrays import checked_tokens
from nnbench.backends.numpy import device, randomness
from nnbench.backends.numpy.build import arranged, build_layer
from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.layers import Activation, Array
from nnbench.backends.numpy.losses import logit_gradient
from nnbench.backends.numpy.optimizers import Rule
from nnbench.backends.numpy.pools import leave_threads_to
from nnbench.backends.numpy.randomness import Dropout, augmented
from nnbench.backends.numpy.stopwatch import Stopwatch
from nnbench.backends.protocol import (
    NO_STATS,
    Params,
    ProfileRow,
    State,
    StepTrace,
    Task,
    TrainStats,
    Walk,
)
from nnbench.backends.trainers import described, rehearse, traced
from nnbench.data.dataset import Split
from nnbench.model import counter, metrics
from nnbench.model.init import He, initial_params
from nnbench.model.network import ParamKey

GATHER_SAMPLES = 4096  # samples converted at a time, so that a uint8 data set stays one
Keys = dict[int, counter.Words]  # of one step, by the layer's position


class NumpyTrainer:
    """`reference`: the plain formula of every layer, step by step. `fused`, `compiled`: faster."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        self.task = task = task.documented()  # its own constants are the documented ones
        self.effective = described(task)
        self.xp = np if device.stays_on_cpu(task) else device.array_module(task.device)
        self.accelerator = device.accelerator(self.xp)
        execution = device.execution_of(task.execution, self.xp)
        if task.architecture.takes_tokens:
            checked_tokens(task, splits)
        self._inputs = {name: self.xp.asarray(s.inputs) for name, s in splits.items()}
        self._targets = {name: s.targets for name, s in splits.items()}
        outputs = task.architecture.output_shape()[0]
        self._target_matrix = self.xp.asarray(
            metrics.target_matrix(self._targets["train"], outputs).astype(task.dtype)
        )
        self._logit_gradient = logit_gradient(task.loss, task.architecture.output_activation)
        self._shuffler = np.random.default_rng(task.seed)
        trained = task.architecture.parameter_shapes()
        self._weights = Flat(trained, self.xp, task.dtype)
        self._params = {
            key: self._weights.views[key] if key in trained else self.xp.zeros(shape, task.dtype)
            for key, shape in task.architecture.weight_shapes().items()
        }
        self._first = min(key.layer for key in trained)
        self.layers = [
            build_layer(layer, {k.role: p for k, p in self._params.items() if k.layer == i})
            for i, layer in enumerate(task.architecture.layers)
        ]
        self._random = [i for i, layer in enumerate(self.layers) if isinstance(layer, Dropout)]
        self.evaluation_keys = {i: counter.evaluation_key(task.seed, i) for i in self._random}
        self._turn, self._ulp_off = slice(None), False
        self._optimizer = Rule(task.optimizer, self._weights)
        self._fused = None if execution == "reference" else arranged(
            execution, self._optimizer, task, self._inputs["train"], self._target_matrix,
            self.layers, self._weights, self.evaluation_keys,
        )  # fmt: skip
        self.slice_multiple = self._fused.multiple if self._fused else 1
        self.choices = self._fused.choices() if self._fused else {}
        self.load(initial_params(He(), task.architecture, task.seed, task.dtype))

    def load(self, params: Params) -> None:
        """Copy the weights, reset the optimizer."""
        for key, p in self._params.items():
            p[...] = self.xp.asarray(params[key])
        self._optimizer.reset()

    def go_backwards(self, yes: bool, ulp_off: bool = False) -> None:
        """Take the samples of each batch in reverse order, so that sums over them are rounded in
        another way; `ulp_off`: have the values of activations an ulp off. Nothing else is another.
        What the arranged steps have not, drawn values backwards and ulps, the reference does.
        """
        self._turn, self._ulp_off = slice(None, None, -1) if yes else slice(None), ulp_off
        output = self.task.architecture.output_activation
        self._logit_gradient = logit_gradient(self.task.loss, output, ulp_off)
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.turn = self._turn
            if isinstance(layer, Activation):
                layer.ulp_off = ulp_off

    def warm_up(self, n: int) -> None:
        """Take a step of each batch shape: BLAS gets its threads, plans their arrays."""
        rehearse(self, self.task, n)
        if self.task.threads > 1:  # once all libraries are loaded
            threads = self._fused.threads if self._fused else self.task.threads
            leave_threads_to(self._fused.library if self._fused else "numpy", threads)

    def train(self, walk: Walk) -> TrainStats:
        """Step through the walk; the losses are computed from the stored logits."""
        order = walk.order if walk.order is not None else self._shuffler.permutation(walk.samples)
        order, size = order[: self.task.visited(len(order))], self.task.step_samples
        chunk, stats = max(1, GATHER_SAMPLES // size) * size, NO_STATS
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, len(order), chunk):
                part, first = order[start : start + chunk], start // size
                rates = walk.lr[first : first + chunk // size]
                stats += self._train_chunk(part, rates, walk.first_step + first)
        return stats

    def _train_chunk(self, order: Array, rates: Array, first_step: int) -> TrainStats:
        numbers = self.task.batches(first_step, len(order))
        keys = self.keys(numbers.start, len(numbers))
        drawn, turned = self._random or self.task.architecture.augment, self._turn != slice(None)
        plain = self._fused is None or self._ulp_off or (turned and drawn)
        run = self._run_reference if self._fused is None or plain else self._fused.run
        if turned and run != self._run_reference:
            size = self.task.batch_size
            order = np.concatenate([order[i : i + size][::-1] for i in range(0, len(order), size)])
        logits, targets = _host(run(order, rates, keys)), self._targets["train"][order]
        activation = self.task.architecture.output_activation
        losses = metrics.sample_losses(logits, targets, self.task.loss, activation)
        correct = metrics.count_correct(logits, targets)
        return TrainStats(float(losses.sum()), len(losses), correct)

    def _run_reference(self, order: Array, rates: Array, keys: list[Keys]) -> Array:
        """Take one step per rate over consecutive parts of `order`; return their logits.

        `keys` are those of each batch.
        """
        size, batches = self.task.step_samples, self.task.gradient_accumulation_steps
        indices = self.xp.asarray(order)
        x, t = self._gather("train", indices), self._target_matrix[indices]
        logits = self.xp.empty_like(t)
        for step, lr in enumerate(rates.tolist()):
            rows = slice(step * size, (step + 1) * size)
            own = keys[step * batches : (step + 1) * batches]
            logits[rows], grads = self._accumulated(x[rows], t[rows], own)
            self._optimizer.step(grads, lr)
        return logits

    def _accumulated(self, x: Array, t: Array, keys: list[Keys]) -> tuple[Array, Params]:
        """Return the logits of a step's samples, and the gradients of its batches together."""
        if len(keys) == 1:
            return self.gradients(x, t, keys[0])
        loss, size = self.task.loss, self.task.batch_size
        logits = self.xp.empty_like(t)
        total: Params = {}
        for i, key in enumerate(keys):
            rows = slice(i * size, (i + 1) * size)
            logits[rows], grads = self.gradients(x[rows], t[rows], key)
            # Each batch's gradient is scaled as if it were alone.
            share = loss.batch_scale(len(x)) / loss.batch_scale(len(x[rows]))
            total = {name: total.get(name, 0.0) + share * g for name, g in grads.items()}
        return logits, total

    def keys(self, first: int, batches: int) -> list[Keys]:
        """Return for each of so many batches, from number `first`, the keys of what is random."""
        streams = [*self._random] + [counter.AUGMENT_STREAM] * bool(self.task.architecture.augment)
        drawn = {i: counter.keys(self.task.seed, first, batches, i) for i in streams}
        return [{i: words[n] for i, words in drawn.items()} for n in range(batches)]

    def activations(self, x: Array, keys: Keys) -> list[Array]:
        """Return x, augmented, and what each layer makes of it in training, logits last."""
        if self.task.architecture.augment:
            key = keys[counter.AUGMENT_STREAM]
            x = augmented(self.task.architecture.augment, x[self._turn], key)[self._turn]
        found = [x]
        for i, layer in enumerate(self.layers):
            found.append(layer.forward_training(found[-1], keys.get(i)))
        return found

    def gradients(self, x: Array, t: Array, keys: Keys) -> tuple[Array, Params]:
        """Return the logits of x `(batch, ...)` and the gradient of every parameter.

        t `(batch, outputs)`: one-hot rows or regression targets. Forward keeps every activation,
        backward goes from the logits to the first layer with parameters.
        """
        turn = self._turn
        activations = self.activations(x[turn], keys)
        grads, _ = self.backward(activations, t[turn])
        return activations[-1][turn], grads

    def backward(self, activations: list[Array], t: Array) -> tuple[Params, list[Array]]:
        """Return the gradient of every parameter, and dy of every layer, the last layer first."""
        dy = self._logit_gradient(activations[-1], t)
        grads: Params = {}
        passed = [dy]
        for i in range(len(self.layers) - 1, self._first - 1, -1):
            layer, x, y = self.layers[i], activations[i], activations[i + 1]
            if self.task.architecture.layers[i].learns:
                grads |= {ParamKey(i, role): g for role, g in layer.param_grads(x, dy).items()}
            if i > self._first:
                dy = layer.input_grad(x, y, dy)
                passed.append(dy)
        return grads, passed

    def trace(self, walk: Walk) -> StepTrace:
        """Take the one step of `walk`, as `train` does, and return what went on in it."""
        return traced(self, walk, self._take_apart)

    def _take_apart(self, walk: Walk) -> tuple[list[Array], list[Array | None], Params]:
        """Return activations, gradients with respect to each layer's output, and parameters'."""
        indices = self.xp.asarray(walk.order)
        x, t = self._gather("train", indices), self._target_matrix[indices]
        activations = self.activations(x, self.keys(walk.first_step, 1)[0])
        grads, passed = self.backward(activations, t)
        below = [None] * (len(self.layers) - len(passed))
        return (
            [_host(a).copy() for a in activations],
            [*below, *(_host(dy).copy() for dy in reversed(passed))],
            {key: _host(g).copy() for key, g in grads.items()},
        )

    def profile(self, walk: Walk) -> list[ProfileRow]:
        """Take the steps of `walk` with a stopwatch around every operation."""
        assert walk.order is not None
        numbers = self.task.batches(walk.first_step, len(walk.order))
        keys = self.keys(numbers.start, len(numbers))
        watch = Stopwatch(lambda: device.wait(self.xp)) if self.xp is not np else Stopwatch()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._fused:
                self._fused.profile(watch, walk.order, walk.lr, keys)
            else:
                self._optimizer.step = watch.wrap("update", "step", self._optimizer.step)  # type: ignore[method-assign]
                watched = {"_logit_gradient": "loss", "_gather": "batch"}
                with watch.around(self, watched), watch.around_layers(self.layers):
                    self._run_reference(walk.order, walk.lr, keys)
                del self._optimizer.step  # the method is behind it
        return watch.rows(len(walk.lr))

    def evaluate(self, split: str) -> Array:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        n = len(self._inputs[split])
        logits = []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._fused:
                return self._fused.evaluate(split, self._inputs[split])
            for start in range(0, max(n, 1), GATHER_SAMPLES):
                x = self._gather(split, slice(start, min(start + GATHER_SAMPLES, n)))
                for i, layer in enumerate(self.layers):
                    x = layer.forward_evaluation(x, self.evaluation_keys.get(i), start)
                logits.append(_host(x))
        return np.concatenate(logits)

    def params(self) -> Params:
        """Return host copies of the weights."""
        return {key: np.array(_host(p)) for key, p in self._params.items()}

    def state(self) -> State:
        """Return copies of weights, the optimizer's buffers and the shuffler's state."""
        state = {str(key): np.array(_host(p)) for key, p in self._params.items()}
        state |= {key: np.array(_host(v)) for key, v in self._optimizer.state().items()}
        return state | {"shuffler": randomness.generator_state(self._shuffler)}

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        for key, p in self._params.items():
            p[...] = self.xp.asarray(state[str(key)])
        self._optimizer.restore({k: self.xp.asarray(v) for k, v in state.items()})
        randomness.restore_generator(self._shuffler, state["shuffler"])

    def _gather(self, split: str, rows: Any) -> Array:
        """Return samples in the task's dtype, scaled if stored as uint8; tokens as they are."""
        if self.task.architecture.takes_tokens:
            return self._inputs[split][rows].astype(np.int64)
        x = self._inputs[split][rows].astype(self.task.dtype)
        if self.task.inputs.dtype == "uint8":
            x *= x.dtype.type(self.task.inputs.scale)
        return x.reshape(len(x), *self.task.architecture.input_shape)


def _host(array: Any) -> Array:
    """Return a NumPy array, copied from the device if it lies there."""
    return array if isinstance(array, np.ndarray) else array.get()
