"""A PyTorch program as source text, and what of a model cannot be said in PyTorch."""

from __future__ import annotations

from nnbench.model import layers as spec
from nnbench.model.layers import Layer, Shape
from nnbench.model.reading import Distribution
from nnbench.reporting.diagnosis.writing import INDENT, Wanted, call, number, uncorrected

UNSAYABLE = {
    ("variance", "biased"): "PyTorch's running variance is the unbiased one",
    ("epsilon_root", "inside"): "epsilon stands beside the root in torch.optim.{}",
    ("epsilon_correction", "before"): "epsilon is added after the bias correction in PyTorch",
    ("rate", "inside"): "the learning rate stands outside the velocity in PyTorch",
    ("mistake", "logits_as_probabilities"): "PyTorch's cross-entropy takes logits",
    ("clip_norm", "*"): "gradients are clipped in the training loop",
    ("clip_value", "*"): "gradients are clipped in the training loop",
}
ACTIVATIONS = {
    "relu": "nn.ReLU()", "tanh": "nn.Tanh()", "sigmoid": "nn.Sigmoid()", "silu": "nn.SiLU()",
    "gelu": "nn.GELU()", "gelu_tanh": 'nn.GELU(approximate="tanh")',
    "softmax": "nn.Softmax(dim=1)", "linear": "nn.Identity()",
}  # fmt: skip
CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop",
           "adagrad": "Adagrad"}  # fmt: skip
DEFAULT = "torch's default, U(+-1/sqrt(fan_in))"


def program(wanted: Wanted) -> str:
    """Return a file with `build()`, which returns model, optimizer, loss, perhaps a scheduler."""
    texts, draws = [], []
    if len(wanted.net.input_shape) == 1 and not wanted.net.takes_tokens:
        texts.append("nn.Flatten()")
    for position, layer, before, _ in wanted.shapes():
        draws += _draws(wanted, position, len(texts))
        texts.append(layer_text(layer, before))
    output = wanted.net.output_activation
    twice = wanted.loss.mistake == "softmax_twice"
    if twice or (wanted.loss.name in ("mse", "l1", "huber") and output != "linear"):
        texts.append(ACTIVATIONS[output])
    inner = "\n".join(f"{INDENT * 2}{text}," for text in texts)
    drawn = "".join(f"{INDENT}{line}\n" for line in draws)
    groups, parameters = _groups(wanted)
    return (
        f"import torch\nfrom torch import nn\n\n\ndef build():\n{INDENT}model = nn.Sequential(\n"
        f"{inner}\n{INDENT})\n{drawn}{groups}"
        f"{INDENT}optimizer = {optimizer(wanted, parameters)}\n"
        f"{INDENT}return model, optimizer, {loss(wanted)}{_scheduler(wanted)}\n"
    )


def _scheduler(wanted: Wanted) -> str:
    """Return a scheduler as a further thing to return, nothing for a constant rate."""
    rates = wanted.epoch_rates
    if rates is None or len(set(rates)) == 1:
        return ""
    factors = f"[{', '.join(repr(rate / rates[0]) for rate in rates)}]"
    chosen = f"lambda epoch: {factors}[min(epoch, {len(rates) - 1})]"
    return f", torch.optim.lr_scheduler.LambdaLR(optimizer, {chosen})"


LEARNING = "requires_grad_(True), and all parameters to the optimizer, so that the layer learns"


def in_training_alone(layer: spec.Dropout) -> str:
    """Return the line of a dropout that stops in evaluation."""
    return f"F.dropout(x, {number(layer.rate)}, training=self.training)"


def _convolution(layer: spec.Conv2d, incoming: str, before: Shape | None) -> str:
    """Return a convolution as source text; PyTorch has padding="same" for stride 1 alone."""
    numbers = (incoming, str(layer.filters), str(layer.kernel_size))
    stride = str(layer.stride) if layer.stride != 1 else None
    bias = None if layer.bias else "False"
    padding = None if layer.padding in ("valid", 0) else str(layer.padding)
    around = ""
    if layer.padding == "same":
        padding = '"same"'
        if before is not None and layer.stride != 1:
            (top, bottom), (left, right) = layer.pads(before)
            even = top == bottom == left == right
            padding = str(top) if even else None
            around = "" if even else f"nn.ZeroPad2d(({left}, {right}, {top}, {bottom}))"
    conv = call("nn.Conv2d", *numbers, stride=stride, padding=padding, bias=bias)
    return f"nn.Sequential({around}, {conv})" if around else conv


def layer_text(layer: Layer, before: Shape | None = None) -> str:
    """Return a layer as source text; `before` is the shape that it is given."""
    text = _text(layer, before)
    return text if layer.learns else f"{text}.requires_grad_(False)"


