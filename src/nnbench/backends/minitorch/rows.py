"""What MiniTorch's own comparison with PyTorch lists, row by row: does it do that?

A row works where it gives PyTorch's result, to 1e-6, and passes PyTorch's gradients on.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.minitorch.package import autograd, functional, minitorch, nn, optim, tensor
from nnbench.backends.trainers import own_random_state

Array = NDArray[np.float64]
Tensor = tensor.Tensor
Row = Callable[[], bool]
TOLERANCE = 1e-6
RNG = np.random.default_rng(0)
X, Y = RNG.uniform(1.0, 2.0, (2, 3)), RNG.uniform(1.0, 2.0, (2, 3))
IMAGE = RNG.uniform(1.0, 2.0, (1, 2, 4, 4))
ONE_HOT, LOGITS = np.eye(3)[[0, 2, 1, 2]], RNG.standard_normal((4, 3))
LACKED = ("DataLoader", "Dataset", "pretrained", "lr_scheduler", "StepLR", "save", "load",
          "state_dict", "distributed", "autocast", "checkpoint", "jit", "script", "im2col",
          "cudnn", "sparse", "quantize", "export", "profiler", "profile")  # fmt: skip


def alike(found: Any, expected: Any) -> bool:
    """Tell whether two results are the same to `TOLERANCE`."""
    a, b = np.asarray(found), np.asarray(expected)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE))


def slope(function: Callable[[Array], Any], x: Array) -> Array:
    """Return the gradient in x of the sum of `function`, by central differences."""
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        found[i] = (np.sum(function(x + step)) - np.sum(function(x - step))) / 2e-6
    return found


def right(mine: Callable[[Any], Any], theirs: Callable[[Array], Any], x: Array) -> bool:
    """Tell whether value and gradient of `mine` at x are those of `theirs`."""
    given = Tensor(x.copy(), requires_grad=True)
    result = mine(given)
    if not alike(result.data, theirs(x)):
        return False
    (result.sum() if result.data.size > 1 else result).backward()
    return given.grad is not None and alike(given.grad.data, slope(theirs, x))


def made(name: str) -> Row:
    """Return the row that makes a tensor by `mt.name`."""
    return lambda: callable(getattr(minitorch, name, None))


CREATION: dict[str, Row] = {
    "mt.Tensor": lambda: alike(Tensor([1, 2, 3]).data, [1, 2, 3]),
    **{f"mt.{name}": made(name) for name in ("zeros", "ones", "randn", "rand", "arange", "eye")},
}
OPERATIONS: dict[str, Row] = {
    "x + y": lambda: right(lambda x: x + Tensor(Y), lambda x: x + Y, X),
    "x - y": lambda: right(lambda x: x - Tensor(Y), lambda x: x - Y, X),
    "x * y": lambda: right(lambda x: x * Tensor(Y), lambda x: x * Y, X),
    "x / y": lambda: right(lambda x: x / Tensor(Y), lambda x: x / Y, X),
    "x ** y": lambda: right(lambda x: x ** Tensor(Y), lambda x: x**Y, X),
    "x @ y": lambda: right(lambda x: x @ Tensor(Y.T), lambda x: x @ Y.T, X),
    "x.t()": lambda: right(lambda x: x.t(), lambda x: x.T, X),
    "x.reshape": lambda: right(lambda x: x.reshape(3, 2), lambda x: x.reshape(3, 2), X),
    "x.view": lambda: right(lambda x: x.view(3, 2), lambda x: x.reshape(3, 2), X),
    "x.transpose": lambda: right(lambda x: x.transpose(0, 1), lambda x: x.T, X),
    "x.sum": lambda: right(lambda x: x.sum(), np.sum, X),
    "x.mean": lambda: right(lambda x: x.mean(), np.mean, X),
    "x.max": lambda: right(lambda x: x.max(), np.max, X),
    "x.exp": lambda: right(lambda x: x.exp(), np.exp, X),
    "x.log": lambda: right(lambda x: x.log(), np.log, X),
    "x.sqrt": lambda: right(lambda x: x.sqrt(), np.sqrt, X),
}


def trained(layer: Any, x: Array) -> bool:
    """Tell whether x and every parameter of `layer` get the gradient of the sum of its squares."""
    given = Tensor(x.copy(), requires_grad=True)
    result = layer(given)
    (result * result).sum().backward()

    def of(tensor_: Any) -> Array:
        kept = tensor_.data
        value = np.array(kept, dtype=float)

        def at(changed: Array) -> Any:
            tensor_.data = changed
            return layer(given).data ** 2

        found = slope(at, value)
        tensor_.data = kept
        return found

    return all(
        p.grad is not None and np.allclose(p.grad.data, of(p), rtol=1e-4, atol=1e-4)
        for p in (given, *layer.parameters())
    )


def _batch_norm(layer: Any, x: Array, axes: tuple[int, ...]) -> bool:
    """Tell whether it trains and keeps PyTorch's running variance, the unbiased one."""
    layer(Tensor(x.copy()))
    expected = 0.9 + 0.1 * x.var(axis=axes, ddof=1)
    return alike(layer.running_var, expected) and trained(layer, x)


