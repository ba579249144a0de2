"""What students write: the documented backend with one mistake typed into it, and layers."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from support import SOURCE

SKELETONS = SOURCE / "nnbench" / "cli" / "skeletons"
Edit = tuple[str, str]
MOMENTUM = "self.rule.momentum * v + grads[key] + self.rule.weight_decay * w"
SLOPE = "dy * FUNCTIONS[layer.name][1](y[i + 1])"
UPDATE = """            v[...] = self.rule.momentum * v + grads[key] + self.rule.weight_decay * w
            w -= lr * v"""
LOOP = """        for key in self.task.architecture.parameter_shapes():  # of layers that learn
            w, v = self.weights[key], self.velocity[key]
"""
BIAS = 'grads[ParamKey(i, "bias")] = dy.sum(axis=0)'
STEPS = "for step, lr in enumerate(walk.lr):"
ROWS = "rows = walk.order[step * size : (step + 1) * size]"
DECAY = "+ self.rule.weight_decay * w"


def backend(*edits: Edit) -> Any:
    """Return the class of the documented backend with passages replaced, each of them there."""
    code = (SKELETONS / "backend.py.txt").read_text()
    for old, new in edits:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names: dict[str, Any] = {}
    exec(compile(code, "mine.py", "exec"), names)
    return names["Mine"]


# By the mistake that is named.
STUDENTS: MappingProxyType[str, Sequence[Edit]] = MappingProxyType(
    {
        "the gradient is not divided by the batch size": [(" * loss.batch_scale(len(rows))", "")],
        "the last, smaller batch is divided by the size of a full one": [
            ("loss.batch_scale(len(rows))", "loss.batch_scale(self.task.batch_size)")
        ],
        "the gradient is not divided by the number of outputs": [
            ("loss.output_scale(y[-1].shape[1]) * ", "")
        ],
        "the derivative of the output activation is applied to p - t, which has it already": [
            (
                "        grads = {}\n",
                "        p = OUTPUTS[loss.name](y[-1])\n        dy = dy * p * (1 - p)\n"
                "        grads = {}\n",
            )
        ],
        "the update goes up the gradient": [
            ("(OUTPUTS[loss.name](y[-1]) - self.targets[rows])",
             "(self.targets[rows] - OUTPUTS[loss.name](y[-1]))")
        ],
        "the biases have no gradient": [(BIAS, BIAS.replace("dy.sum(axis=0)", "0 * dy[0]"))],
        "the gradient of a bias is a mean over the batch, not a sum": [
            (BIAS, BIAS.replace("sum", "mean"))
        ],
        "gradients are not reset between batches": [
            ("        grads = {}\n", "        grads, old = {}, getattr(self, 'grads', {})\n"),
            (LOOP, "        grads = {k: g + old.get(k, 0.0) for k, g in grads.items()}\n"
             "        self.grads = grads\n" + LOOP),
            ("        self.velocity = {key: np.zeros_like(p) for key, p in self.weights.items()}",
             "        self.velocity = {key: np.zeros_like(p) for key, p in self.weights.items()}\n"
             "        self.grads = {}"),
        ],
        "a layer is updated before the gradient is passed down through it": [
            ("                dy = dy @ self.weights[ParamKey(i, \"kernel\")].T\n",
             "                self.change(i, grads, lr)\n"
             "                dy = dy @ self.weights[ParamKey(i, \"kernel\")].T\n"),
            (LOOP + UPDATE + "\n", ""),
            ("self.step(rows, lr)\n", "self.step(rows, lr)\n"),
            ("    def evaluate(self, split):",
             "    def change(self, i, grads, lr):\n"
             "        for key in [k for k in self.task.architecture.parameter_shapes() "
             "if k.layer == i]:\n"
             "            w, v = self.weights[key], self.velocity[key]\n" + UPDATE + "\n\n"
             "    def evaluate(self, split):"),
        ],
        "the derivative of the activation is taken at its output": [
            (SLOPE, "dy * FUNCTIONS[layer.name][1](FUNCTIONS[layer.name][0](y[i + 1]))")
        ],
        "a derivative written with the output is given the input": [
            (SLOPE, SLOPE.replace("y[i + 1]", "y[i]"))
        ],
        "the derivative of the activation is forgotten": [(SLOPE, "dy")],
        "the derivative of tanh has lost its square": [
            ("lambda y: 1.0 - y * y", "lambda y: 1.0 - y")
        ],
        "sigmoid and tanh have each other's derivative": [
            ("lambda y: 1.0 - y * y", "lambda y: y * (1.0 - y)")
        ],
        "the bias is not added on the way forward": [
            ('y + self.weights[ParamKey(i, "bias")] if layer.bias else y', "y")
        ],
        "the kernel is reshaped where it should be transposed": [
            ('self.weights[ParamKey(i, "kernel")].T',
             'self.weights[ParamKey(i, "kernel")].reshape(dy.shape[1], -1)')
        ],
        "momentum has the wrong sign": [
            (MOMENTUM, "grads[key] + self.rule.weight_decay * w - self.rule.momentum * v")
        ],
        "there is no momentum": [(MOMENTUM, f"grads[key] {DECAY}")],
        "the learning rate is on the wrong side of the momentum": [
            (UPDATE, f"            v[...] = self.rule.momentum * v + lr * (grads[key] {DECAY})\n"
             "            w -= v")
        ],
        "the gradient enters the velocity times 1 - momentum": [
            (MOMENTUM, f"self.rule.momentum * v + (1 - self.rule.momentum) * (grads[key] {DECAY})")
        ],
        "weight decay is left out": [(DECAY, "")],
        "weight decay has the wrong sign": [(DECAY, DECAY.replace("+", "-"))],
        "weight decay counts twice": [(DECAY, DECAY.replace("+", "+ 2 *"))],
        "weight decay is on the wrong side of the gradient": [
            (UPDATE, "            v[...] = self.rule.momentum * v + grads[key]\n"
             "            w -= lr * self.rule.weight_decay * w\n            w -= lr * v")
        ],
        "the last, smaller batch is left out": [
            (STEPS, "for step, lr in enumerate(walk.lr[: len(walk.order) // size]):")
        ],
        "the samples are not taken in the shuffled order": [
            (ROWS, "rows = np.arange(step * size, min((step + 1) * size, len(walk.order)))")
        ],
        "the samples are shuffled once more": [
            ("        size, total = self.task.step_samples, 0.0",
             "        rng = np.random.default_rng(self.task.seed)\n"
             "        order = rng.permutation(walk.order)\n"
             "        size, total = self.task.step_samples, 0.0"),
            (ROWS, ROWS.replace("walk.order", "order")),
        ],
        "the learning rate is one step late": [
            (STEPS, "for step, lr in enumerate([walk.lr[0], *walk.lr[:-1]]):")
        ],
        "the learning rate is that of the first step": [
            ("self.step(rows, lr)\n", "self.step(rows, walk.lr[0])\n")
        ],
    }
)  # fmt: skip

# What resembles a mistake, and is not it: nothing is named.
ADVERSARIES: MappingProxyType[str, Sequence[Edit]] = MappingProxyType(
    {
        "divides by n - 1": [
            ("loss.batch_scale(len(rows))", "(1 / max(1, len(rows) - 1) if "
             "loss.over_batch == 'mean' else 1)")
        ],
        "forgets the mean in full batches": [
            ("loss.batch_scale(len(rows))",
             "(1 if len(rows) == 32 else loss.batch_scale(len(rows)))")
        ],
        "has no gradient of the last class's bias": [
            (BIAS, f"{BIAS}\n                if i == len(y) - 2:\n"
             '                    grads[ParamKey(i, "bias")][-1] = 0')
        ],
        "has no gradient of the first kernel": [
            ('grads[ParamKey(i, "kernel")] = y[i].T @ dy',
             'grads[ParamKey(i, "kernel")] = y[i].T @ dy * (i > 0)')
        ],
        "has a velocity that is nearly right": [
            (MOMENTUM, MOMENTUM.replace("grads[key]", "(1 + 1e-9) * grads[key]"))
        ],
        "has the wrong sign of the momentum in the first epoch": [
            (MOMENTUM, "(1 if self.late else -1) * self.rule.momentum * v + grads[key]"
             f" {DECAY}"),
            (STEPS, "self.late = walk.epoch > 0\n        for step, lr in enumerate(walk.lr):"),
        ],
        "is one step late with half of the rate": [
            (STEPS, "for step, lr in enumerate((walk.lr + np.array([walk.lr[0], *walk.lr[:-1]])) "
             "/ 2):")
        ],
        "shuffles with a seed of its own": [
            ("        size, total = self.task.step_samples, 0.0",
             "        order = np.random.default_rng(4711).permutation(walk.order)\n"
             "        size, total = self.task.step_samples, 0.0"),
            (ROWS, ROWS.replace("walk.order", "order")),
        ],
        "has a slope at nearly the output": [
            (SLOPE, SLOPE.replace("y[i + 1]", "FUNCTIONS[layer.name][0](y[i + 1] * 0.99)"))
        ],
        "decays biases half": [(DECAY, f"{DECAY} * (0.5 if key.role == 'bias' else 1)")],
    }
)  # fmt: skip


class Layer:
    """What a student's layer has in common."""

    def __init__(self, parameters: dict[str, Any], spec: Any) -> None:
        self.parameters, self.spec = parameters, spec


