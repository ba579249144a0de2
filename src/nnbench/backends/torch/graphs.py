"""The `cudagraph` execution: forward and backward recorded once, then replayed at one launch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nnbench.backends.protocol import Task
from nnbench.backends.torch.layers import Net
from nnbench.errors import UnsupportedSpec

Learn = Callable[[Tensor, Tensor], Tensor]
WARM_PASSES = 3  # what torch asks for before it records


def check_graphs(task: Task, device: torch.device) -> None:
    """Raise UnsupportedSpec where steps cannot be recorded."""
    if device.type != "cuda":
        raise UnsupportedSpec(
            "Received backend.execution=cudagraph; CUDA graphs need device=cuda. Use "
            "backend.execution=eager or compile."
        )
    if task.gradient_accumulation_steps > 1:
        raise UnsupportedSpec(
            f"Received gradient_accumulation_steps={task.gradient_accumulation_steps} with "
            "backend.execution=cudagraph, which records steps of one batch; use "
            "backend.execution=eager or compile."
        )


class Graphs:
    """A graph for each batch size; what it computes is what `learn` does.

    `learn(inputs, targets)` leaves the gradients and returns the sum of the batch's losses. The
    optimizer stays outside: its rates change from step to step, and a graph holds constants.
    """

    def __init__(self, net: Net, learn: Learn) -> None:
        self._net, self._learn = net, learn
        self._graphs: dict[int, _Graph] = {}
        self._latest: _Graph | None = None

    def begin(self) -> None:
        """Forget the losses so far, and whose gradients the parameters have."""
        self._latest = None
        for graph in self._graphs.values():
            graph.total.zero_()

    def totals(self) -> list[Tensor]:
        """Return the sums of the losses since `begin`."""
        return [graph.total for graph in self._graphs.values()]

    def learn(self, inputs: Tensor, targets: Tensor) -> None:
        """Leave the gradients of a batch in the net's parameters."""
        size = len(inputs)
        if size not in self._graphs:
            self._graphs[size] = _Graph(self._net, self._learn, inputs, targets)
        graph = self._graphs[size]
        graph.inputs.copy_(inputs)
        graph.targets.copy_(targets)
        graph.graph.replay()
        if graph is not self._latest:
            graph.hand_over()
            self._latest = graph


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let nothing be freed by chance within the block: recording does not survive it."""
    gc.collect()
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class _Graph:
    """The graph of one batch size, with the memory that it reads and writes."""

    def __init__(self, net: Net, learn: Learn, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs.clone(), targets.clone()
        self.total = torch.zeros((), dtype=torch.float64, device=inputs.device)
        self._parameters = list(net.parameters())
        buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_PASSES):
                learn(self.inputs, self.targets)
        torch.cuda.current_stream().wait_stream(aside)
        for parameter in self._parameters:
            parameter.grad = None  # backward then writes, and does not add
        self.graph = torch.cuda.CUDAGraph()
        with _no_garbage_collection(), torch.cuda.graph(self.graph):
            self.total += learn(self.inputs, self.targets)
        self._gradients = [parameter.grad for parameter in self._parameters]
        self._kept = [module.index for module in net.drawing().values()]  # read by the graph
        for buffer, value in buffers:
            buffer.copy_(value)

    def hand_over(self) -> None:
        """Let the parameters have the gradients that this graph writes."""
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
