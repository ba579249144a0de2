"""The PyTorch Trainer: eager steps over tensors that stay on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnbench import metrics
from nnbench.backends.torch.model import build, canonical, loss_function, parameters
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.trainer import Params, State, Task, TrainStats, Walk

GATHER_BYTES = 64 << 20  # how much of a walk is gathered at a time
EVALUATION_SAMPLES = 4096
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class TorchTrainer:
    """`eager` execution, matched or native."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        if task.execution != "eager":
            raise UnsupportedSpec(f"backend=torch has no execution {task.execution}; use eager.")
        torch.set_num_threads(task.threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.task = task
        self.device = _device(task.device)
        self._inputs = {name: self._resident(split) for name, split in splits.items()}
        self._targets = self._target_tensor(splits["train"].targets)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(task.seed)
            self.model = build(task.architecture, DTYPES[task.dtype]).to(self.device)
        self._params = parameters(self.model, task.architecture)
        outputs = task.architecture.output_shape()[0]
        self._loss = loss_function(task.loss, task.architecture.output_activation, outputs)
        self._shuffler = torch.Generator().manual_seed(task.seed)
        self._reset_optimizer()

    def load(self, params: Params) -> None:
        """Copy the weights, start with a fresh optimizer."""
        with torch.no_grad():
            for key, tensor in self._params.items():
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(canonical(key, params[key]))))
        self._reset_optimizer()

    def warm_up(self, n: int) -> None:
        """Take one step of each batch shape, then put everything back."""
        kept = self.state()
        sizes = [min(n, self.task.batch_size), n % self.task.batch_size]
        for size in dict.fromkeys(size for size in sizes if size):
            x, t = self._inputs["train"][:size], self._targets[:size]
            self._step(x, t)
        self._reset_optimizer()
        self.restore(kept)
        self._synchronise()

    def train(self, walk: Walk) -> TrainStats:
        """Step through the walk; in native semantics through a DataLoader of torch's own."""
        rates = walk.lr.tolist()
        rate = None
        losses = []
        for step, (x, t) in enumerate(self._batches(walk)):
            if rates[step] != rate:
                rate = rates[step]
                self._optimizer.param_groups[0]["lr"] = rate
            losses.append(self._step(x, t))
        self._synchronise()
        return self._stats(losses, walk.samples)

    def _step(self, x: Tensor, t: Tensor) -> Tensor:
        loss = self._loss(self.model(x), t)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _batches(self, walk: Walk) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the walk's batches: gathered in large chunks, stepped through as views."""
        if self.task.semantics == "native":
            yield from self._native_batches(walk)
            return
        assert walk.order is not None
        batch = self.task.batch_size
        inputs, targets = self._inputs["train"], self._targets
        row_bytes = inputs[0].numel() * inputs.element_size()
        chunk = max(1, GATHER_BYTES // (row_bytes * batch)) * batch
        for start in range(0, len(walk.order), chunk):
            indices = torch.from_numpy(walk.order[start : start + chunk]).to(self.device)
            x, t = inputs.index_select(0, indices), targets.index_select(0, indices)
            yield from zip(x.split(batch), t.split(batch), strict=True)

    def _native_batches(self, walk: Walk) -> Iterator[tuple[Tensor, Tensor]]:
        from torch.utils.data import DataLoader, TensorDataset

        data: Any = TensorDataset(self._inputs["train"], self._targets)
        shuffle = walk.order is None
        if walk.order is not None:
            data = torch.utils.data.Subset(data, walk.order.tolist())
        loader: Any = DataLoader(
            data, batch_size=self.task.batch_size, shuffle=shuffle, generator=self._shuffler
        )
        yield from loader

    def _stats(self, losses: list[Tensor], samples: int) -> TrainStats:
        """Undo the reduction over the batch, so that the sum is over samples."""
        sizes = np.full(len(losses), self.task.batch_size)
        sizes[-1] = samples - self.task.batch_size * (len(losses) - 1)
        values = torch.stack(losses).to(torch.float64).cpu().numpy()
        per_sample = values / [self.task.loss.batch_scale(int(n)) for n in sizes]
        return TrainStats(float(per_sample.sum()), samples)

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        self.model.eval()
        with torch.inference_mode():
            parts = [self.model(x) for x in self._inputs[split].split(EVALUATION_SAMPLES)]
            logits = torch.cat(parts).cpu().numpy()
        self.model.train()
        return logits

    def params(self) -> Params:
        """Return host copies of the weights in canonical layout."""
        return {
            key: np.array(canonical(key, tensor.detach().cpu().numpy()), order="C")
            for key, tensor in self._params.items()
        }

    def state(self) -> State:
        """Return copies of weights, momentum buffers and the shuffler's state."""
        state = {str(key): value for key, value in self.params().items()}
        for key, tensor in self._params.items():
            buffer = self._optimizer.state.get(tensor, {}).get("momentum_buffer")
            if buffer is not None:
                state[f"velocity.{key}"] = np.array(canonical(key, buffer.cpu().numpy()), order="C")
        return state | {"shuffler": self._shuffler.get_state().numpy().copy()}

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        self.load({key: state[str(key)] for key in self._params})
        for key, tensor in self._params.items():
            if f"velocity.{key}" in state:
                value = np.ascontiguousarray(canonical(key, state[f"velocity.{key}"]))
                self._optimizer.state[tensor]["momentum_buffer"] = torch.from_numpy(
                    value.copy()
                ).to(self.device)
        self._shuffler.set_state(torch.from_numpy(state["shuffler"].copy()))

    def _reset_optimizer(self) -> None:
        """torch.optim.SGD is the spec's formula; `fused` only where CUDA has it for certain."""
        rule = self.task.optimizer
        self._optimizer = torch.optim.SGD(
            self._params.values(),
            lr=0.0,
            momentum=rule.momentum,
            weight_decay=rule.weight_decay,
        )

    def _resident(self, split: Split) -> Tensor:
        """Convert inputs once to the task's dtype, `(n, *input_shape)`, on the device."""
        x = split.inputs.reshape(len(split), *self.task.architecture.input_shape)
        x = x.astype(self.task.dtype)
        if self.task.inputs.dtype == "uint8":
            x *= x.dtype.type(self.task.inputs.scale)
        return torch.from_numpy(x).to(self.device)

    def _target_tensor(self, targets: NDArray[Any]) -> Tensor:
        if self.task.loss.name == "cross_entropy":
            return torch.from_numpy(targets.astype(np.int64)).to(self.device)
        matrix = metrics.target_matrix(targets, self.task.architecture.output_shape()[0])
        return torch.from_numpy(matrix.astype(self.task.dtype)).to(self.device)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        reason = "this build has no CUDA" if torch.version.cuda is None else "no driver or GPU"
        raise UnsupportedSpec(
            f"Received device=cuda; PyTorch sees none here ({reason}). Use device=cpu or auto."
        )
    return torch.device("cuda")
