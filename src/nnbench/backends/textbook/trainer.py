"""The loop that people write when they write a net in NumPy, as a backend.

It is no publication's own code: it is what their NumPy sides have in common, written again. What
they do *not* do is left undone here too: no array is reused, nothing is fused, BLAS is called
through `@` alone. `backend=numpy` takes the same steps and is arranged for speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.arrays import input_array
from nnbench.backends.protocol import NO_STATS, Params, State, Task, TrainStats, Walk
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.model import metrics
from nnbench.model.init import He, initial_params
from nnbench.model.layers import Dense, Flatten
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import SGD

Array = NDArray[Any]


def relu(z: Array) -> Array:
    """Return 0 or z, whichever is the larger."""
    return np.maximum(0, z)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z)."""
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    """Return the softmax of each row."""
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


# A function, and its slope written with what it gives.
HIDDEN: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (relu, lambda a: a > 0),
    "sigmoid": (sigmoid, lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
}
OUTPUTS: dict[str, Callable[[Array], Array]] = {
    "bce": sigmoid,
    "cross_entropy": softmax,
    "mse": sigmoid,
}


class TextbookTrainer:
    """Dense nets with biases or without, sigmoid or softmax outputs, SGD, on the CPU."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        _check(task)
        self.task, self.rule = task, task.optimizer
        self.layers = task.architecture.layers
        self.first = next(i for i, layer in enumerate(self.layers) if isinstance(layer, Dense))
        self.inputs = {
            name: input_array(task, split).reshape(len(split), math.prod(task.inputs.shape))
            for name, split in splits.items()
        }
        self.labels = splits["train"].targets
        outputs = task.architecture.output_shape()[0]
        self.one_hot = metrics.target_matrix(self.labels, outputs).astype(task.dtype)
        self.load(initial_params(He(), task.architecture, task.seed, task.dtype))

    def forward(self, x: Array) -> list[Array]:
        """Return x and what every layer makes of it, the logits last."""
        a = [x]
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Dense):
                z = a[-1] @ self.weights[ParamKey(i, "kernel")]
                a.append(z + self.weights[ParamKey(i, "bias")] if layer.bias else z)
            else:
                a.append(HIDDEN[layer.name][0](a[-1]) if layer.name in HIDDEN else a[-1])
        return a

    def output_error(self, z: Array, t: Array) -> Array:
        """Return the slope of the loss in the logits z, for the one-hot rows t."""
        loss = self.task.loss
        p = OUTPUTS[loss.name](z)
        scale = loss.output_scale(z.shape[1]) * loss.batch_scale(len(z))
        if loss.name == "mse":
            return 2 * scale * (p - t) * p * (1 - p)
        return (p - t) * scale

    def step(self, x: Array, t: Array, lr: float) -> Array:
        """Go forward, backward and downhill with one batch; return its logits."""
        a = self.forward(x)
        d = self.output_error(a[-1], t)
        for i in range(len(self.layers) - 1, self.first - 1, -1):
            layer, kernel, bias = self.layers[i], ParamKey(i, "kernel"), ParamKey(i, "bias")
            if not isinstance(layer, Dense):
                d = d * HIDDEN[layer.name][1](a[i + 1])
                continue
            gradient = a[i].T @ d
            if layer.bias:
                self.descend(bias, np.sum(d, axis=0), lr)
            if i > self.first:
                d = d @ self.weights[kernel].T
            self.descend(kernel, gradient, lr)
        return a[-1]

    def descend(self, key: ParamKey, gradient: Array, lr: float) -> None:
        """Move a weight against its gradient, or against its velocity where there is momentum."""
        assert isinstance(self.rule, SGD)
        if self.rule.weight_decay:
            gradient = gradient + self.rule.weight_decay * self.weights[key]
        if self.rule.momentum:
            gradient = self.velocity[key] = self.rule.momentum * self.velocity[key] + gradient
        self.weights[key] = self.weights[key] - lr * gradient

    def train(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`: shuffle the epoch, then cut it into batches."""
        assert walk.order is not None
        x, t = self.inputs["train"][walk.order], self.one_hot[walk.order]
        size, logits = self.task.batch_size, []
        with np.errstate(over="ignore", invalid="ignore"):
            for step, lr in enumerate(walk.lr.tolist()):
                rows = slice(step * size, (step + 1) * size)
                logits.append(self.step(x[rows], t[rows], lr))
        return self._stats(logits, walk)

    def _stats(self, logits: list[Array], walk: Walk) -> TrainStats:
        if not logits:
            return NO_STATS
        met = np.concatenate(logits)
        labels, activation = self.labels[walk.order][: len(met)], self._activation
        losses = metrics.sample_losses(met, labels, self.task.loss, activation)
        return TrainStats(float(losses.sum()), len(met), metrics.count_correct(met, labels))

    @property
    def _activation(self) -> Any:
        return self.task.architecture.output_activation

    def evaluate(self, split: str) -> Array:
        """Return the logits `(n, outputs)` of a split."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.forward(self.inputs[split])[-1]

    def load(self, params: Params) -> None:
        """Take copies of the weights; forget the velocities."""
        self.weights = {key: np.array(p, self.task.dtype) for key, p in params.items()}
        self.velocity = {key: np.zeros_like(p) for key, p in self.weights.items()}

    def params(self) -> Params:
        """Return copies of the weights."""
        return {key: p.copy() for key, p in self.weights.items()}

    def warm_up(self, n: int) -> None:
        """Multiply once: BLAS makes its threads."""
        self.forward(self.inputs["train"][: self.task.batch_size])

    def state(self) -> State:
        """Return the weights and the velocities."""
        state = {str(key): p.copy() for key, p in self.weights.items()}
        return state | {f"velocity {key}": v.copy() for key, v in self.velocity.items()}

    def restore(self, state: State) -> None:
        """Continue from them."""
        self.load({key: state[str(key)] for key in self.weights})
        self.velocity = {key: state[f"velocity {key}"].copy() for key in self.weights}


def _check(task: Task) -> None:
    """Raise UnsupportedSpec, with the reason, for what the textbook loop does not have."""
    rule, loss, net = task.optimizer, task.loss, task.architecture
    others = [
        layer.name
        for layer in net.layers
        if not isinstance(layer, Dense | Flatten) and layer.name not in (*HIDDEN, "linear")
    ]
    positions = [i for i, layer in enumerate(net.layers) if isinstance(layer, Dense)]
    early = [
        layer.name
        for layer in net.layers[: min(positions, default=0)]
        if not isinstance(layer, Flatten)
    ]
    late = [
        layer.name
        for layer in net.layers[min(positions, default=0) :]
        if isinstance(layer, Flatten) or layer.name == "linear"
    ]
    problems = {
        f"backend.execution={task.execution}; it has plain": task.execution != "plain",
        f"device={task.device}; it has cpu": task.device not in ("cpu", "auto"),
        "semantics=native; it has matched": task.semantics != "matched",
        f"layer {(others + early + late + [''])[0]}; it has dense, sigmoid, tanh and relu":
            bool(others or early or late) or not positions,
        "augmentation": net.augment is not None,
        "layers that do not learn (trainable=false)": not net.learns_throughout,
        "steps of several batches (gradient_accumulation_steps)":
            task.gradient_accumulation_steps > 1,
        f"optimizer={rule.name}; it has sgd": not isinstance(rule, SGD),
        "Nesterov momentum": getattr(rule, "nesterov", False),
        "optimizer.rate=inside; it has outside": getattr(rule, "rate", None) == "inside",
        "weight decay but of the gradient, on all weights": bool(rule.weight_decay)
        and (rule.decay, rule.decay_on) != ("coupled", "all"),
        "gradient clipping": (rule.clip_norm, rule.clip_value) != (None, None),
        f"loss={loss.name}; it has bce, cross_entropy and mse": loss.name not in OUTPUTS,
        "label smoothing, class weights or mistakes": not loss.is_plain,
        f"output activation {net.output_activation} with mse; it has sigmoid": loss.name == "mse"
        and net.output_activation != "sigmoid",
    }  # fmt: skip
    for what, met in problems.items():
        if met:
            raise UnsupportedSpec(f"backend=numpy_textbook has no {what}.")