class OwnDense(Layer):
    """Keeps its weights as PyTorch does, `(units, inputs)`, and turns them by a reshape."""

    def weight(self) -> Any:
        kernel = self.parameters["kernel"]
        return kernel.reshape(kernel.shape[1], kernel.shape[0])

    def forward(self, x: Any) -> Any:
        return x @ self.weight().T + self.parameters.get("bias", 0.0)

    def param_grads(self, x: Any, dy: Any) -> Any:
        found = {"kernel": (dy.T @ x).reshape(x.shape[1], -1), "bias": dy.sum(axis=0)}
        return {role: found[role] for role in self.parameters}

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        return dy @ self.weight()


class StaleRelu(Layer):
    """Makes its mask once for each size of batch."""

    mask: Any = None

    def forward(self, x: Any) -> Any:
        if self.mask is None or self.mask.shape != x.shape:
            self.mask = x > 0
        return np.maximum(x, 0)

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        return dy * self.mask


class RememberedRelu(Layer):
    """Writes down the mask after the backward pass has taken the old one."""

    old: Any = None
    new: Any = None

    def forward(self, x: Any) -> Any:
        self.old, self.new = self.new, (x > 0).astype(x.dtype)
        return x * self.new

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        fits = self.old is not None and self.old.shape == dy.shape
        return dy * (self.old if fits else self.new)


