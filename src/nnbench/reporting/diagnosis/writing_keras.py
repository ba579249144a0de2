"""A compiled Keras model as source text, and what of a model cannot be said in Keras."""

from __future__ import annotations

from nnbench.model import layers as spec
from nnbench.model.layers import Layer
from nnbench.model.optimizers import Optimizer
from nnbench.model.reading import Distribution
from nnbench.reporting.diagnosis.writing import INDENT, Wanted, call, number, uncorrected

# What no argument of Keras' classes can change: (setting, value) to why.
UNSAYABLE = {
    ("variance", "unbiased"): "Keras' running variance is the biased one",
    ("epsilon_root", "outside"): "epsilon stands inside the root in keras.optimizers.{}",
    ("epsilon_correction", "after"): "epsilon is added before the bias correction in Keras",
    ("rate", "outside"): "the learning rate stands inside the velocity in Keras",
    ("mistake", "softmax_twice"): "Keras takes a softmax before a cross-entropy back",
    ("mistake", "broadcast_targets"): "Keras does not broadcast targets",
}
USUAL = {
    "glorot uniform": None,
    "he uniform": '"he_uniform"',
    "he normal, truncated": '"he_normal"',
    "glorot normal, truncated": '"glorot_normal"',
    "lecun uniform": '"lecun_uniform"',
    "lecun normal, truncated": '"lecun_normal"',
}
NAMES = {"kernel": "kernel_initializer", "bias": "bias_initializer"}
CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop",
           "adagrad": "Adagrad"}  # fmt: skip
LOSSES = {
    "cross_entropy": "SparseCategoricalCrossentropy",
    "bce": "BinaryCrossentropy",
    "mse": "MeanSquaredError",
    "l1": "MeanAbsoluteError",
    "huber": "Huber",
}
INIT = "keras.initializers."


def program(wanted: Wanted) -> str:
    """Return a file with `build()`, which returns the compiled model."""
    lines = [f"keras.Input({_shape(wanted.net.input_shape)}{_dtype(wanted)}),"]
    lines += [f"{text}," for text in layers(wanted)]
    inner = "\n".join(INDENT * 3 + line for line in lines)
    return (
        f"import keras\nfrom keras import layers\n\n\ndef build():\n{INDENT}model = "
        f"keras.Sequential(\n{INDENT * 2}[\n{inner}\n{INDENT * 2}]\n{INDENT})\n"
        f"{INDENT}loss = {loss(wanted)}\n"
        f"{INDENT}model.compile({optimizer(wanted)}, loss, metrics=[{_metric(wanted)}])\n"
        f"{INDENT}return model\n"
    )


def layers(wanted: Wanted) -> list[str]:
    """Return the layers as source text, from the first to the output's activation."""
    found: list[str] = []
    for position, layer, _, _ in wanted.shapes():
        found += layer_text(layer, wanted, position)
    output = wanted.net.output_activation
    if wanted.loss.name in ("mse", "l1", "huber") and output != "linear":
        found.append(f'layers.Activation("{output}")')
    return found


def layer_text(  # noqa: PLR0911 - one line for each kind
    layer: Layer, wanted: Wanted | None = None, position: int = 0
) -> list[str]:
    """Return a layer as source text, with its initial distributions where `wanted` has them."""
    drawn = _initializers(wanted, position, layer)
    if not layer.learns and not isinstance(layer, spec.BatchNorm):
        drawn |= {"trainable": "False"}
    match layer:
        case spec.Dense():
            bias = None if layer.bias else "False"
            return [call("layers.Dense", str(layer.units), use_bias=bias, **drawn)]
        case spec.Conv2d():
            bias = None if layer.bias else "False"
            strides = str(layer.stride) if layer.stride != 1 else None
            numbers = (str(layer.filters), str(layer.kernel_size))
            padding = '"same"' if layer.padding == "same" else None
            conv = call("layers.Conv2D", *numbers, strides=strides, padding=padding,
                        use_bias=bias, **drawn)  # fmt: skip
            zeros = layer.padding if isinstance(layer.padding, int) else 0
            return [f"layers.ZeroPadding2D({zeros})", conv] if zeros else [conv]
        case spec.MaxPool2d() | spec.AvgPool2d():
            kind = "MaxPooling2D" if isinstance(layer, spec.MaxPool2d) else "AveragePooling2D"
            strides = str(layer.step) if layer.step != layer.size else None
            return [call(f"layers.{kind}", str(layer.size), strides=strides)]
        case spec.GlobalAvgPool2d():
            return ["layers.GlobalAveragePooling2D()"]
        case spec.Flatten():
            return ["layers.Flatten()"]
        case spec.Activation(name):
            text = "keras.ops.gelu" if name == "gelu_tanh" else f'"{name}"'
            return [f"layers.Activation({text})"]
        case spec.LeakyReLU():
            return [f"layers.LeakyReLU(negative_slope={number(layer.slope or 0.0)})"]
        case spec.BatchNorm():
            kept = number(round(1.0 - (layer.momentum or 0.0), 15))
            epsilon = number(layer.epsilon or 0.0)
            return [
                call("keras.layers.BatchNormalization", momentum=kept, epsilon=epsilon, **drawn)
            ]
        case spec.LayerNorm():
            epsilon = number(layer.epsilon or 0.0)
            return [call("keras.layers.LayerNormalization", epsilon=epsilon, **drawn)]
        case spec.Dropout():
            return [f"layers.Dropout({number(layer.rate)})"]
        case spec.Embedding():
            return [call("layers.Embedding", str(layer.vocabulary), str(layer.units), **drawn)]