def _text(layer: Layer, before: Shape | None) -> str:  # noqa: PLR0911 - one line for each kind
    incoming = str(before[-1]) if before else "..."
    match layer:
        case spec.Dense():
            bias = None if layer.bias else "False"
            return call("nn.Linear", incoming, str(layer.units), bias=bias)
        case spec.Conv2d():
            return _convolution(layer, incoming, before)
        case spec.MaxPool2d() | spec.AvgPool2d():
            kind = "MaxPool2d" if isinstance(layer, spec.MaxPool2d) else "AvgPool2d"
            stride = str(layer.step) if layer.step != layer.size else None
            return call(f"nn.{kind}", str(layer.size), stride=stride)
        case spec.GlobalAvgPool2d():
            return "nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())"
        case spec.Flatten():
            return "nn.Flatten()"
        case spec.Activation(name):
            return ACTIVATIONS[name]
        case spec.LeakyReLU():
            return f"nn.LeakyReLU({number(layer.slope or 0.0)})"
        case spec.BatchNorm():
            kind = "BatchNorm2d" if before and len(before) == 3 else "BatchNorm1d"
            return call(f"nn.{kind}", incoming, momentum=number(layer.momentum or 0.0),
                        eps=number(layer.epsilon or 0.0))  # fmt: skip
        case spec.LayerNorm():
            return call("nn.LayerNorm", incoming, eps=number(layer.epsilon or 0.0))
        case spec.Dropout():
            return f"nn.Dropout({number(layer.rate)})"
        case spec.Embedding():
            return f"nn.Embedding({layer.vocabulary}, {layer.units})"


def _draws(wanted: Wanted, position: int, index: int) -> list[str]:
    """Return the lines that draw a layer's initial weights where they are not PyTorch's own."""
    found = []
    for role, name in (("kernel", "weight"), ("bias", "bias")):
        of = wanted.drawn(position, role)
        if of is not None and of.says != DEFAULT:
            found.append(draw(of, f"model[{index}].{name}"))
    return found


def draw(of: Distribution, what: str) -> str:
    """Return the line that draws a parameter."""
    usual = {
        "glorot uniform": "xavier_uniform_", "glorot normal": "xavier_normal_",
        "he uniform": "kaiming_uniform_", "he normal": "kaiming_normal_",
    }  # fmt: skip
    if of.says in usual:
        more = ', nonlinearity="relu"' if of.says.startswith("he") else ""
        return f"nn.init.{usual[of.says]}({what}{more})"
    match of.name:
        case "constant":
            return f"nn.init.constant_({what}, {number(of.low or 0.0)})"
        case "uniform":
            return f"nn.init.uniform_({what}, {of.low or 0.0:.6g}, {of.high or 0.0:.6g})"
        case "normal":
            return f"nn.init.normal_({what}, {of.mean or 0.0:.6g}, {of.deviation or 0.0:.6g})"
    wide = uncorrected(of)
    ends = f"{-2 * wide:.6g}, {2 * wide:.6g}"
    return f"nn.init.trunc_normal_({what}, {of.mean or 0.0:.6g}, {wide:.6g}, {ends})"


def loss(wanted: Wanted) -> str:
    """Return the loss as source text."""
    of = wanted.loss
    name = {"cross_entropy": "CrossEntropyLoss", "bce": "BCEWithLogitsLoss", "mse": "MSELoss",
            "l1": "L1Loss", "huber": "HuberLoss"}[of.name]  # fmt: skip
    smoothing = number(of.label_smoothing) if of.label_smoothing else None
    delta = number(of.delta) if of.name == "huber" and of.delta != 1.0 else None
    reduction = '"sum"' if of.over_batch == "sum" else None
    return call(f"nn.{name}", label_smoothing=smoothing, delta=delta, reduction=reduction)


def optimizer(wanted: Wanted, parameters: str = "model.parameters()") -> str:
    """Return the optimizer with its learning rate as source text."""
    rule = wanted.optimizer
    kind = CLASSES[rule.name]
    if kind == "Adam" and rule.weight_decay and rule.decay == "decoupled":
        kind = "AdamW"
    named: dict[str, str | None] = {"lr": number(wanted.rate)}
    keys = {"momentum": "momentum", "nesterov": "nesterov", "rho": "alpha", "epsilon": "eps",
            "amsgrad": "amsgrad", "initial": "initial_accumulator_value"}  # fmt: skip
    usual = {"momentum": 0.0, "nesterov": False, "amsgrad": False, "initial": 0.0}
    for ours, theirs in keys.items():
        value = getattr(rule, ours, None)
        if value is not None and value != usual.get(ours):
            named[theirs] = number(value) if isinstance(value, float) else str(value)
    betas = (getattr(rule, "beta1", None), getattr(rule, "beta2", None))
    if None not in betas and betas != (0.9, 0.999):
        named["betas"] = f"({betas[0]}, {betas[1]})"
    if parameters == "model.parameters()" and (rule.weight_decay or kind == "AdamW"):
        named["weight_decay"] = number(rule.weight_decay or 0.0)
    return call(f"torch.optim.{kind}", parameters, **named)


def _groups(wanted: Wanted) -> tuple[str, str]:
    """Return the lines that part the parameters that decay from the others, and what to pass."""
    rule = wanted.optimizer
    if not rule.weight_decay or rule.decay_on == "all":
        return "", "model.parameters()"
    decay = number(rule.weight_decay)
    lines = (
        f"{INDENT}kernels = [p for p in model.parameters() if p.ndim > 1]\n"
        f"{INDENT}others = [p for p in model.parameters() if p.ndim == 1]\n"
        f'{INDENT}groups = [{{"params": kernels, "weight_decay": {decay}}}, '
        '{"params": others, "weight_decay": 0.0}]\n'
    )
    return lines, "groups"
