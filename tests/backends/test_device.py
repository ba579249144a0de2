"""Nothing of a training step leaves the device, proved where there is no GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.backends import cuda
from nnbench.backends.drift import trained
from nnbench.backends.numpy import NumpyTrainer, device, layers
from nnbench.backends.numpy.device import array_module
from nnbench.backends.parity import relative_difference
from nnbench.backends.protocol import Trainer
from nnbench.errors import OutOfMemory, RunFailed, UnsupportedSpec
from nnbench.testing import BLOCKS, equals_the_reference
from support.commands import TINY, Nnbench
from support.strict_array import StrictArray, strict, strict_special


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a factory of trainers whose arrays are strict ones."""
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", strict_special)

    def make(task: Any, splits: Any) -> Trainer:
        with monkeypatch.context() as patch:
            patch.setattr(device, "array_module", lambda _: strict)
            patch.setattr(device, "accelerator", lambda xp: None)
            return NumpyTrainer(task, splits)

    return make


KINDS = ("dense", "conv2d same", "dropout of images", "embedding, layer_norm", "adam clip_norm")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in KINDS)) for n in BLOCKS]
)
def test_reference_stays_on_one_device(name: str, on_device: Any) -> None:
    equals_the_reference(on_device, "reference", BLOCKS[name])


@pytest.mark.parametrize("name", BLOCKS)
def test_an_epoch_stays_on_one_device(name: str, on_device: Any) -> None:
    case = BLOCKS[name]
    walk, task = case.walks()[0], case.on("reference")
    expected = trained(NumpyTrainer(task, case.splits), case.params, [walk])
    found = on_device(task, case.splits)
    assert relative_difference(trained(found, case.params, [walk]), expected) <= 1e-13
    found.evaluate("test")


def test_the_strict_array_refuses_what_cupy_refuses() -> None:
    a, host = strict.asarray(np.arange(3.0)), np.arange(3.0)
    for wrong in (
        lambda: np.asarray(a),
        lambda: a + host,
        lambda: host + a,
        lambda: np.exp(host, out=a),
        lambda: a[np.array([0, 1])],
        lambda: np.stack([a, a]),
        lambda: np.zeros_like(a, device="cpu"),
        lambda: list(a),
        lambda: a.__setitem__(0, host[:1]),
    ):
        with pytest.raises(TypeError):
            wrong()


def _numpy_constant(self: Any, x: Any, y: Any, dy: Any) -> Any:
    return dy * np.ones(y.shape) * (1.0 - y * y)


def _host_copy(self: Any, x: Any) -> Any:
    return StrictArray(np.tanh(np.asarray(x)))


def _host_index(self: Any, x: Any) -> Any:
    return x[np.arange(len(x))]


@pytest.mark.parametrize(
    ("owner", "method", "fault"),
    [
        (layers.Activation, "input_grad", _numpy_constant),
        (layers.Activation, "forward", _host_copy),
        (layers.Activation, "forward", _host_index),
    ],
    ids=["a NumPy constant", "a host copy inside a step", "an index array on the wrong side"],
)
def test_a_planted_device_fault_is_caught(
    owner: Any, method: str, fault: Any, on_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, fault)
    with pytest.raises(TypeError, match=r"device|Implicit"):
        equals_the_reference(on_device, "reference", BLOCKS["tanh"])


@pytest.mark.parametrize("name", BLOCKS)
def test_torch_keeps_a_step_on_one_device(name: str) -> None:
    """On torch's `meta` device, whose tensors mix with no others and cannot be read.

    From the second step on nothing may come from the host either: a CUDA graph records that step.
    """
    torch = pytest.importorskip("torch")
    from nnbench.backends.torch import layers as torch_layers
    from nnbench.backends.torch.losses import loss_sum
    from support.torch_device import nothing_from_the_host

    task, meta = BLOCKS[name].task, torch.device("meta")
    with meta:  # from the start: moving parts parameters that two modules share
        net = torch_layers.build(task).to(meta)
    kind = torch.int64 if task.architecture.takes_tokens else torch.float64
    inputs = torch.zeros(8, *task.architecture.input_shape, dtype=kind, device=meta)
    kind = torch.int64 if task.loss.name == "cross_entropy" else torch.float64
    wide = () if task.loss.name == "cross_entropy" else task.architecture.output_shape()
    targets, summed = torch.zeros(8, *wide, dtype=kind, device=meta), loss_sum(task)

    def step() -> None:
        summed(net(inputs), targets).backward(torch.ones((), dtype=torch.float64, device=meta))

    step()
    with nothing_from_the_host(meta):
        step()
    gradients = [p.grad for p in net.parameters() if p.requires_grad]
    assert {g.device if g is not None else None for g in gradients} <= {meta}


