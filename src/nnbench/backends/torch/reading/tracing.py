"""Programs as graphs, by torch.fx: what a model and a loss do, node by node, with its place."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from nnbench.backends.torch.reading import places
from nnbench.model.reading import Place
from nnbench.schema.deferred import dataclass

PLACE = "place"  # of a node, in its meta
# What a program may ask of a tensor without looking at its values.
ASKED = (
    "shape", "size", "dim", "ndim", "ndimension", "numel", "nelement", "dtype", "device", "is_cuda",
    "is_floating_point", "requires_grad", "stride", "is_contiguous",
)  # fmt: skip


@dataclass(frozen=True)
class Traced:
    """A graph, the value of every node for a sample, and what could not be traced with its place.

    `opaque` are the modules whose own forward cannot be traced; they are nodes of the graph.
    `graph` is None where nothing could be.
    """

    root: nn.Module
    graph: fx.Graph | None
    values: dict[fx.Node, Any]
    opaque: dict[str, Place | None]
    failed: Place | None = None
    reason: str = ""

    def module(self, node: fx.Node) -> nn.Module:
        """Return the module that a node calls."""
        return self.root.get_submodule(str(node.target))


class _Tracer(fx.Tracer):
    """torch's own, which notes places, runs each node on `samples`, and knows opaque modules.

    What a program asks of a tensor's shape and type is answered by the sample's; what it asks of
    its values cannot be traced.
    """

    def __init__(self, opaque: set[nn.Module], samples: Sequence[Any]) -> None:
        super().__init__()
        self.opaque = opaque
        self.values: dict[fx.Node, Any] = {}
        self._samples = iter(samples)
        self._running = False  # a node: nothing of it is traced

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is a node, as those of torch are."""
        return m in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace a module, unless a node is being run; one made in forward as what it calls."""
        if self._running or not any(m is own for own in self.root.modules()):
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a module's attribute, a parameter as a node unless one is being run."""
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what stands for a node's value."""
        return _Proxy(node, self)

    def create_proxy(self, *args: Any, **kwargs: Any) -> Any:
        """Return what stands for a node's value: of a question about a shape, the answer."""
        proxy = super().create_proxy(*args, **kwargs)
        node = proxy.node
        node.meta[PLACE] = places.here()
        self._running = True
        try:
            self.values[node] = found = self._run(node)
        finally:
            self._running = False
        return found if node.op == "call_method" and node.target in ASKED else proxy

    def _run(self, node: fx.Node) -> Any:
        """Return the value of a node for the samples."""
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        with torch.no_grad():
            if node.op == "placeholder":
                return next(self._samples, *args)
            if node.op == "call_module":
                return _evaluated(self.root.get_submodule(str(node.target)), args, kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            if node.op == "call_function":
                return node.target(*args, **kwargs)
            return operator.attrgetter(str(node.target))(self.root)


class _Proxy(fx.Proxy):
    """fx's own, which knows what it stands for."""

    def __getattr__(self, k: str) -> Any:
        value = self.tracer.values.get(self.node)
        if k in ASKED and isinstance(value, torch.Tensor) and not callable(getattr(value, k)):
            return getattr(value, k)
        return super().__getattr__(k)

    def __len__(self) -> int:
        return len(self.tracer.values[self.node])


def _evaluated(module: nn.Module, args: Any, kwargs: Any) -> Any:
    """Run a module in evaluation, so that nothing in it changes."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        return module(*args, **kwargs)
    finally:
        for each, mode in modes.items():
            each.training = mode


def traced(root: nn.Module, *samples: Any) -> Traced:
    """Trace `root` on `samples`, in training or evaluation as it is.

    What cannot be traced is told, not raised.
    """
    opaque: dict[nn.Module, Place | None] = {}
    names = {module: name for name, module in root.named_modules()}
    while True:
        tracer = _Tracer(set(opaque), samples)
        try:
            graph = tracer.trace(root)
            named = {names[m]: place for m, place in opaque.items()}
            return Traced(root, graph, tracer.values, named)
        except Exception as error:  # a user's code may fail in any way
            place, reason = places.of_error(error), _reason(error)
            culprit = _culprit(error, names, opaque)
            if culprit is None or culprit is root:
                return Traced(root, None, {}, {}, place, reason)
            opaque[culprit] = place


def _reason(error: Exception) -> str:
    """Say in a user's words why a program cannot be traced."""
    said = str(error).partition("\n")[0]
    return "control flow that looks at values" if "symbolically traced" in said else said


def _culprit(error: BaseException, names: Any, opaque: Any) -> nn.Module | None:
    """Return the innermost module whose forward an error came from."""
    found, trace = None, error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        own = frame.f_locals.get("self")
        if isinstance(own, nn.Module) and own in names and own not in opaque:
            found = own
        trace = trace.tb_next
    return found


def needed(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that the output depends on."""
    found: set[fx.Node] = set()
    left = [node for node in graph.nodes if node.op == "output"]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left.extend(node.all_input_nodes)
    return found


def same_graph(a: fx.Graph, b: fx.Graph) -> bool:
    """Tell whether two graphs do the same, whatever `training` they hand on."""
    return [_essence(node) for node in a.nodes] == [_essence(node) for node in b.nodes]


def _essence(node: fx.Node) -> tuple[Any, ...]:
    def plain(value: Any) -> Any:
        return fx.map_arg(value, lambda n: n.name)

    kwargs = {k: v for k, v in node.kwargs.items() if k != "training"}
    return node.op, str(node.target), repr(plain(node.args)), repr(plain(kwargs))


def counted(batch: int, shape: tuple[int, ...], order: Any) -> torch.Tensor:
    """Return integers `(batch, *shape)`: `order`, and so many more for every sample."""
    size = math.prod(shape)
    base = torch.as_tensor(np.array(order)).reshape(1, *shape)
    found = base + size * torch.arange(batch).reshape(-1, *(1,) * len(shape))
    return found.contiguous()
