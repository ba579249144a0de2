"""One training run in MiniTorch (github.com/abdimoallim/minitorch, commit 46a3b0c), in float64.

It is on no package index; whoever has it on the path can run it. Several projects have that name:
this is the one with `minitorch.nn` and `minitorch.optim` of PyTorch's interface.

What it computes as its documentation says is used as it is. What it gets wrong, or has no graph
for and so never trains, is refused with that reason (`REASONS`). In matched semantics the
cross-entropy is written as a `Function` of its autograd, since its own adds 1e-8 to what it takes
the logarithm of; in native semantics it is its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.arrays import input_array
from nnbench.backends.minitorch.package import autograd, nn, optim, tensor
from nnbench.backends.minitorch.refusals import check
from nnbench.backends.protocol import Params, State, Task, TrainStats, Walk
from nnbench.backends.trainers import own_random_state, rehearse
from nnbench.data.dataset import Split
from nnbench.model import metrics
from nnbench.model import optimizers as spec
from nnbench.model.layers import Dense, Flatten
from nnbench.model.network import ParamKey

EVALUATED = 4096
BUFFERS = ("velocities", "m", "v")
Array = NDArray[Any]
Tensor = tensor.Tensor
ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softmax": nn.Softmax,
}  # fmt: skip


class CrossEntropy(autograd.Function):  # type: ignore[misc]
    """The sum over the batch of the cross-entropies of logits and one-hot rows."""

    @staticmethod
    def forward(ctx: Any, logits: Any, target: Any) -> Any:
        """Return the sum."""
        ctx.save_for_backward(logits, target)
        z = logits.data - logits.data.max(axis=1, keepdims=True)
        losses = np.log(np.exp(z).sum(axis=1)) - (z * target.data).sum(axis=1)
        return Tensor(np.array(losses.sum()), requires_grad=logits.requires_grad)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, None]:
        """Return the gradient of the logits, `p - t`."""
        logits, target = ctx.saved_tensors
        e = np.exp(logits.data - logits.data.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return Tensor(grad_output.data * (p - target.data)), None


class MiniTorchTrainer:
    """A `Sequential` and an optimizer of MiniTorch's, in the loop of its documentation."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        check(task)
        self.task = task
        self._inputs = {
            name: input_array(task, split).reshape(len(split), *task.architecture.input_shape)
            for name, split in splits.items()
        }
        self._labels = splits["train"].targets
        outputs = task.architecture.output_shape()[0]
        self._targets = metrics.target_matrix(self._labels, outputs)
        with own_random_state(task.seed):
            self._net, self._linear = _build(task)
        self._shuffler = np.random.default_rng(task.seed)
        self._loss = _loss(task)
        self._optimizer = _optimizer(task.optimizer, self._net)
        self.effective = {
            f"optimizer.{name}": getattr(self._optimizer, attribute)
            for name, attribute in {
                "beta1": "beta1", "beta2": "beta2", "rho": "alpha", "epsilon": "eps",
            }.items() if hasattr(self._optimizer, attribute)
        }  # fmt: skip

    def load(self, params: Params) -> None:
        """Take weights in canonical layout; reset the optimizer."""
        for key, parameter in self._parameters():
            value = params[key].astype(np.float64)
            parameter.data = value.T.copy() if key.role == "kernel" else value
        self._optimizer = _optimizer(self.task.optimizer, self._net)

    def warm_up(self, n: int) -> None:
        """Take a step of each batch shape, and put everything back."""
        rehearse(self, self.task, n)

    def train(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`."""
        order = walk.order if walk.order is not None else self._shuffler.permutation(walk.samples)
        x, t = self._inputs["train"][order], self._targets[order]
        size, total, met = self.task.batch_size, 0.0, []
        loss_spec, outputs = self.task.loss, self._targets.shape[1]
        self._net.train()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for step, lr in enumerate(walk.lr.tolist()):
                rows = slice(step * size, (step + 1) * size)
                logits = self._net(Tensor(x[rows]))
                loss = self._loss(logits, Tensor(t[rows]))
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.lr = lr
                self._optimizer.step()
                total += loss.item() / loss_spec.batch_scale(len(logits.data))
                met.append(logits.data)
        seen = np.concatenate(met) if met else np.zeros((0, outputs))
        correct = metrics.count_correct(seen, self._labels[order][: len(seen)])
        return TrainStats(total, len(seen), correct)

    def evaluate(self, split: str) -> Array:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        x = self._inputs[split]
        self._net.eval()
        parts = [x[start : start + EVALUATED] for start in range(0, max(len(x), 1), EVALUATED)]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate([self._net(Tensor(part)).data for part in parts])

    def params(self) -> Params:
        """Return copies of the weights."""
        return {
            key: np.array(p.data.T if key.role == "kernel" else p.data, order="C")
            for key, p in self._parameters()
        }

    def state(self) -> State:
        """Return copies of the weights and of what the optimizer remembers."""
        state: State = {str(key): value for key, value in self.params().items()}
        for name in BUFFERS:
            for i, buffer in enumerate(getattr(self._optimizer, name, ())):
                state[f"{name}.{i}"] = np.array(buffer)
        return state | {"t": np.array(getattr(self._optimizer, "t", 0))}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.load({key: state[str(key)] for key, _ in self._parameters()})
        for name in BUFFERS:
            buffers = getattr(self._optimizer, name, [])
            for i in range(len(buffers)):
                buffers[i] = state[f"{name}.{i}"].copy()
        if hasattr(self._optimizer, "t"):
            self._optimizer.t = int(state["t"])

    def _parameters(self) -> Iterator[tuple[ParamKey, Any]]:
        for i, layer in self._linear.items():
            yield ParamKey(i, "kernel"), layer.weight
            if layer.bias is not None:
                yield ParamKey(i, "bias"), layer.bias


def _build(task: Task) -> tuple[Any, dict[int, Any]]:
    """Return the net, and its Linear layers by their positions."""
    width, layers, linear = task.architecture.input_shape[-1], [], {}
    for i, layer in enumerate(task.architecture.layers):
        if isinstance(layer, Dense):
            linear[i] = nn.Linear(width, layer.units, bias=layer.bias)
            width = layer.units
            layers.append(linear[i])
        elif layer.name in ACTIVATIONS:
            layers.append(ACTIVATIONS[layer.name]())
        elif isinstance(layer, Flatten):
            width = math.prod(task.architecture.input_shape)
            layers.append(_Flattened())
    return nn.Sequential(*layers), linear


class _Flattened(nn.Module):  # type: ignore[misc]
    """Each sample as one row."""

    def forward(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)


def _loss(task: Task) -> Callable[[Any, Any], Any]:
    """Return the loss of a batch, reduced as the task says, from logits and targets."""
    loss, outputs = task.loss, task.architecture.output_shape()[-1]
    if loss.name == "cross_entropy":
        if task.semantics == "native":
            return nn.CrossEntropyLoss()
        return lambda logits, t: CrossEntropy.apply(logits, t) * loss.batch_scale(len(t.data))
    own, activation = nn.MSELoss(), task.architecture.output_activation
    applied = ACTIVATIONS[activation]() if activation != "linear" else None

    def mse(logits: Any, t: Any) -> Any:
        mean, n = own(applied(logits) if applied else logits, t), len(t.data)
        scale = n * outputs * loss.output_scale(outputs) * loss.batch_scale(n)
        return mean if scale == 1.0 else mean * scale

    return mse


def _optimizer(rule: spec.Optimizer, net: Any) -> Any:
    """Return an optimizer with the constants that the rule sets."""
    named = {"weight_decay": rule.weight_decay}
    for name, own in {"momentum": "momentum", "rho": "alpha", "epsilon": "eps"}.items():
        if name != "momentum" or isinstance(rule, spec.SGD):
            named[own] = getattr(rule, name, None)
    kinds: dict[type, Any] = {
        spec.SGD: optim.SGD, spec.Adam: optim.Adam, spec.RMSprop: optim.RMSprop,
        spec.Adagrad: optim.Adagrad,
    }  # fmt: skip
    chosen = {k: v for k, v in named.items() if v is not None}
    found = kinds[type(rule)](net.parameters(), **chosen)
    for name in ("beta1", "beta2"):
        if (value := getattr(rule, name, None)) is not None:
            setattr(found, name, value)
    return found