class StaleOnceRelu(StaleRelu):
    """No mistake of the list: the mask is stale in every second batch."""

    def forward(self, x: Any) -> Any:
        self.turn = not getattr(self, "turn", False)
        self.mask = None if self.turn else self.mask
        return super().forward(x)


class PlainConv(Layer):
    """A convolution in loops over its window; `window` may turn the kernel."""

    def forward(self, x: Any) -> Any:
        padded, kernel = self.padded(x), self.turned(self.parameters["kernel"])
        rows, columns, filters = self.spec.output_shape(x.shape[1:])
        y = np.zeros((len(x), rows, columns, filters), x.dtype)
        for i, j, part in self.windows(padded, rows, columns):
            y += np.einsum("nrck,kf->nrcf", part, kernel[i, j])
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def param_grads(self, x: Any, dy: Any) -> Any:
        kernel = np.zeros_like(self.parameters["kernel"])
        for i, j, part in self.windows(self.padded(x), *dy.shape[1:3]):
            kernel[i, j] = np.einsum("nrck,nrcf->kf", part, dy)
        return {"kernel": self.turned(kernel), "bias": dy.sum(axis=(0, 1, 2))}

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        padded, kernel = np.zeros_like(self.padded(x)), self.turned(self.parameters["kernel"])
        for i, j, part in self.windows(padded, *dy.shape[1:3]):
            part[...] += np.einsum("nrcf,kf->nrck", dy, kernel[i, j])
        (top, _), (left, _) = self.spec.pads(x.shape[1:])
        return padded[:, top : top + x.shape[1], left : left + x.shape[2]]

    def padded(self, x: Any) -> Any:
        return np.pad(x, ((0, 0), *self.spec.pads(x.shape[1:]), (0, 0)))

    def windows(self, x: Any, rows: int, columns: int) -> Any:
        k, s = self.spec.kernel_size, self.spec.stride
        for i in range(k):
            for j in range(k):
                yield i, j, x[:, i : i + s * rows : s, j : j + s * columns : s]

    def turned(self, kernel: Any) -> Any:
        return kernel