def _dropout() -> bool:
    layer = nn.Dropout(0.5)
    x = np.ones((20, 20))
    out = layer(Tensor(x)).data
    layer.eval()
    return set(np.unique(out)) == {0.0, 2.0} and alike(layer(Tensor(x)).data, x)


def _embedding() -> bool:
    layer = nn.Embedding(5, 2)
    layer(Tensor(np.array([0, 1, 1]))).sum().backward()
    return layer.weight.grad is not None


LAYERS: dict[str, Row] = {
    "nn.Linear": lambda: trained(nn.Linear(3, 2), X),
    "nn.Conv2d": lambda: trained(nn.Conv2d(2, 3, 3), IMAGE),
    "nn.MaxPool2d": lambda: trained(nn.MaxPool2d(2), IMAGE),
    "nn.AvgPool2d": lambda: trained(nn.AvgPool2d(2), IMAGE),
    "nn.BatchNorm1d": lambda: _batch_norm(nn.BatchNorm1d(3), LOGITS, (0,)),
    "nn.BatchNorm2d": lambda: _batch_norm(nn.BatchNorm2d(2), IMAGE, (0, 2, 3)),
    "nn.Dropout": _dropout,
    "nn.ReLU": lambda: trained(nn.ReLU(), LOGITS),
    "nn.Sigmoid": lambda: trained(nn.Sigmoid(), LOGITS),
    "nn.Tanh": lambda: trained(nn.Tanh(), LOGITS),
    "nn.Softmax": lambda: trained(nn.Softmax(dim=1), LOGITS),
    "nn.Embedding": _embedding,
    "nn.Sequential": lambda: trained(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), X),
}


def _cross_entropy(z: Array) -> Any:
    return np.mean(np.log(np.exp(z).sum(axis=1)) - (z * ONE_HOT).sum(axis=1))


def _bce() -> bool:
    """PyTorch cuts the logarithm at -100; there is nothing to add to p."""
    given = Tensor(np.array([0.0]), requires_grad=True)
    return alike(nn.BCELoss()(given, Tensor(np.array([1.0]))).data, 100.0)


LOSSES: dict[str, Row] = {
    "nn.MSELoss": lambda: right(
        lambda x: nn.MSELoss()(x, Tensor(Y)), lambda x: np.mean((x - Y) ** 2), X
    ),
    "nn.CrossEntropyLoss": lambda: right(
        lambda z: nn.CrossEntropyLoss()(z, Tensor(ONE_HOT)), _cross_entropy, LOGITS
    ),
    "nn.BCELoss": _bce,
    "nn.L1Loss": lambda: right(
        lambda x: nn.L1Loss()(x, Tensor(Y)), lambda x: np.mean(np.abs(x - Y)), X
    ),
}


