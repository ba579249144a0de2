"""Exported models: loaded by the plain framework in a process that cannot import nnbench."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.trainer import He
from nnbench.backends.protocol import Params
from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import UnsupportedSpec
from nnbench.model.init import initial_params
from nnbench.model.layers import (
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    MaxPool2d,
)
from nnbench.model.network import Architecture
from nnbench.records.folder import read_runs
from nnbench.testing.cases import case
from support.commands import Nnbench

NETS: dict[str, tuple[str, tuple[Layer, ...]]] = {
    "images": (
        "image",
        (
            Conv2d(3, 3, 2, "same"),
            BatchNorm(),
            Activation("gelu"),
            Conv2d(4, 2),
            Activation("softmax"),
            MaxPool2d(2, 1),
            Dropout(0.3),
            Flatten(),
            BatchNorm(),
            Activation("tanh"),
            LayerNorm(),
            Dense(6, bias=False),
            BatchNorm(0.2),
        ),
    ),
    "pools": ("image", (Conv2d(3, trainable=False), AvgPool2d(), Activation("relu"), Flatten())),
    "tokens": ("tokens", (Embedding(11, 3), LayerNorm(), Flatten(), Dense(5))),
    "flat": ("flat", (Dense(7), Activation("sigmoid"), Activation("linear"))),
}
LOADERS = {
    "torch": """
import importlib.util, numpy, torch
def load(folder):
    spec = importlib.util.spec_from_file_location("model", f"{folder}/model.py")
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    x = torch.tensor(numpy.load(f"{folder}/x.npy"))
    with torch.no_grad():
        return module.build()(x.permute(0, 3, 1, 2) if x.dim() == 4 else x).numpy()
""",
    "keras": """
import numpy, keras
def load(folder):
    model = keras.models.load_model(f"{folder}/model.keras")
    return numpy.asarray(model(numpy.load(f"{folder}/x.npy"), training=False))
""",
}


def trained_like(architecture: Architecture) -> Params:
    """Random weights, none of them neutral."""
    rng = np.random.default_rng(4)
    params = initial_params(He(), architecture, 3, "float32")
    for key, value in params.items():
        if key.role != "kernel":
            params[key] = (value + 0.3 * rng.random(value.shape)).astype(np.float32)
    return params


def exported(folder: Path, name: str, kind: str) -> np.ndarray:
    """Export a net, with a batch of inputs beside it; return the logits that it should give."""
    folder.mkdir()
    inputs, layers = NETS[name]
    task = case(*layers, inputs=inputs).of("float32").task  # type: ignore[arg-type]
    params = trained_like(task.architecture)
    rng = np.random.default_rng(1)
    shape = (5, *task.architecture.input_shape)
    x = rng.integers(0, 11, shape) if inputs == "tokens" else rng.standard_normal(shape)
    split = Split(x.astype(np.int64 if inputs == "tokens" else np.float32), np.zeros(5, np.int64))
    task = type(task)(**{**vars(task), "inputs": ArraySpec(shape[1:], str(split.inputs.dtype))})
    trainer = NumpyTrainer(task, {"train": split, "test": split})
    trainer.load(params)
    np.save(folder / "x.npy", split.inputs)
    if kind == "torch":
        from nnbench.backends.torch.export import export

        export(task.architecture, params, folder / "model.pt", "A test.")
    else:
        from nnbench.backends.keras import export as keras_export

        keras_export.export(task.architecture, params, folder / "model.keras")
    return trainer.evaluate("test")


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOADERS)
def test_the_plain_framework_gives_the_same_outputs(tmp_path: Path, kind: str) -> None:
    pytest.importorskip(kind)
    wanted = {name: exported(tmp_path / name, name, kind) for name in NETS}
    load_plainly([tmp_path / name for name in NETS], kind)
    for name, expected in wanted.items():
        found = np.load(tmp_path / name / "y.npy")
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max(), name


def load_plainly(folders: list[Path], kind: str) -> None:
    """Let a process that has no nnbench write what the models in `folders` make of x as y."""
    program = "import sys; sys.modules['nnbench'] = None\n" + LOADERS[kind]
    program += "for folder in sys.argv[1:]: numpy.save(f'{folder}/y.npy', load(folder))"
    subprocess.run([sys.executable, "-c", program, *map(str, folders)], check=True)


@pytest.mark.parametrize("kind", ["torch", pytest.param("keras", marks=pytest.mark.slow)])
def test_a_run_is_exported_by_its_name(nnbench: Nnbench, tmp_path: Path, kind: str) -> None:
    pytest.importorskip(kind)
    nnbench(
        *("data=digits", "arch=layers", "epochs=1", "batch_size=64", "tracking=local", "name=mine"),
        *("arch.layers=[{name: conv2d, filters: 3}, relu, max_pool2d, flatten]", "init=he"),
        "loss=cross_entropy",
    )
    suffix = {"torch": "pt", "keras": "keras"}[kind]
    done = nnbench("export", "mine", "--format", kind, "--out", f"model.{suffix}")
    assert done.returncode == 0, done.stderr
    assert f"wrote model.{suffix}" in done.stdout
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    from nnbench import data
    from nnbench.config.composition import compose

    images = data.load(compose(["data=digits"]).config.data, kind="classification", seed=0)
    x = images.splits["test"].inputs[..., None] * np.float32(1 / 16)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    load_plainly([tmp_path], kind)
    found = np.load(tmp_path / "y.npy")
    expected = np.load(run.directory / "predictions.npz")["logits"]
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("kind", LOADERS)
def test_dropout_in_evaluation_is_no_plain_layer(tmp_path: Path, kind: str) -> None:
    pytest.importorskip(kind)
    net = case(Dense(3), Dropout(0.5, in_evaluation=True), inputs="flat").task.architecture
    rest = ("note",) if kind == "torch" else ()
    export = importlib.import_module(f"nnbench.backends.{kind}.export").export
    with pytest.raises(UnsupportedSpec, match="does not drop in evaluation"):
        export(net, trained_like(net), tmp_path / "model", *rest)


def test_bad_exports_are_one_clear_line(nnbench: Nnbench) -> None:
    for arguments, message in (
        (("nobody", "--format", "torch"), "has no run of that name, id or folder"),
        (("nobody", "--format", "onnx"), "'onnx' is not one of 'torch', 'keras'"),
        (("nobody",), "Missing option '--format'"),
    ):
        done = nnbench("export", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
