"""docs/native.md has every constant and formula in which the installed frameworks differ.

The tables are written from the frameworks' own signatures: a version that changes a default fails
here. `python tests/backends/test_native_page.py` writes the page anew.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from nnbench.model.formulas import FAMILIES, FORMS
from nnbench.model.layers import BatchNorm, LayerNorm, LeakyReLU
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
PAGE = Path(__file__).parents[2] / "docs" / "native.md"
BEGIN, END = "<!-- written by a test: constants -->", "<!-- end -->"
RULES = (SGD, Adam, AdamW, RMSprop, Adagrad)
# nnbench's key: the argument in torch and in Keras.
ARGUMENTS = {
    "learning rate": ("lr", "learning_rate"),
    "beta1": ("betas", "beta_1"),
    "beta2": ("betas", "beta_2"),
    "epsilon": ("eps", "epsilon"),
    "rho": ("alpha", "rho"),
    "initial": ("initial_accumulator_value", "initial_accumulator_value"),
    "weight_decay": ("weight_decay", "weight_decay"),
}
LAYERS: dict[type, tuple[Any, Any, dict[str, tuple[str, str]]]] = {
    BatchNorm: (
        torch.nn.BatchNorm1d,
        keras.layers.BatchNormalization,
        {"momentum": ("momentum", "momentum"), "epsilon": ("eps", "epsilon")},
    ),
    LayerNorm: (
        torch.nn.LayerNorm,
        keras.layers.LayerNormalization,
        {"epsilon": ("eps", "epsilon")},
    ),
    LeakyReLU: (
        torch.nn.LeakyReLU,
        keras.layers.LeakyReLU,
        {"slope": ("negative_slope", "negative_slope")},
    ),
}
FORMULAS = {
    "rate": "learning rate and velocity",
    "decay": "weight decay",
    "epsilon_root": "epsilon and the root",
    "epsilon_correction": "epsilon and the bias correction",
    "clip_offset": "added to the norm that is clipped",
    "variance": "running variance",
}


def default(kind: Any, argument: str, key: str = "") -> Any:
    """Return the default of an argument of a class; of torch's betas the one meant."""
    value = inspect.signature(kind).parameters[argument].default
    if argument == "betas":
        return value[key == "beta2"]
    return value or 0.0 if argument == "weight_decay" else value


def constants() -> list[tuple[str, str, Any, Any]]:
    """Return (class, key, PyTorch's default, Keras' default), all of them."""
    found = []
    for rule in RULES:
        own = getattr(torch.optim, rule.__name__), getattr(keras.optimizers, rule.__name__)
        keys = [
            key for key in ARGUMENTS if key == "learning rate" or key in FAMILIES["torch"][rule]
        ]
        for key in keys:
            pair = (default(kind, ARGUMENTS[key][i], key) for i, kind in enumerate(own))
            found.append((rule.__name__, key, *pair))
    for layer, (in_torch, in_keras, names) in LAYERS.items():
        for key, (first, second) in names.items():
            values = default(in_torch, first), default(in_keras, second)
            if key == "momentum":  # Keras weighs the old
                values = values[0], round(1.0 - values[1], 12)
            found.append((layer.__name__, key, *values))
    return found


def written() -> str:
    """Return the tables of the page."""
    lines = ["| of | constant | PyTorch | Keras |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {key} | {first:g} | {second:g} |"
        for kind, key, first, second in constants()
        if first != second
    ]
    lines += ["", "| of | formula | setting | PyTorch | Keras |", "|---|---|---|---|---|"]
    for part, has in FAMILIES["torch"].items():
        for key in (key for key in has if key in FORMS):
            other = FAMILIES["keras"][part][key]
            if has[key] != other:
                what = f"{FORMULAS[key]} | `{key}`"
                lines.append(f"| {part.__name__} | {what} | {has[key]} | {other} |")
    shuffled = inspect.signature(keras.Model.fit).parameters["shuffle"].default
    loaded = bool(inspect.signature(torch.utils.data.DataLoader).parameters["shuffle"].default)
    drawn = inspect.signature(keras.layers.Dense).parameters["kernel_initializer"].default
    logits = inspect.signature(keras.losses.SparseCategoricalCrossentropy).parameters["from_logits"]
    lines += [
        "",
        "| of | what | PyTorch | Keras |",
        "|---|---|---|---|",
        f"| order | shuffled unless told | {_yes(loaded)} (DataLoader) | {_yes(shuffled)} (fit) |",
        f"| Dense, Conv2d | initial weights | U(+-1 / sqrt(fan_in)), biases too | {drawn}, zeros |",
        "| Embedding | initial weights | N(0, 1) | U(+-0.05) |",
        f"| cross-entropy | takes logits unless told | yes | {_yes(logits.default)} |",
        "| cross-entropy | class weights, mean over | their sum | the samples |",
        "| Conv2d | padding | a number; `same` at stride 1 | `valid`, `same` |",
    ]
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def page(text: str) -> str:
    """Return the page with its tables written anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{written()}\n{END}{rest.split(END)[1]}"


def test_the_page_has_what_the_installed_frameworks_have() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, f"a default has changed: run python {Path(__file__).name}"


def test_the_description_knows_the_frameworks_defaults() -> None:
    """`formulas=torch` and `formulas=keras` set what the classes have."""
    parts = {part.__name__: part for part in FAMILIES["torch"]}
    for kind, key, first, second in constants():
        if key != "learning rate":
            known = (FAMILIES[family][parts[kind]][key] for family in ("torch", "keras"))
            assert tuple(known) == (first, second), (kind, key)


def test_a_default_that_changed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Adam(keras.optimizers.Adam):
        def __init__(self, learning_rate: float = 0.001, epsilon: float = 1e-6, beta_1: float = 0.9,
                     beta_2: float = 0.999, weight_decay: Any = None) -> None:  # fmt: skip
            raise AssertionError

    monkeypatch.setattr(keras.optimizers, "Adam", Adam)
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) != text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
