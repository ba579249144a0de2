"""What formulas and constants that differ between frameworks are known to do: one table.

Every number in `effect` is one of `figures`, in their order; tests/reporting/test_known.py measures
each of them and writes the table into docs/native.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnbench.formatting import cut
from nnbench.model.formulas import FAMILIES
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from nnbench.schema.deferred import dataclass

TORCH = "https://docs.pytorch.org/docs/stable/generated/torch"
KERAS = "https://keras.io/api"
OWN = "the framework's own"
RULES: dict[str, type] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad,
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a formula or constant does: `key` of the optimizers or layers `of`, and who says so."""

    of: tuple[str, ...]
    key: str
    effect: str
    figures: tuple[float, ...]
    sources: tuple[str, ...]


KNOWN = (
    Known(
        ("sgd", "rmsprop"),
        "rate",
        "the same while the rate is constant; where it falls to a tenth, the next step with "
        "momentum 0.9 is 9.1 times as long inside, because the velocity holds the old rate",
        (0.9, 9.1),
        (f"{TORCH}.optim.SGD.html", f"{KERAS}/optimizers/sgd/"),
    ),
    Known(
        ("rmsprop", "adagrad"),
        "epsilon_root",
        "where gradients are small beside epsilon, a step inside is sqrt(epsilon) times one "
        "outside: 0.32 times with epsilon 0.1",
        (0.32, 0.1),
        (f"{TORCH}.optim.RMSprop.html", f"{KERAS}/optimizers/rmsprop/"),
    ),
    Known(
        ("adam", "adamw"),
        "epsilon_correction",
        "before the correction epsilon counts 32 times in step 1, 1.3 times in step 1000",
        (32, 1, 1.3, 1000),
        ("https://arxiv.org/abs/1412.6980", f"{TORCH}.optim.Adam.html",
         f"{KERAS}/optimizers/adam/"),
    ),
    Known(
        ("adam", "adamw"),
        "epsilon",
        "a gradient of 1e-07 takes 0.91 of a whole first step with epsilon 1e-08, 0.5 with 1e-07",
        (1e-7, 0.91, 1e-8, 0.5, 1e-7),
        (f"{TORCH}.optim.Adam.html", f"{KERAS}/optimizers/adam/"),
    ),
    Known(
        ("sgd", "adam", "rmsprop", "adagrad"),
        "decay",
        "the same for SGD without momentum; Adam's first step of coupled decay 0.01, where the "
        "gradient is zero, is 100 times the decoupled one",
        (0.01, 100),
        ("https://arxiv.org/abs/1711.05101", f"{KERAS}/optimizers/adamw/"),
    ),
    Known(
        ("adamw",),
        "weight_decay",
        "after 1000 steps at the rate 0.01 decay alone leaves 90 % of a weight with 0.01, 96 % "
        "with 0.004",
        (1000, 0.01, 90, 0.01, 96, 0.004),
        (f"{TORCH}.optim.AdamW.html", f"{KERAS}/optimizers/adamw/"),
    ),
    Known(
        ("rmsprop",),
        "rho",
        "the first step is 10 times the rate with 0.99, 3.2 times with 0.9",
        (10, 0.99, 3.2, 0.9),
        (f"{TORCH}.optim.RMSprop.html", f"{KERAS}/optimizers/rmsprop/"),
    ),
    Known(
        ("adagrad",),
        "initial",
        "the first step of a gradient of 0.01 is the whole rate from 0, 0.032 of it from 0.1",
        (0.01, 0, 0.032, 0.1),
        (f"{TORCH}.optim.Adagrad.html", f"{KERAS}/optimizers/adagrad/"),
    ),
    Known(
        ("adagrad",),
        "epsilon",
        "beside the root, a gradient of 1e-07 takes 1 of a whole first step with 1e-10, 0.5 with "
        "1e-07",
        (1e-7, 1, 1e-10, 0.5, 1e-7),
        (f"{TORCH}.optim.Adagrad.html", f"{KERAS}/optimizers/adagrad/"),
    ),
    Known(
        ("sgd", "adam", "adamw", "rmsprop", "adagrad"),
        "clip_offset",
        "a gradient of norm 1 that is clipped is shorter by 1e-06 of it",
        (1, 1e-6),
        (f"{TORCH}.nn.utils.clip_grad_norm_.html", f"{KERAS}/optimizers/"),
    ),
    Known(
        ("batch_norm",),
        "momentum",
        "after 100 steps the running averages hold 37 % of their start with 0.01, 0.0027 % with "
        "0.1",
        (100, 37, 0.01, 0.0027, 0.1),
        (f"{TORCH}.nn.BatchNorm1d.html",
         f"{KERAS}/layers/normalization_layers/batch_normalization/"),
    ),
    Known(
        ("batch_norm",),
        "epsilon",
        "a channel of variance 0.001 is scaled by 31 with 1e-05, by 22 with 0.001",
        (0.001, 31, 1e-5, 22, 0.001),
        (f"{TORCH}.nn.BatchNorm1d.html",
         f"{KERAS}/layers/normalization_layers/batch_normalization/"),
    ),
    Known(
        ("batch_norm",),
        "variance",
        "with 32 values a channel the unbiased one is 3.2 % larger, in evaluation alone",
        (32, 3.2),
        (f"{TORCH}.nn.BatchNorm1d.html",
         f"{KERAS}/layers/normalization_layers/batch_normalization/"),
    ),
    Known(
        ("layer_norm",),
        "epsilon",
        "a sample of variance 0.001 is scaled by 31 with 1e-05, by 22 with 0.001",
        (0.001, 31, 1e-5, 22, 0.001),
        (f"{TORCH}.nn.LayerNorm.html",
         f"{KERAS}/layers/normalization_layers/layer_normalization/"),
    ),
    Known(
        ("leaky_relu",),
        "slope",
        "inputs below 0 pass 30 times as much with 0.3 as with 0.01",
        (0, 30, 0.3, 0.01),
        (f"{TORCH}.nn.LeakyReLU.html", f"{KERAS}/layers/activation_layers/leaky_relu/"),
    ),
    Known(
        ("keras_default and torch_default",),
        "init",
        "the weights from 784 to 128 units spread 2.3 times as wide in Keras, and its biases are 0",
        (784, 128, 2.3, 0),
        (f"{TORCH}.nn.Linear.html", f"{KERAS}/layers/core_layers/dense/"),
    ),
)  # fmt: skip
WORDS = {
    ("rate", "inside"): "learning rate inside the velocity",
    ("rate", "outside"): "learning rate outside the velocity",
    ("epsilon_root", "inside"): "epsilon inside the root",
    ("epsilon_root", "outside"): "epsilon outside the root",
    ("epsilon_correction", "before"): "epsilon before the bias correction",
    ("epsilon_correction", "after"): "epsilon after the bias correction",
    ("variance", "biased"): "biased running variance",
    ("variance", "unbiased"): "unbiased running variance",
    ("decay", "coupled"): "coupled decay",
    ("decay", "decoupled"): "decoupled decay",
}


def phrase(key: str, old: Any, new: Any) -> str:
    """Return the values of a constant or form in the words of its field: `OLD to NEW`."""
    named = WORDS.get((key, old)) if isinstance(old, str) else None
    before = named or cut("none" if old is None else str(old), 60)
    return f"{before} to {cut('none' if new is None else str(new), 60)}"


def known(of: str, key: str) -> Known | None:
    """Return what is known of a formula or constant of an optimizer, a layer or `init`."""
    return next((each for each in KNOWN if each.key == key and of in each.of), None)


def effect_of(of: str, key: str) -> str:
    """Return what is known of it as text, empty where nothing is."""
    found = known(of, key)
    return found.effect if found else ""


def documented(values: Mapping[str, Any], key: str) -> Any:
    """Return what null means for a constant or form of the optimizer of a configuration.

    None where it is no such constant.
    """
    rule = values["optimizer"]
    family = FAMILIES[rule.get("formulas") or "nnbench"].get(RULES.get(rule.get("name"), object))
    if not family or key not in family:
        return None
    native = values.get("semantics") == "native"
    return OWN if native else family[key]
