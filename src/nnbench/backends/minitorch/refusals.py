"""What MiniTorch does not have, gets wrong or never trains: refused, each with its reason."""

from __future__ import annotations

from nnbench.backends.protocol import Task
from nnbench.errors import UnsupportedSpec
from nnbench.model import optimizers as spec
from nnbench.model.formulas import forms
from nnbench.model.layers import Activation, Dense, Flatten

UNTRAINED = "its result has no graph, so that nothing in it or below it is ever trained"
LAYERS = {
    "conv2d": UNTRAINED,
    "max_pool2d": UNTRAINED,
    "avg_pool2d": UNTRAINED,
    "embedding": UNTRAINED,
    "batch_norm": "its running variance is the biased one, and its backward pass, which has no "
    "topological order, does the work below it four times over",
    "dropout": "it draws from NumPy's global random state",
}
LOSSES = {
    "l1": "its L1Loss is the mean of the signed differences",
    "bce": "its BCELoss takes the logarithm of p + 1e-8, which is wrong where outputs saturate",
}
FUNCTIONS = ("relu", "sigmoid", "tanh", "softmax", "linear")
OPTIMIZERS = (spec.SGD, spec.Adam, spec.RMSprop, spec.Adagrad)


def check(task: Task) -> None:
    """Raise UnsupportedSpec, with the reason, for what MiniTorch cannot be trusted with."""
    for layer in task.architecture.layers:
        if not isinstance(layer, Dense | Flatten) and not (
            isinstance(layer, Activation) and layer.name in FUNCTIONS
        ):
            raise _refused(f"layer {layer.name}", LAYERS.get(layer.name))
    if task.loss.name not in ("mse", "cross_entropy"):
        raise _refused(f"loss={task.loss.name}", LOSSES.get(task.loss.name))
    for what, (met, reason) in _problems(task).items():
        if met:
            raise _refused(what, reason)


def _problems(task: Task) -> dict[str, tuple[bool, str | None]]:
    """Return by what is asked for whether it is met, and the reason to refuse it."""
    rule, loss, net = task.optimizer, task.loss, task.architecture
    own = forms(rule, "torch")  # its formulas are PyTorch's
    native_ce = task.semantics == "native" and loss.name == "cross_entropy"
    return {
        f"backend.execution={task.execution}": (task.execution != "plain", "it has plain"),
        f"dtype={task.dtype}": (
            task.dtype != "float64",
            "one step of an optimizer turns its weights into float64, use dtype=float64",
        ),
        f"device={task.device}": (task.device not in ("cpu", "auto"), "it is run on the CPU"),
        "augmentation": (net.augment is not None, None),
        "layers that do not learn (trainable=false)": (not net.learns_throughout, None),
        "steps of several batches (gradient_accumulation_steps)": (
            task.gradient_accumulation_steps > 1, None
        ),
        "label smoothing, class weights or mistakes": (not loss.is_plain, None),
        "cross-entropy summed over the batch": (
            native_ce and loss.over_batch != "mean", "its own is the mean"
        ),
        f"output activation {net.output_activation} with mse": (
            loss.name == "mse" and net.output_activation not in FUNCTIONS, None
        ),
        f"optimizer={rule.name}": (
            type(rule) not in OPTIMIZERS, "it has sgd, adam, rmsprop and adagrad"
        ),
        "Nesterov momentum": (getattr(rule, "nesterov", False), None),
        "momentum in rmsprop": (
            isinstance(rule, spec.RMSprop) and bool(rule.momentum), None
        ),
        "amsgrad": (getattr(rule, "amsgrad", False), None),
        "an initial sum in adagrad": (bool(getattr(rule, "initial", None)), "it starts at 0"),
        "gradient clipping": (rule.clip_norm is not None or rule.clip_value is not None, None),
        "weight decay that spares biases": (
            rule.decay_on != "all" and bool(rule.weight_decay), None
        ),
        **{
            f"optimizer.{key}={getattr(rule, key)}": (
                getattr(rule, key) not in (None, own[key]), f"it has {own[key]}"
            )
            for key in own if key != "clip_offset"
        },
    }  # fmt: skip


def _refused(what: str, reason: str | None) -> UnsupportedSpec:
    end = f": {reason}" if reason else ""
    return UnsupportedSpec(f"backend=minitorch has no {what}{end}.")
