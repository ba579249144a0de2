"""One training run in forgeNN, a small NumPy framework (https://pypi.org/project/forgeNN, 1.x).

What it has is what a task may ask for: dense layers with bias, ReLU, sigmoid and tanh, the mean
squared error and the cross-entropy, both as means over the batch, SGD, Adam and AdamW, float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from forgeNN.optimizers import SGD, Adam, AdamW
from forgeNN.tensor import Tensor
from forgeNN.vectorized import VectorizedMLP, cross_entropy_loss, mse
from numpy.typing import NDArray

from nnbench.backends.arrays import input_array, target_array
from nnbench.backends.protocol import Params, State, Task, TrainStats, Walk
from nnbench.backends.trainers import own_random_state, rehearse
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.model import metrics
from nnbench.model import optimizers as spec
from nnbench.model.formulas import forms
from nnbench.model.layers import Activation, Dense, Flatten
from nnbench.model.network import ParamKey

EVALUATED = 4096
ACTIVATIONS = ("relu", "sigmoid", "tanh", "linear")


class ForgeNNTrainer:
    """A `VectorizedMLP` and an optimizer of forgeNN's; batches are slices of gathered arrays."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        _check(task)
        self.task = task
        self._inputs = {
            name: input_array(task, split).reshape(len(split), math.prod(task.inputs.shape))
            for name, split in splits.items()
        }
        self._targets, self._labels = target_array(task, splits["train"]), splits["train"].targets
        self._positions, activations = _dense_layers(task)
        units = [task.architecture.layers[i].units for i in self._positions]  # type: ignore[union-attr]
        width = self._inputs["train"].shape[1]
        with own_random_state(task.seed):
            self._net = VectorizedMLP(width, units[:-1], units[-1], activations)
        self._shuffler = np.random.default_rng(task.seed)
        self._loss = _loss(task)
        self._optimizer = self._fresh_optimizer()
        self.effective = {
            f"optimizer.{name}": getattr(self._optimizer, attribute)
            for name, attribute in {"beta1": "beta1", "beta2": "beta2", "epsilon": "eps"}.items()
            if hasattr(self._optimizer, attribute)
        }

    def load(self, params: Params) -> None:
        """Take weights in canonical layout, which is forgeNN's own; reset the optimizer."""
        for key, tensor in self._tensors():
            tensor.data = params[key].astype(np.float32)
        self._optimizer = self._fresh_optimizer()

    def warm_up(self, n: int) -> None:
        """Take a step of each batch shape, and put everything back."""
        rehearse(self, self.task, n)

    def train(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`."""
        order = walk.order if walk.order is not None else self._shuffler.permutation(walk.samples)
        order = order[: self.task.visited(len(order))]
        x, t = self._inputs["train"][order], self._targets[order]
        size, total, met = self.task.batch_size, 0.0, []
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for step, lr in enumerate(walk.lr.tolist()):
                rows = slice(step * size, (step + 1) * size)
                logits = self._net(Tensor(x[rows], requires_grad=False))
                loss = self._loss(logits, t[rows])
                met.append(logits.data)
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.lr = lr
                self._optimizer.step()
                total += float(loss.data) * len(x[rows])
        correct = metrics.count_correct(np.concatenate(met), self._labels[order]) if met else 0
        return TrainStats(total, len(order), correct)

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        x = self._inputs[split]
        parts = [x[start : start + EVALUATED] for start in range(0, max(len(x), 1), EVALUATED)]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate([self._net(Tensor(p, requires_grad=False)).data for p in parts])

    def params(self) -> Params:
        """Return copies of the weights."""
        return {key: tensor.data.copy() for key, tensor in self._tensors()}

    def state(self) -> State:
        """Return copies of the weights and of what the optimizer remembers."""
        state: State = {str(key): value for key, value in self.params().items()}
        for name in ("_bufs", "m", "v"):
            for i, buffer in enumerate(getattr(self._optimizer, name, None) or []):
                state[f"{name}.{i}"] = buffer.copy()
        return state | {"t": np.array(getattr(self._optimizer, "t", 0))}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.load({key: state[str(key)] for key, _ in self._tensors()})
        for name in ("_bufs", "m", "v"):
            buffers: list[Any] = getattr(self._optimizer, name, None) or []
            for i in range(len(buffers)):
                buffers[i] = state[f"{name}.{i}"].copy()
        if hasattr(self._optimizer, "t"):
            self._optimizer.t = int(state["t"])

    def _tensors(self) -> Iterator[tuple[ParamKey, Any]]:
        for i, layer in zip(self._positions, self._net.layers, strict=True):
            yield ParamKey(i, "kernel"), layer.weights
            yield ParamKey(i, "bias"), layer.bias

    def _fresh_optimizer(self) -> Any:
        rule, parameters = self.task.optimizer, self._net.parameters()
        if isinstance(rule, spec.SGD):
            return SGD(parameters, momentum=rule.momentum, weight_decay=rule.weight_decay)
        kind = AdamW if isinstance(rule, spec.AdamW) else Adam
        chosen = {"eps": rule.epsilon, "weight_decay": rule.weight_decay}
        optimizer = kind(parameters, **{k: v for k, v in chosen.items() if v is not None})
        for name in ("beta1", "beta2"):
            if (value := getattr(rule, name)) is not None:
                setattr(optimizer, name, value)
        return optimizer


def _check(task: Task) -> None:
    """Raise UnsupportedSpec, with the reason, for what forgeNN does not have."""
    rule, loss = task.optimizer, task.loss
    own = forms(rule, "torch")  # forgeNN's formulas are PyTorch's
    problems = {
        f"execution {task.execution}; use plain": task.execution != "plain",
        f"dtype={task.dtype}: its tensors are float32": task.dtype != "float32",
        f"device={task.device}: it runs on the CPU": task.device not in ("cpu", "auto"),
        f"loss={loss.name}; it has mse and cross_entropy": loss.name
        not in ("mse", "cross_entropy"),
        "label smoothing, class weights or mistakes": not loss.is_plain,
        "losses summed over the batch": loss.over_batch != "mean",
        "mse summed over the outputs": loss.name == "mse" and loss.over_outputs != "mean",
        f"optimizer={rule.name}; it has sgd, adam and adamw": not isinstance(
            rule, spec.SGD | spec.Adam | spec.AdamW
        ),
        "Nesterov momentum": getattr(rule, "nesterov", False),
        "gradient clipping": rule.clip_norm is not None or rule.clip_value is not None,
        "weight decay that spares biases": rule.decay_on != "all" and bool(rule.weight_decay),
        "amsgrad": getattr(rule, "amsgrad", False),
        **{
            f"optimizer.{key}={value}; it has {own[key]}": value not in (None, own[key])
            for key, value in ((key, getattr(rule, key)) for key in own)
        },
        "steps of several batches (gradient_accumulation_steps)": task.gradient_accumulation_steps
        > 1,
        "augmentation": task.architecture.augment is not None,
        "layers that do not learn (trainable=false)": not task.architecture.learns_throughout,
    }
    for what, met in problems.items():
        if met:
            raise UnsupportedSpec(f"backend=forgenn has no {what}.")


def _dense_layers(task: Task) -> tuple[list[int], list[str]]:
    """Return the positions of the dense layers, and the activation after each."""
    positions: list[int] = []
    activations: list[str] = []
    for i, layer in enumerate(task.architecture.layers):
        if isinstance(layer, Dense) and layer.bias:
            positions.append(i)
            activations.append("linear")
        elif isinstance(layer, Activation) and layer.name in ACTIVATIONS and positions:
            if activations[-1] != "linear":
                raise UnsupportedSpec("backend=forgenn has no activation after another.")
            activations[-1] = layer.name
        elif not (isinstance(layer, Flatten) and not positions):
            what = "dense layer without bias" if isinstance(layer, Dense) else f"layer {layer.name}"
            raise UnsupportedSpec(
                f"backend=forgenn has no {what}; it has dense layers with bias, relu, sigmoid "
                "and tanh."
            )
    if positions[-1] != len(task.architecture.layers) - 1:
        raise UnsupportedSpec("backend=forgenn needs a dense layer at the end.")
    return positions, activations


def _loss(task: Task) -> Callable[[Any, NDArray[Any]], Any]:
    if task.loss.name == "cross_entropy":
        return cross_entropy_loss
    activation = task.architecture.output_activation
    if activation == "linear":
        return mse
    if activation not in ACTIVATIONS:
        raise UnsupportedSpec(f"backend=forgenn has no output activation {activation} for mse.")
    return lambda logits, t: mse(getattr(logits, activation)(), t)