def test_a_torch_tensor_left_on_the_cpu_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from nnbench.backends.torch.randomness import CounterDropout

    def forward(self: Any, x: Any) -> Any:
        return x[torch.arange(len(x), dtype=torch.int64)] * torch.ones(x.shape, dtype=x.dtype)

    monkeypatch.setattr(CounterDropout, "forward", forward)
    with pytest.raises(RuntimeError):
        test_torch_keeps_a_step_on_one_device("dropout of images")


def test_numbers_of_the_host_within_a_torch_step_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    from nnbench.backends.torch.randomness import CounterDropout

    def forward(self: Any, x: Any) -> Any:
        return x * torch.tensor([0.5], dtype=x.dtype, device=x.device)

    monkeypatch.setattr(CounterDropout, "forward", forward)
    with pytest.raises(RuntimeError, match="numbers of the host"):
        test_torch_keeps_a_step_on_one_device("dropout of images")


# What torch 2.11 and CuPy 14.2 say themselves.
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update"
OLD_FOR_CUPY = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime"
OTHER_CUDA = "libnvrtc.so.12: cannot open shared object file: No such file or directory"
FULL = "cudaErrorMemoryAllocation: out of memory"


@pytest.mark.parametrize(
    ("framework", "error", "said"),
    [
        ("PyTorch", "Torch not compiled with CUDA enabled", "is built without CUDA; install a"),
        ("PyTorch", NO_DRIVER, "finds no NVIDIA driver; install one"),
        ("PyTorch", OLD_DRIVER, "needs a newer NVIDIA driver; update"),
        ("CuPy", OLD_FOR_CUPY, "needs a newer NVIDIA driver; update"),
        ("PyTorch", "No CUDA GPUs are available", "sees no GPU (CUDA_VISIBLE_DEVICES=-1); make"),
        ("CuPy", OTHER_CUDA, "another CUDA than is installed (it lacks libnvrtc.so.12); install"),
        ("CuPy", FULL, "the GPU has no memory left; free some"),
        ("CuPy", "Something else. Ten more lines.", "cannot use the GPU (Something else); use"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_refused_in_one_line(
    framework: str, error: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    refusal = cuda.refusal(framework, error)
    assert refusal.exit_code == 2
    assert str(refusal).startswith(f"Received device=cuda; {framework} ")
    assert said in str(refusal)
    assert str(refusal).endswith("use device=cpu.")
    assert "\n" not in str(refusal)


def test_without_cupy_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert array_module("cpu") is np
    assert array_module("auto") is np
    with pytest.raises(UnsupportedSpec, match="CuPy"):
        array_module("cuda")
    with pytest.raises(UnsupportedSpec, match="device=tpu"):
        array_module("tpu")


def test_auto_without_a_gpu_is_on_record_as_the_cpu(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("device=auto", *TINY)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "results" / "runs").glob("*/run.json")
    said = json.loads(record.read_text())
    assert said["machine"]["accelerator"] is None
    assert said["config"]["backend"]["execution"] == "fused"


def test_a_run_out_of_memory_is_bad_input_and_a_failed_run() -> None:
    assert OutOfMemory("").exit_code == 2
    assert isinstance(OutOfMemory(""), RunFailed)


def test_matched_semantics_forbid_what_changes_bits() -> None:
    torch = pytest.importorskip("torch")
    from nnbench.backends.torch.process import fix_arithmetic

    for semantics in ("native", "matched"):
        fix_arithmetic(1, semantics)  # type: ignore[arg-type]
        assert torch.backends.cudnn.deterministic == (semantics == "matched")
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