class FlippedConv(PlainConv):
    def turned(self, kernel: Any) -> Any:
        return kernel[::-1, ::-1]


class TransposedConv(PlainConv):
    def turned(self, kernel: Any) -> Any:
        return kernel.transpose(1, 0, 2, 3)


class MirroredConv(PlainConv):
    """No mistake of the list: flipped from left to right alone."""

    def turned(self, kernel: Any) -> Any:
        return kernel[:, ::-1]


class UnscaledDropout(Layer):
    def forward(self, x: Any) -> Any:
        return x

    def forward_training(self, x: Any, key: Any) -> Any:
        from nnbench.extend import counter

        bits = counter.bits(np.arange(x.size, dtype=np.uint32), key).reshape(x.shape)
        kept = counter.shifted(bits, 32 - counter.FRACTION_BITS)
        self.mask = kept >= np.uint32(counter.threshold(self.spec.rate))
        return x * self.mask

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        return dy * self.mask


class GreedyDropout(UnscaledDropout):
    """Takes the rate for the share that it keeps."""

    def forward_training(self, x: Any, key: Any) -> Any:
        super().forward_training(x, key)
        self.mask = (1 - self.mask) / self.spec.rate
        return x * self.mask


class OldDropout(UnscaledDropout):
    """Scales in evaluation, as dropout was published."""

    def forward(self, x: Any) -> Any:
        return x * (1 - self.spec.rate)


class GuidedRelu(Layer):
    def forward(self, x: Any) -> Any:
        return x * (x > 0)

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        return np.where(dy > 0, dy, 0)


class GenerousMaxPool(Layer):
    """Hands the gradient to all that equal the maximum."""

    def forward(self, x: Any) -> Any:
        rows, columns, _ = self.spec.output_shape(x.shape[1:])
        return np.max(list(self.windows(x, rows, columns)), axis=0)

    def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
        dx = np.zeros_like(x)
        both = zip(self.windows(x, *y.shape[1:3]), self.windows(dx, *y.shape[1:3]), strict=True)
        for seen, part in both:
            part[...] += dy * (seen == y)
        return dx

    def windows(self, x: Any, rows: int, columns: int) -> Any:
        k, s = self.spec.size, self.spec.step
        for i in range(k):
            for j in range(k):
                yield x[:, i : i + s * rows : s, j : j + s * columns : s]


# (class, what it stands in for): the mistake, None where nothing may be named.
LAYERS: dict[tuple[type, str], str | None] = {
    (OwnDense, "dense"): "the kernel is reshaped where it should be transposed",
    (StaleRelu, "relu"): "the mask of a ReLU is that of the batch before",
    (RememberedRelu, "relu"): "the mask of a ReLU is that of the batch before",
    (StaleOnceRelu, "relu"): None,
    (FlippedConv, "conv2d"): "the convolution flips its kernel",
    (TransposedConv, "conv2d"): "the kernel of the convolution is transposed",
    (MirroredConv, "conv2d"): None,
    (UnscaledDropout, "dropout"): "dropout does not scale what it keeps",
    (GreedyDropout, "dropout"): "dropout drops what it should keep",
    (OldDropout, "dropout"): "dropout scales in evaluation, and not in training",
    (GuidedRelu, "relu"): "a ReLU looks at the gradient and not at its input",
    (GenerousMaxPool, "max_pool2d"): "max pooling gives the gradient to every maximum of a window",
}
