"""Hand-written training loops, as bare as they get: what the frameworks take without nnbench.

A loop gathers its batches, keeps the losses of an epoch and evaluates between its timed epochs,
as nnbench does. Reads a job as JSON from standard input: `loop`, `overrides`, `epochs`; writes
the seconds of each epoch. Data and initial weights are nnbench's own; nothing else is.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bare_numpy import numpy_loop
from bare_peers import jax_loop, sklearn_loop
from bare_products import products_loop

from nnbench import data
from nnbench.backends.protocol import Task
from nnbench.config.composition import compose
from nnbench.model import metrics
from nnbench.model.init import FromRun, NativeInit, initial_params
from nnbench.training import effort
from nnbench.training.assembly import make_task


@dataclass
class Problem:
    """Splits as they are; x, one-hot t and labels of training, x of the test split as float32."""

    task: Task
    splits: Any
    x: Any
    t: Any
    labels: Any
    test: Any
    weights: list[Any]
    lr: float


def problem(overrides: list[str]) -> Problem:
    """Load what the overrides ask for."""
    config = compose(overrides).config
    dataset = data.load(config.data, kind=config.task, seed=config.seed)
    task = make_task(config, dataset)
    train, test = dataset.splits["train"], dataset.splits["test"]
    scale = np.float32(dataset.inputs.scale)
    outputs = task.architecture.output_shape()[0]
    assert not isinstance(config.init, FromRun | NativeInit)
    params = initial_params(config.init, task.architecture, config.seed, "float32")
    shape = (-1, *task.architecture.input_shape)
    return Problem(
        task,
        dataset.splits,
        train.inputs.astype(np.float32).reshape(shape) * scale,
        metrics.target_matrix(train.targets, outputs).astype(np.float32),
        train.targets,
        test.inputs.astype(np.float32).reshape(shape) * scale,
        [params[key] for key in sorted(params, key=lambda k: (k.layer, k.role != "kernel"))],
        float(config.schedule.per_step(0, 1, 1, ())[0]),
    )


def c_loop(p: Problem) -> tuple[Callable[[], object], Callable[[], object]]:
    """The C loop of c_loop.c, compiled for this processor."""
    folder = tempfile.mkdtemp()
    library = Path(folder) / "c_loop.so"
    source = Path(__file__).with_name("c_loop.c")
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(source), "-o", str(library), "-lm"], check=True)
    function = ctypes.CDLL(str(library)).epoch
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
    function.argtypes = [pointer] * 6 + [ctypes.c_int, ctypes.c_float, pointer]
    losses = np.zeros(len(p.x), np.float32)
    order = np.arange(len(p.x))

    def epoch() -> float:
        x, t = p.x[order], p.t[order]
        function(*p.weights, x, t, len(x), p.lr, losses)
        return float(losses.sum())

    return epoch, lambda: None


def torch_loop(
    p: Problem, channels_last: bool = False
) -> tuple[Callable[[], object], Callable[[], object]]:
    """PyTorch: modules, a loss and an optimizer of its own, batches as views of gathered data."""
    import torch
    from torch import nn

    torch.set_num_threads(p.task.threads)
    device = p.task.device
    images = len(p.task.architecture.input_shape) == 3
    net, sigmoid = _torch_net(p).to(device), p.task.loss.name == "mse"
    kind = nn.MSELoss(reduction="sum") if sigmoid else nn.CrossEntropyLoss(reduction="sum")
    x = torch.from_numpy(p.x).permute(0, 3, 1, 2).contiguous() if images else torch.from_numpy(p.x)
    test = torch.from_numpy(p.test)
    test = test.permute(0, 3, 1, 2).contiguous() if images else test
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        x, test = (a.contiguous(memory_format=torch.channels_last) for a in (x, test))
    x, test = x.to(device), test.to(device)
    t = torch.from_numpy(p.t if sigmoid else p.labels.astype(np.int64)).to(device)
    momentum = getattr(p.task.optimizer, "momentum", 0.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=p.lr, momentum=momentum)
    batch = p.task.batch_size
    factor = 1.0 / batch / (p.t.shape[1] if sigmoid else 1)
    seed = torch.tensor(factor, device=device)
    order = torch.arange(len(x), device=device)
    chunk = max(1, 64 * 2**20 // (x[0].numel() * 4 * batch)) * batch

    def epoch() -> float:
        losses = []
        for part in order.split(chunk):
            inputs, targets = x.index_select(0, part), t.index_select(0, part)
            for rows, wanted in zip(inputs.split(batch), targets.split(batch), strict=True):
                loss = kind(net(rows), wanted)
                optimizer.zero_grad()
                loss.backward(seed)
                optimizer.step()
                losses.append(loss.detach())
        return float(torch.stack(losses).sum(dtype=torch.float64).item())

    def evaluate() -> Any:
        with torch.inference_mode():
            return [net(rows) for rows in test.split(2048)]

    return epoch, evaluate


def _torch_net(p: Problem) -> Any:
    import torch
    from torch import nn

    from nnbench.model import layers as spec

    modules: list[Any] = []
    shapes = p.task.architecture.shapes()
    activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
    for _, layer, before, _ in shapes:
        if isinstance(layer, spec.Dense):
            modules.append(nn.Linear(before[0], layer.units))
        elif isinstance(layer, spec.Conv2d):
            same = "same" if layer.padding == "same" else 0
            modules.append(nn.Conv2d(before[2], layer.filters, layer.kernel_size, padding=same))
        elif isinstance(layer, spec.MaxPool2d):
            modules.append(nn.MaxPool2d(layer.size))
        elif isinstance(layer, spec.Flatten):
            modules.append(nn.Flatten())
        else:
            modules.append(activations[layer.name]())
    if p.task.loss.name == "mse":
        modules.append(nn.Sigmoid())
    net = nn.Sequential(*modules)
    if len(p.task.architecture.input_shape) == 1:
        with torch.no_grad():
            for parameter, weight in zip(net.parameters(), p.weights, strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(weight.T)))
    return net


def xla_loop(p: Problem) -> tuple[Callable[[], object], Callable[[], object]]:
    """TensorFlow: a whole epoch as one function compiled by XLA."""
    import tensorflow as tf

    sigmoid = p.task.loss.name == "mse"
    weights = [tf.Variable(w) for w in p.weights]
    momentum = getattr(p.task.optimizer, "momentum", 0.0)
    velocities = [tf.Variable(tf.zeros_like(w)) for w in weights] if momentum else []
    x, t = tf.constant(p.x), tf.constant(p.t if sigmoid else p.labels.astype(np.int32))
    batch = p.task.batch_size
    order = tf.range(len(p.x))

    def logits(rows: Any) -> Any:
        for i in range(0, len(weights), 2):
            rows = rows @ weights[i] + weights[i + 1]
            if i < len(weights) - 2:
                rows = tf.sigmoid(rows) if sigmoid else tf.nn.relu(rows)
        return rows

    def step(rows: Any) -> Any:
        with tf.GradientTape() as tape:
            z, wanted = logits(tf.gather(x, rows)), tf.gather(t, rows)
            if sigmoid:
                losses = tf.reduce_mean((tf.sigmoid(z) - wanted) ** 2, axis=1)
            else:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, z)
            loss = tf.reduce_sum(losses)
            mean = loss / batch
        for i, g in enumerate(tape.gradient(mean, weights)):
            if momentum:
                velocities[i].assign(momentum * velocities[i] + g)
                weights[i].assign_sub(p.lr * velocities[i])
            else:
                weights[i].assign_sub(p.lr * g)
        return tf.cast(loss, tf.float64)

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def program(order: Any, steps: Any) -> Any:
        def body(i: Any, total: Any) -> Any:
            return i + 1, total + step(tf.slice(order, [i * batch], [batch]))

        start = tf.constant(0, tf.int32), tf.constant(0.0, tf.float64)
        return tf.while_loop(lambda i, _: i < steps, body, start)[1]

    steps = tf.constant(len(p.x) // batch, tf.int32)
    evaluated = tf.function(logits)
    test = tf.constant(p.test)
    return (lambda: float(program(order, steps))), (lambda: evaluated(test).numpy())


LOOPS: dict[str, Callable[[Problem], tuple[Callable[[], object], Callable[[], object]]]] = {
    "c": c_loop,
    "jax": jax_loop,
    "numpy": numpy_loop,
    "products": products_loop,
    "sklearn": sklearn_loop,
    "torch": torch_loop,
    "torch_channels_last": lambda p: torch_loop(p, channels_last=True),
    "xla": xla_loop,
}


def main() -> None:
    """Run the job; the first epoch is there to warm up.

    An epoch is said as wall, processor and waiting seconds and involuntary switches, as nnbench
    takes them of its own.
    """
    job = json.loads(sys.stdin.read())
    given = problem(job["overrides"])
    epoch, evaluate = LOOPS[job["loop"]](given)
    epochs, evaluations = [], []
    with np.errstate(all="ignore"):
        for _ in range(job["epochs"]):
            before, start = effort.read(), time.perf_counter()
            epoch()
            seconds = time.perf_counter() - start
            spent = effort.since(before)
            epochs.append(
                (seconds, spent.cpu_seconds, spent.waited_seconds, spent.involuntary_switches)
            )
            start = time.perf_counter()
            evaluate()
            evaluations.append(time.perf_counter() - start)
    steps = given.task.steps(len(given.x))
    evaluating = statistics.median(evaluations)
    print(json.dumps({"epochs": epochs, "steps": steps, "evaluate": evaluating}))


if __name__ == "__main__":
    main()
