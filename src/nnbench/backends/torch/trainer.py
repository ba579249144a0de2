"""One training run in PyTorch: the loop that a reader of its documentation would write.

`eager` as it stands; `compile` with the net and the loss through torch.compile; `cudagraph` with
the launches of forward and backward recorded as CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnbench.backends.arrays import target_array
from nnbench.backends.protocol import Params, ProfileRow, State, StepTrace, Task, TrainStats, Walk
from nnbench.backends.torch import layers, loading, losses, optimizers
from nnbench.backends.torch.batches import Batch, Data, gathered, in_steps, loaded
from nnbench.backends.torch.graphs import Graphs, check_graphs
from nnbench.backends.torch.process import (
    EXECUTIONS,
    accelerator,
    compiled,
    find_device,
    fix_arithmetic,
)
from nnbench.backends.torch.profile import profile_rows
from nnbench.backends.torch.randomness import begin_at
from nnbench.backends.trainers import rehearse, resident, supported, traced
from nnbench.data.dataset import Split
from nnbench.model import counter, streams

EVALUATE_ROWS = 2048
Array = NDArray[np.floating]
Keys = Sequence[tuple[Tensor, Iterator[Tensor]]]  # where a key goes, and those of all batches


class TorchTrainer:
    """Trains one task in PyTorch; the protocol is `nnbench.backends.protocol.Trainer`.

    Resident input: the walk's samples are gathered a chunk at a time and batches are views of it.
    Native input: a DataLoader with its own generator serves batches; per_sample: it reads images
    one by one, to evaluate too. Raises UnsupportedSpec for
    what it cannot run.
    """

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        options = supported(EXECUTIONS, task.execution, "backend.execution", "torch")
        self._task = task
        self._device = find_device(task.device)
        if task.execution == "cudagraph":
            check_graphs(task, self._device)
        fix_arithmetic(task.threads, task.semantics)
        self.accelerator = accelerator(self._device)
        self._net = layers.build(task).to(self._device)
        self._located = layers.located(task, self._net)
        self._parameters = list(self._net.parameters())
        self._rule: Any = task.documented().optimizer
        self._scales: dict[int, Tensor] = {}  # by batch size
        self._met: list[tuple[Tensor, Tensor]] = []  # logits and targets of an epoch's batches
        self._loss_sum = losses.loss_sum(task)
        self._losses = self._forward if options is None else compiled(self._forward, options)
        self._graphs = Graphs(self._net, self._learn) if task.execution == "cudagraph" else None
        self._optimizer = self._fresh_optimizer()
        self.effective = optimizers.effective(self._optimizer, task.optimizer) | layers.effective(
            self._net
        )
        self._generator = torch.Generator().manual_seed(task.seed)
        self._targets = torch.from_numpy(target_array(task, splits["train"])).to(self._device)
        self._inputs = resident(
            task, splits, lambda array: torch.from_numpy(array).to(self._device)
        )
        self._data = Data(self._inputs["train"].array, self._targets, self._generator)

        self._images = {
            name: loading.Images(task, split, target_array(task, split))
            for name, split in (splits.items() if task.input == "per_sample" else ())
        }

    def load(self, params: Params) -> None:
        """Take weights in canonical layout; reset the optimizer's state."""
        with torch.no_grad():
            for key, (tensor, axes) in self._located.items():
                tensor.permute(axes).copy_(torch.tensor(params[key]))
        self._optimizer = self._fresh_optimizer()

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        keys = self._task.architecture.parameter_shapes()
        learnt = {key: self._located[key][0] for key in keys}
        return optimizers.build(learnt, self._task, self._device)

    def warm_up(self, n: int) -> None:
        """Take a full and a ragged step, evaluate, and put everything back as it was."""
        rehearse(self, self._task, n)
        self._logits([self._inputs["train"].array[:1]])

    def train(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`; return once the device is idle."""
        native = self._task.semantics == "native"
        with self._own_random_state(walk) if native else nullcontext():
            sums = self._steps(self._batches(walk), walk)
        total = torch.stack(sums).sum(dtype=torch.float64).item()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        outputs = self._task.architecture.output_shape()[-1]
        loss_sum = total * self._task.loss.output_scale(outputs)
        met, self._met = self._met, []
        correct = losses.count_correct(met, self._task)
        return TrainStats(loss_sum, self._task.visited(walk.samples), correct)

    def trace(self, walk: Walk) -> StepTrace:
        """Take the one step of `walk`, as `train` does, and return what went on in it."""
        return traced(self, walk, self._take_apart)

    def _take_apart(self, walk: Walk) -> tuple[list[Array], list[Array | None], Params]:
        """Return activations, gradients with respect to each layer's output, and parameters'."""
        self._set_keys(walk)
        inputs, targets = next(iter(gathered(self._task, walk, self._data)))
        outputs = self._net.outputs(inputs)
        for output in (o for o in outputs if o.requires_grad):
            output.retain_grad()
        self._optimizer.zero_grad()
        self._loss_sum(outputs[-1], targets).backward(self._scale(len(inputs)))
        gradients = {
            key: _canonical(self._located[key][0].grad, self._located[key][1])
            for key in self._task.architecture.parameter_shapes()
        }
        passed = [None if o.grad is None else _image(o.grad) for o in outputs[1:]]
        return [_image(output) for output in outputs], passed, gradients

    def profile(self, walk: Walk) -> list[ProfileRow]:
        """Take the steps of `walk` under torch.profiler; each operation's time without others'."""
        return profile_rows(lambda: self.train(walk), len(walk.lr), self._device.type)

    def evaluate(self, split: str) -> Array:
        """Return the logits `(n, outputs)`: evaluation mode, before the output activation."""
        if split in self._images and len(self._images[split]):
            read = loading.in_order(self._images[split], self._task)
            return self._logits(inputs for inputs, _ in read)
        array, samples = self._inputs[split]
        return self._logits(array[:samples].split(EVALUATE_ROWS))

    def params(self) -> Params:
        """Return host copies in canonical layout."""
        return {key: _canonical(tensor, axes) for key, (tensor, axes) in self._located.items()}

    def state(self) -> State:
        """Return host copies of weights, optimizer state and the loader's generator."""
        state: State = {str(key): value for key, value in self.params().items()}
        for key, (tensor, _) in self._located.items():
            for name, value in self._optimizer.state.get(tensor, {}).items():
                if isinstance(value, Tensor):
                    state[f"optimizer.{key}.{name}"] = value.cpu().numpy().copy()
        state["generator"] = self._generator.get_state().numpy().copy()
        return state

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, bit for bit."""
        self.load({key: state[str(key)] for key in self._located})
        for key, (tensor, _) in self._located.items():
            prefix = f"optimizer.{key}."
            for name in (n for n in state if n.startswith(prefix)):
                counts = name.endswith(".step") and not self._optimizer.defaults.get("fused")
                value = torch.tensor(state[name], device="cpu" if counts else self._device)
                self._optimizer.state[tensor][name.removeprefix(prefix)] = value
        self._generator.set_state(torch.tensor(state["generator"]))

    def _batches(self, walk: Walk) -> Iterable[Batch]:
        """Return the batches of `walk`, as the task's `input` brings them."""
        if images := self._images.get("train"):
            return loading.loader(images, self._task, walk, self._generator)
        bring = loaded if self._task.input == "native" else gathered
        return bring(self._task, walk, self._data)

    @contextmanager
    def _own_random_state(self, walk: Walk) -> Iterator[None]:
        """Let torch's dropout draw from a state keyed by seed and step, then put the old back."""
        cuda = self._device.type == "cuda"
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
            key = streams.generator(self._task.seed, "torch", walk.first_step).integers(2**63)
            torch.manual_seed(int(key))
            yield

    def _steps(self, batches: Iterable[Batch], walk: Walk) -> list[Tensor]:
        """Take the steps of `walk`; return the batches' loss sums, left on the device.

        The loss's scale enters as the seed of `backward`, which saves a multiplication a step.
        """
        net, optimizer, graphs = self._net, self._optimizer, self._graphs
        sums: list[Tensor] = []
        rate = None
        steps = in_steps(batches, self._task.gradient_accumulation_steps)
        if graphs:
            graphs.begin()
        keys = [
            (module.key, iter(self._keys(walk, stream).to(self._device)))
            for stream, module in net.drawing().items()
        ]
        for step, step_rate in zip(steps, walk.lr.tolist(), strict=True):
            if step_rate != rate:
                rate = step_rate
                for group in optimizer.param_groups:
                    group["lr"] = rate
            if graphs:
                for key, words in keys:
                    key.copy_(next(words))
                graphs.learn(*step[0])
            else:
                sums += self._gradients(step, keys)
            optimizer.step()
        return graphs.totals() if graphs else sums

    def _learn(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients of a batch in the parameters; return the sum of its losses."""
        return self._gradients([(inputs, targets)], ())[0]

    def _gradients(self, step: list[Batch], keys: Keys) -> list[Tensor]:
        """Leave the gradients of a step's batches in the parameters; return their loss sums.

        The next of the `keys` are set before each batch.
        """
        self._optimizer.zero_grad()
        scale = self._scale(sum([len(targets) for _, targets in step]))
        losses = []
        for inputs, targets in step:
            for key, words in keys:
                key.copy_(next(words))
            loss, logits = self._losses(inputs, targets)
            if self._graphs is None:  # a graph has one place for the logits of all batches
                self._met.append((logits.detach(), targets))
            loss.backward(scale)
            losses.append(loss.detach())
        optimizers.clip(self._parameters, self._rule)
        return losses

    def _keys(self, walk: Walk, stream: int) -> Tensor:
        """Return the keys `(batches, 2)` of a stream for the batches of `walk`, as int32."""
        numbers = self._task.batches(walk.first_step, self._task.visited(walk.samples))
        words = counter.keys(walk.seed, numbers.start, len(numbers), stream)
        return torch.from_numpy(words.view(np.int32))

    def _set_keys(self, walk: Walk) -> None:
        """Set the keys of the first step of `walk`."""
        for stream, module in self._net.drawing().items():
            module.key.copy_(self._keys(walk, stream)[0])

    def _forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of a batch, and its logits."""
        logits = self._net(inputs)
        return self._loss_sum(logits, targets), logits

    def _scale(self, batch: int) -> Tensor:
        """Return the factor that turns the sum over a batch into the loss that is minimised."""
        if batch not in self._scales:
            loss = self._task.loss
            outputs = self._task.architecture.output_shape()[-1]
            value = loss.output_scale(outputs) * loss.batch_scale(batch)
            dtype = getattr(torch, self._task.dtype)
            self._scales[batch] = torch.tensor(value, dtype=dtype, device=self._device)
        return self._scales[batch]

    def _logits(self, batches: Iterable[Tensor]) -> Array:
        self._net.eval()
        parts, row = [], 0
        with torch.inference_mode():
            for rows in batches:
                begin_at(row, self._net.layers, self._task.seed)
                parts.append(self._net(rows).cpu().numpy())
                row += len(rows)
        self._net.train()
        return np.concatenate(parts)


def _canonical(tensor: Tensor, axes: tuple[int, ...]) -> Array:
    return tensor.detach().permute(axes).cpu().numpy().copy(order="C")


def _image(tensor: Tensor) -> Array:
    return _canonical(tensor, (0, 2, 3, 1) if tensor.dim() == 4 else tuple(range(tensor.dim())))
