"""Programs in PyTorch are read, and the reading is proved step by step in float64."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.backends.program import About, sample_size
from nnbench.backends.proof import Material, Proof, prove
from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.reading import Reading

pytest.importorskip("torch")

from support.torch_chains import OUTPUTS, SHAPES, VOCABULARY, made

from nnbench.backends.torch import reading as room

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n"
SGD = "torch.optim.SGD(model.parameters(), lr=0.1)"
ENTROPY = "nn.CrossEntropyLoss()"
DENSE = "self.a = nn.Linear(64, 16)\nself.b = nn.Linear(16, 16)\nself.c = nn.Linear(16, 10)"


def material(shape: tuple[int, ...] = (8, 8), outputs: int = 10, samples: int = 160) -> Material:
    """Return images of noise, or what else is asked for, by the labels."""
    rng = np.random.default_rng(0)
    tokens = shape == SHAPES["tokens"] and outputs == OUTPUTS
    inputs = (
        rng.integers(VOCABULARY, size=(samples, *shape))
        if tokens
        else rng.random((samples, *shape))
    )
    labels = rng.integers(outputs, size=samples)
    spec_of = ArraySpec(shape, "int64" if tokens else "float64")
    return Material(Split(inputs, labels), spec_of, ArraySpec((), "int64"), 16, 3, seed=0)


def numbers(outputs: int) -> Material:
    """Return a regression of so many targets."""
    rng = np.random.default_rng(0)
    split = Split(rng.standard_normal((96, 6)), rng.standard_normal((96, outputs)))
    return Material(split, ArraySpec((6,), "float64"), ArraySpec((outputs,), "float64"), 16, 3, 0)


def about(given: Material, outputs: int = 10) -> About:
    """Return what a program is told of this material."""
    few = given.rows(np.arange(sample_size(outputs)), "float64")
    labels = given.targets.dtype == "int64"
    kind = "classification" if labels else "regression"
    return About(kind, given.inputs, few, outputs, given.epochs, given.epoch_steps)


def loaded(source: str, tmp_path: Path) -> Callable[[], Any]:
    """Return the `build` of a file with this source."""
    path = tmp_path / "program.py"
    path.write_text(source)
    found = importlib.util.spec_from_file_location("program_of_a_test", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    with room.recording(str(path)):
        found.loader.exec_module(module)

    def build() -> Any:
        room.seed(0)
        with room.recording(str(path)):
            return module.build()

    return build


def net(init: str, forward: str, optimizer: str = SGD, loss: str = ENTROPY) -> str:
    """Return a program with a module of these lines."""
    lines = [HEAD, "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"]
    lines += [textwrap.indent(init, " " * 8), "\n    def forward(self, x):\n"]
    lines += [textwrap.indent(forward, " " * 8), "\n\ndef build():\n    model = Net()\n"]
    return "".join(lines) + f"    return model, {optimizer}, {loss}\n"


def sequential(*layers: str, optimizer: str = SGD, loss: str = ENTROPY) -> str:
    """Return a program with a Sequential of these layers."""
    body = (
        f"    model = nn.Sequential({', '.join(layers)})\n    return model, {optimizer}, {loss}\n"
    )
    return HEAD + "def build():\n" + body


def read(source: str, tmp_path: Path, given: Material | None = None, outputs: int = 10) -> Reading:
    """Return what is read of a program."""
    return room.read(loaded(source, tmp_path)(), about(given or material(), outputs))


def proved(
    source: str, tmp_path: Path, given: Material | None = None, outputs: int = 10
) -> tuple[Reading, Proof]:
    """Return what is read of a program, and its proof."""
    given = given or material()
    build = loaded(source, tmp_path)
    reading = room.read(build(), about(given, outputs))
    assert reading.understood, reading.unknown
    return reading, prove(build, room, reading, given)


ADAM = "torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=0.01)"
MLP = ("nn.Flatten()", "nn.Linear(64, 16)", "nn.ReLU()", "nn.Linear(16, 10)")
HELD = "torch.optim.SGD(model.c.parameters(), lr=0.1, momentum=0.9)"
IMAGES = "self.conv = nn.Conv2d(1, 4, 3)\nself.fc = nn.Linear(4 * 3 * 3, 10)"
POOLED = "x = F.max_pool2d(F.relu(self.conv(x)), 2)\nreturn self.fc(x.view(x.size(0), -1))"
# The programs behind the questions, and what is said of them besides that they are understood.
KNOWN: dict[str, tuple[str, set[str]]] = {
    "batch norm": (
        net(
            "self.fc1 = nn.Linear(64, 16)\nself.norm = nn.BatchNorm1d(16)\nself.fc2 = nn.Linear(16, 10)",
            "x = x.view(-1, 64)\nreturn self.fc2(torch.relu(self.norm(self.fc1(x))))",
        ),
        set(),
    ),
    "coupled decay": (sequential(*MLP, optimizer=ADAM), {"coupled_decay"}),
    "flatten order": (net(IMAGES, POOLED), set()),
    "rmsprop": (sequential(*MLP, optimizer="torch.optim.RMSprop(model.parameters())"), set()),
    "softmax twice": (sequential(*MLP, "nn.Softmax(dim=1)"), {"softmax_twice"}),
    "summed": (
        sequential(*MLP, loss="nn.CrossEntropyLoss(reduction='sum')",
                   optimizer="torch.optim.SGD(model.parameters(), lr=0.001)"),
        {"summed_loss"},
    ),
    "dropout": (
        net(DENSE + "\nself.drop = nn.Dropout(0.3)",
            "x = self.drop(torch.relu(self.a(x.flatten(1))))\nx = F.dropout(torch.relu(self.b(x)), 0.2)\n"
            "return F.log_softmax(self.c(F.dropout(x, 0.1, self.training)), dim=1)", loss="F.nll_loss"),
        {"dropout_ignores_evaluation"},
    ),
    "one layer in the optimizer": (
        net(DENSE, "return self.c(self.b(torch.relu(self.a(x.reshape(len(x), -1)))))", HELD),
        {"not_in_optimizer", "no_activation"},
    ),
    "frozen and unused": (
        net(DENSE + "\nfor p in self.a.parameters():\n    p.requires_grad = False",
            "return self.c(torch.tanh(self.a(x.flatten(1))))"),
        {"frozen_layers", "unused_layers"},
    ),
    "channels last inside": (
        net("self.conv = nn.Conv2d(1, 4, 3)\nself.norm = nn.LayerNorm(4)\nself.fc = nn.Linear(144, 10)",
            "x = self.conv(x).permute(0, 2, 3, 1)\nb, h, w, c = x.shape\nassert h == w\n"
            "return self.fc(torch.relu(self.norm(x)).reshape(b, -1))"),
        set(),
    ),
    "by hand": (
        net("self.W = nn.Parameter(torch.randn(64, 16) * 0.1)\nself.b = nn.Parameter(torch.zeros(16))\n"
            "self.V = nn.Parameter(torch.randn(10, 16) * 0.1)",
            "return F.linear(torch.tanh(x.flatten(1) @ self.W + self.b), self.V)",
            loss="lambda o, y: F.mse_loss(torch.sigmoid(o), F.one_hot(y, 10).float(), "
            "reduction='none').sum(dim=1).mean()"),
        set(),
    ),
    "a rate that falls": (
        sequential(*MLP).replace("return model,", "optimizer =").replace(f", {ENTROPY}", "\n")
        + f"    return model, optimizer, {ENTROPY}, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)\n",
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_program_is_read_and_proved(name: str, tmp_path: Path) -> None:
    source, mistakes = KNOWN[name]
    reading, proof = proved(source, tmp_path)
    assert (proof.outcome, proof.dtype) == ("agrees", "float64"), proof
    assert proof.compared >= 21 or proof.steps == proof.compared
    assert {finding.key for finding in reading.findings} == mistakes
    assert all(place is not None and place.line for place in reading.places)


def test_outputs_of_one_column_against_targets_of_none_are_named(tmp_path: Path) -> None:
    mse = sequential("nn.Linear(6, 1)", loss="nn.MSELoss()")
    reading, proof = proved(mse, tmp_path, numbers(1), 1)
    assert reading.loss is not None
    assert reading.loss.mistake == "broadcast_targets"
    assert proof.outcome == "agrees"
    squeezed, proof = proved(
        sequential("nn.Linear(6, 1)", "nn.Flatten(0)", loss="nn.MSELoss()"), tmp_path, numbers(1), 1
    )
    assert squeezed.loss is not None
    assert squeezed.loss.mistake is None
    assert proof.outcome == "agrees"


FORWARD = "return self.c(torch.relu(self.a(x.flatten(1))))"
# A construct, the line it stands on, and a word of what is said.
UNKNOWN: dict[str, tuple[str, str, str]] = {
    "residual": (
        net(DENSE, "x = torch.relu(self.a(x.flatten(1)))\nx = x + self.b(x)\nreturn self.c(x)"),
        "x + self.b(x)", "branches",
    ),
    "function": (
        net(DENSE, "x = torch.sin(self.a(x.flatten(1)))\nreturn self.c(x)"),
        "torch.sin(self.a(x.flatten(1)))", "sin",
    ),
    "lambda": (
        net(DENSE + "\nself.f = lambda z: z * torch.sigmoid(1.7 * z)",
            "return self.c(self.f(self.a(x.flatten(1))))"),
        "z * torch.sigmoid(1.7 * z)", "branches",
    ),
    "recurrent": (
        net("self.r = nn.GRU(8, 16, batch_first=True)\nself.c = nn.Linear(16, 10)",
            "x, _ = self.r(x.view(-1, 8, 8))\nreturn self.c(x[:, -1])"),
        "nn.GRU(8, 16, batch_first=True)", "GRU",
    ),
    "two ways": (
        net(DENSE + "\nself.d = nn.Linear(32, 10)",
            "x = self.a(x.flatten(1))\nreturn self.d(torch.cat([x, torch.tanh(self.b(x))], 1))"),
        "torch.cat([x, torch.tanh(self.b(x))], 1)", "branches",
    ),
    "grouped": (
        net("self.k = nn.Conv2d(1, 4, 3)\nself.g = nn.Conv2d(4, 4, 3, groups=2)\n"
            "self.c = nn.Linear(64, 10)", "return self.c(self.g(self.k(x)).flatten(1))"),
        "nn.Conv2d(4, 4, 3, groups=2)", "groups=2",
    ),
    "values decide": (
        net(DENSE, "x = self.a(x.flatten(1))\nif x.mean() > 0:\n    x = torch.relu(x)\nreturn self.c(x)"),
        "x.mean() > 0", "control flow",
    ),
    "noise in training": (
        net(DENSE, "x = self.a(x.flatten(1))\nif self.training:\n    x = x + torch.randn_like(x)\n"
                   "return self.c(x)"),
        "torch.randn_like(x)", "randn_like",
    ),
    "own loss": (
        net(DENSE, FORWARD, loss="lambda o, y: F.cross_entropy(o, y) + 0.01 * o.pow(2).mean()"),
        "F.cross_entropy(o, y)", "mean or a sum",
    ),
    "own optimizer": (
        net(DENSE, FORWARD, "torch.optim.Adadelta(model.parameters())"),
        "torch.optim.Adadelta(model.parameters())", "Adadelta",
    ),
    "two rates": (
        net(DENSE, FORWARD, "torch.optim.SGD([{'params': model.a.parameters()}, "
                            "{'params': model.c.parameters(), 'lr': 0.01}], lr=0.1)"),
        "torch.optim.SGD(", "several learning rates",
    ),
    "used twice": (
        net(DENSE, "x = torch.relu(self.a(x.flatten(1)))\nreturn self.c(self.b(torch.tanh(self.b(x))))"),
        "nn.Linear(16, 16)", "used twice",
    ),
    "a hook": (
        net(DENSE + "\nself.a.register_forward_hook(lambda m, i, o: o * 2)", FORWARD),
        "Net()", "hooks",
    ),
    "no logarithm": (net(DENSE, FORWARD, loss="nn.NLLLoss()"), "nn.NLLLoss()", "log-probabilities"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    source, construct, said = UNKNOWN[name]
    reading = read(source, tmp_path)
    assert not reading.understood
    named = [u for u in reading.unknown if said in u.text]
    assert named, reading.unknown
    place = named[0].place
    assert place is not None
    assert place.text.startswith(construct[:60])
    assert construct[:40] in source.splitlines()[(place.line or 0) - 1]


WRONG = {
    "build() returned Linear": HEAD + "def build():\n    return nn.Linear(64, 10)\n",
    "as the optimizer": HEAD + "def build():\n    return nn.Linear(64, 10), 0.1, nn.MSELoss()\n",
    "on meta": sequential("nn.Linear(64, 10, device='meta')"),
    "float16": sequential("nn.Linear(64, 10)").replace("return", "model.half()\n    return"),
    "does not take": sequential("nn.Linear(63, 10)"),
    "returns (3, 7)": sequential("nn.Flatten()", "nn.Linear(64, 7)"),
    "none of the model's": sequential(
        "nn.Flatten()",
        "nn.Linear(64, 10)",
        optimizer="torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)",
    ),
    "returns tuple": net(DENSE, "return self.c(self.a(x.flatten(1))), x"),
    "The loss does not take": sequential(*MLP, loss="nn.CosineEmbeddingLoss()"),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_cannot_be_trained_is_one_line(said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(WRONG[said], tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reading_that_is_wrong_is_not_proved(tmp_path: Path) -> None:
    build = loaded(sequential(*MLP, optimizer=ADAM), tmp_path)
    given = material()
    reading = room.read(build(), about(given))
    assert reading.optimizer is not None
    wrong = Reading(
        **{**vars(reading), "optimizer": type(reading.optimizer)(
            **{**vars(reading.optimizer), "decay": "decoupled"})}
    )  # fmt: skip
    proof = prove(build, room, wrong, given)
    assert proof.outcome == "diverges"
    assert proof.step == 1
    assert "optimizer.decay=coupled" in proof.instead


def test_the_program_itself_stays_as_it_is(tmp_path: Path) -> None:
    built = loaded(net(DENSE, FORWARD), tmp_path)()
    before = {name: value.clone() for name, value in built[0].state_dict().items()}
    copied = room.copied(built)
    reading = room.read(copied, about(material()))
    list(room.steps(copied, reading, _two_batches(), "float64"))
    assert all(before[name].equal(value) for name, value in built[0].state_dict().items())
    assert not copied[0].state_dict()["a.weight"].equal(before["a.weight"].double())


def _two_batches() -> Any:
    given = material()
    reading_free = Reading(
        "torch", {}, "classification", (64,), "flat", (), (), "softmax", None, None, None
    )
    from nnbench.model.schedule import Constant

    walks = given.walks(Reading(**{**vars(reading_free), "schedule": Constant(0.1)}), 2)
    return given.batches(walks, reading_free, "float64")


def chain_is_read_back(number: int) -> None:
    """Hold what is read of random program `number` against its description, and prove it."""
    kind, expected, build = made(number)
    given = material(SHAPES[kind], OUTPUTS)
    reading = room.read(build(), about(given, OUTPUTS))
    assert reading.understood, (number, reading.unknown)
    for name, value in expected.items():
        assert getattr(reading, name) == value, (number, name, getattr(reading, name), value)
    proof = prove(build, room, reading, given)
    assert proof.dtype == "float64"
    assert proof.outcome == "agrees" or (proof.outcome == "chaotic" and proof.compared >= 3), (
        number, proof
    )  # fmt: skip


@pytest.mark.parametrize("number", range(5))
def test_random_chains_are_read_back(number: int) -> None:
    chain_is_read_back(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5, 40))
def test_more_random_chains_are_read_back(number: int) -> None:
    chain_is_read_back(number)


def test_dense_layers_with_dropout_between_are_linear_together(tmp_path: Path) -> None:
    reading = read(
        sequential("nn.Flatten()", "nn.Linear(64, 16)", "nn.Dropout(0.1)", "nn.Linear(16, 10)"),
        tmp_path,
    )
    assert [x.key for x in reading.findings] == ["no_activation"]
    assert isinstance(reading.layers[1], spec.Dropout)