def _learns(kind: str) -> bool:
    """Tell whether the first step of an optimizer is PyTorch's, with PyTorch's constants."""
    lr, g = 0.01, np.array([0.5, -2.0])
    weight = nn.Parameter(np.array([1.0, 1.0]))
    weight.grad = Tensor(g)
    getattr(optim, kind)([weight], lr=lr).step()
    steps = {
        "SGD": g, "Adam": g / (np.abs(g) + 1e-8), "Adagrad": g / (np.abs(g) + 1e-10),
        "RMSprop": g / (0.1 * np.abs(g) + 1e-8),
    }  # fmt: skip
    return alike(weight.data, 1.0 - lr * steps[kind])


OPTIMIZERS: dict[str, Row] = {
    f"optim.{kind}": lambda kind=kind: _learns(kind)  # type: ignore[misc]
    for kind in ("SGD", "Adam", "RMSprop", "Adagrad")
}


def _fitted(net: Any, optimizer: Any, loss: Any, x: Array, t: Array) -> bool:
    """Tell whether a hundred steps halve the loss."""
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        value = loss(net(Tensor(x)), Tensor(t))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return bool(losses[-1] < 0.5 * losses[0])


def training_loop() -> bool:
    """The document's training loop."""
    x = RNG.standard_normal((50, 10))
    net = nn.Sequential(nn.Linear(10, 1))
    adam = minitorch.optim.Adam(net.parameters(), lr=0.01)
    return _fitted(net, adam, nn.MSELoss(), x, x.sum(axis=1, keepdims=True))


def migration(target: Array = ONE_HOT) -> bool:
    """The document's migrated net and criterion, on one-hot rows, or on the labels `target`."""

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(784, 128), nn.Linear(128, 3)

        def forward(self, x: Any) -> Any:
            return self.fc2(self.fc1(x).relu())

    net, x = Net(), RNG.standard_normal((4, 784))
    return _fitted(net, minitorch.optim.Adam(net.parameters()), nn.CrossEntropyLoss(), x, target)


def lacked() -> list[str]:
    """Return which of the names of what it says it lacks a module of it defines."""
    found = []
    for info in pkgutil.walk_packages(minitorch.__path__, "minitorch."):
        if info.name.endswith("cuda_ops"):  # imports CuPy
            continue
        module = __import__(info.name, fromlist=["_"])
        found += [name for name in LACKED if hasattr(module, name)]
    return found


def lines(*modules: Any) -> int:
    """Return how many lines of the modules are neither blank nor comment."""
    texts = "\n".join(inspect.getsource(module) for module in modules).splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in texts)


def works(row: Row) -> bool:
    """Tell whether a row does what it says; one that raises does not."""
    try:
        return row()
    except Exception:  # whatever it makes of a call that the document shows
        return False


TABLES = {"creation": CREATION, "operations": OPERATIONS, "layers": LAYERS, "losses": LOSSES,
          "optimizers": OPTIMIZERS}  # fmt: skip


def failing() -> list[str]:
    """Return the rows of all tables that do not work."""
    with own_random_state(0):
        return [name for table in TABLES.values() for name, row in table.items() if not works(row)]


def facts() -> dict[str, float]:
    """Return how many rows of each table work, and the other figures of the document."""
    with own_random_state(0):
        found = {name: sum(map(works, table.values())) for name, table in TABLES.items()}
        ops = __import__("minitorch.ops", fromlist=["_"])
        return {
            **{f"{name}_that_work": float(number) for name, number in found.items()},
            "training_loop": float(works(training_loop)),
            "migration": float(works(migration)),
            "migration_with_labels": float(works(lambda: migration(np.array([0, 2, 1, 2])))),
            "lacked_after_all": float(len(lacked())),
            "autograd_lines": float(lines(autograd, tensor, ops)),
            "one_step_to_float64": float(_turns_into_float64()),
        }


def _turns_into_float64() -> bool:
    layer = nn.Linear(3, 2)
    for p in layer.parameters():
        p.data = p.data.astype(np.float32)
    x = Tensor(X.astype(np.float32))
    functional.mse_loss(layer(x), Tensor(np.zeros((2, 2), np.float32))).backward()
    optim.SGD(layer.parameters(), lr=0.1).step()
    return bool(layer.weight.data.dtype == np.float64)
