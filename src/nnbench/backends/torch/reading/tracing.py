"""Programs as graphs, by torch.fx: what a model and a loss do, node by node, with its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from nnbench.backends.torch.reading import places
from nnbench.model.reading import Place

PLACE = "place"  # of a node, in its meta


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
    """torch's own, which notes places and takes `opaque` modules for leaves."""

    def __init__(self, opaque: set[nn.Module]) -> None:
        super().__init__()
        self.opaque = opaque

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is a node, as those of torch are."""
        return m in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def create_proxy(self, *args: Any, **kwargs: Any) -> fx.Proxy:
        """Return a proxy whose node knows the user's line."""
        proxy = super().create_proxy(*args, **kwargs)
        proxy.node.meta[PLACE] = places.here()
        return proxy


def traced(root: nn.Module, *samples: Any) -> Traced:
    """Trace `root` and run its graph on `samples`. What cannot be traced is told, not raised."""
    return run(graph_of(root), *samples)


def graph_of(root: nn.Module) -> Traced:
    """Trace `root` as it is, in training or in evaluation; see `traced`."""
    opaque: dict[nn.Module, Place | None] = {}
    names = {module: name for name, module in root.named_modules()}
    while True:
        try:
            graph = _Tracer(set(opaque)).trace(root)
            return Traced(root, graph, {}, {names[m]: place for m, place in opaque.items()})
        except Exception as error:  # a user's code may fail in any way
            place, reason = places.of_error(error), str(error).partition("\n")[0]
            culprit = _culprit(error, names, opaque)
            if culprit is None or culprit is root:
                return Traced(root, None, {}, {}, place, reason)
            opaque[culprit] = place


def run(found: Traced, *samples: Any) -> Traced:
    """Return the same with the value of every node for `samples`."""
    if found.graph is None:
        return found
    recorder = _Recorder(fx.GraphModule(found.root, found.graph))
    with torch.no_grad():
        recorder.run(*samples)
    return replace(found, values=recorder.values)


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps every node's value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        self.values[n] = found = super().run_node(n)
        return found


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