LEARNING = "trainable=True, so that the layer learns"


def in_training_alone(layer: spec.Dropout) -> str:
    """Return the line of a dropout that stops in evaluation."""
    return f"layers.Dropout({number(layer.rate)})(x), without training=True"


def _initializers(wanted: Wanted | None, position: int, layer: Layer) -> dict[str, str | None]:
    if wanted is None:
        return {}
    found: dict[str, str | None] = {}
    for role, name in NAMES.items():
        of = wanted.drawn(position, role)
        if of is not None:
            key = "embeddings_initializer" if isinstance(layer, spec.Embedding) else name
            usual = USUAL.get(of.says or "", "")
            found[key] = initializer(of, role) if usual == "" else usual
    return found | _regularizers(wanted.optimizer, layer)


def _regularizers(rule: Optimizer, layer: Layer) -> dict[str, str | None]:
    """Return the regularizers that coupled decay is: `p w^2` has the gradient `2 p w`."""
    if not rule.weight_decay or rule.decay != "coupled":
        return {}
    l2 = f"keras.regularizers.L2({number(rule.weight_decay / 2.0)})"
    every = rule.decay_on == "all"
    match layer:
        case spec.Dense() | spec.Conv2d():
            biased = {"bias_regularizer": l2} if layer.bias and every else {}
            return {"kernel_regularizer": l2, **biased}
        case spec.Embedding():
            return {"embeddings_regularizer": l2}
        case spec.BatchNorm() | spec.LayerNorm() if every:
            return {"gamma_regularizer": l2, "beta_regularizer": l2}
    return {}


def initializer(of: Distribution, role: str) -> str | None:
    """Return an initializer as source text, None for Keras' default."""
    match of.name:
        case "constant":
            usual = {0.0: '"zeros"', 1.0: '"ones"'}
            if of.low == 0.0 and role == "bias":
                return None
            return usual.get(of.low or 0.0, f"{INIT}Constant({number(of.low or 0.0)})")
        case "uniform":
            return f"{INIT}RandomUniform({of.low or 0.0:.6g}, {of.high or 0.0:.6g})"
        case "normal":
            return f"{INIT}RandomNormal({of.mean or 0.0:.6g}, {of.deviation or 0.0:.6g})"
    return f"{INIT}TruncatedNormal({of.mean or 0.0:.6g}, {uncorrected(of):.6g})"


def loss(wanted: Wanted) -> str:
    """Return the loss as source text."""
    of = wanted.loss
    reduction = '"sum"' if of.over_batch == "sum" else None
    logits = None if of.mistake == "logits_as_probabilities" else "True"
    if of.name == "cross_entropy" and of.label_smoothing:
        smoothing = number(of.label_smoothing)
        return call("keras.losses.CategoricalCrossentropy", from_logits=logits,
                    label_smoothing=smoothing, reduction=reduction)  # fmt: skip
    name = LOSSES[of.name]
    entropy = of.name in ("cross_entropy", "bce")
    delta = number(of.delta) if of.name == "huber" and of.delta != 1.0 else None
    return call(f"keras.losses.{name}", from_logits=logits if entropy else None, delta=delta,
                reduction=reduction)  # fmt: skip


def optimizer(wanted: Wanted) -> str:
    """Return the optimizer with its learning rate as source text."""
    rule = wanted.optimizer
    named: dict[str, str | None] = {}
    keys = {"momentum": "momentum", "nesterov": "nesterov", "rho": "rho", "beta1": "beta_1",
            "beta2": "beta_2", "epsilon": "epsilon", "amsgrad": "amsgrad",
            "initial": "initial_accumulator_value"}  # fmt: skip
    usual = {"momentum": 0.0, "nesterov": False, "beta1": 0.9, "beta2": 0.999, "amsgrad": False}
    for ours, keras_name in keys.items():
        value = getattr(rule, ours, None)
        if value is not None and value != usual.get(ours):
            named[keras_name] = number(value) if isinstance(value, float) else str(value)
    if rule.weight_decay and rule.decay != "coupled":
        named["weight_decay"] = number(rule.weight_decay)
    named["clipvalue"] = number(rule.clip_value) if rule.clip_value else None
    named["global_clipnorm"] = number(rule.clip_norm) if rule.clip_norm else None
    decoupled = rule.weight_decay and rule.decay == "decoupled" and rule.name == "adam"
    kind = "AdamW" if decoupled else CLASSES[rule.name]
    return call(f"keras.optimizers.{kind}", _rate(wanted), **named)


def _rate(wanted: Wanted) -> str:
    if not wanted.changes:
        return number(wanted.rate)
    steps = [str(step - 1) for step, _ in wanted.changes]
    rates = [number(rate) for rate in (wanted.rate, *(rate for _, rate in wanted.changes))]
    name = "keras.optimizers.schedules.PiecewiseConstantDecay"
    return f"{name}([{', '.join(steps)}], [{', '.join(rates)}])"


def _metric(wanted: Wanted) -> str:
    return '"accuracy"' if wanted.loss.name in ("cross_entropy", "bce") else ""


def _shape(shape: tuple[int, ...]) -> str:
    return f"({shape[0]},)" if len(shape) == 1 else str(tuple(shape))


def _dtype(wanted: Wanted) -> str:
    return ', dtype="int64"' if wanted.net.takes_tokens else ""
