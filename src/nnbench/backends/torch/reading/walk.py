"""From the graph of a model, and of a loss, to a chain of layers."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from nnbench.backends.torch.reading import operations as op
from nnbench.backends.torch.reading import places
from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.functions import read_function
from nnbench.backends.torch.reading.modules import read_module
from nnbench.backends.torch.reading.operations import Call
from nnbench.backends.torch.reading.tracing import PLACE, Traced, needed
from nnbench.model.reading import Place

OPERATIONS = ("call_module", "call_function", "call_method")
IN_PLACE = "_"  # what methods that change their tensor end with


class Walk:
    """Goes along the nodes of `traced` from its first input, `active`; appends to `chain`."""

    def __init__(self, traced: Traced, chain: Chain) -> None:
        assert traced.graph is not None
        self.traced, self.chain = traced, chain
        self.nodes = list(traced.graph.nodes)
        self.needed = needed(traced.graph)
        self.active = self.nodes[0]
        self.flowing = {self.active}  # what is computed from the inputs
        self.called: set[str] = set()  # modules that the output depends on

    def go(self, stop: fx.Node | None = None) -> None:
        """Read every node up to `stop`, or to the end."""
        for node in self.nodes[1:]:
            if node is stop:
                return
            self._take(node)

    def _take(self, node: fx.Node) -> None:
        value = self.traced.values.get(node)
        inputs = [n for n in node.all_input_nodes if n in self.flowing]
        if node.op == "output":
            self._end(node, value)
        elif node.op in OPERATIONS and inputs and self._matters(node):
            self._operation(node, value, inputs)

    def _matters(self, node: fx.Node) -> bool:
        """Tell whether the output depends on a node, or it changes what others read."""
        return node in self.needed or str(node.target).endswith(IN_PLACE)

    def _operation(self, node: fx.Node, value: Any, inputs: list[fx.Node]) -> None:
        """Read one operation on activations."""
        call = Call(place_of(self.traced, node), value)
        if node.op == "call_module":
            self.called.add(str(node.target))
        several = isinstance(self.traced.values.get(self.active), tuple)
        if not isinstance(value, torch.Tensor):
            if not _is_plain(value):  # else a size, that a view takes
                self._module(node, call) if node.op == "call_module" else op.unknown(
                    self.chain, call, "it gives no tensor"
                )
                self._go_on(node)
            return
        if several and node.target is operator.getitem:
            self.chain.go_on_from(value)  # what gave it has been named
            self._go_on(node)
            return
        tensors = [n for n in inputs if isinstance(self.traced.values.get(n), torch.Tensor)]
        if tensors != [self.active]:
            op.unknown(self.chain, call, "branches: nnbench has one layer after the other")
        elif node.op == "call_module":
            self._module(node, call)
        else:
            read_function(self.chain, node, self.traced.values, self.active, call)
        self._go_on(node)

    def _module(self, node: fx.Node, call: Call) -> None:
        name = str(node.target)
        if name in self.traced.opaque:
            kind = type(self.traced.module(node)).__name__
            place = self.traced.opaque[name] or call.place
            op.unknown(
                self.chain,
                call._replace(place=place),
                f"{kind} cannot be followed: control flow that looks at values",
            )
            return
        read_module(self.chain, self.traced.module(node), name, call)

    def _go_on(self, node: fx.Node) -> None:
        self.active = node
        self.flowing.add(node)

    def _end(self, node: fx.Node, value: Any) -> None:
        given = node.args[0]
        if given is not self.active:
            call = Call(None, None)
            op.unknown(
                self.chain, call, "the model returns something else than its last activations"
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | torch.dtype | torch.device | type(None))


def place_of(traced: Traced, node: fx.Node) -> Place | None:
    """Return where a node stands: of a module, where it was made."""
    called: Place | None = node.meta.get(PLACE)
    if node.op != "call_module":
        return called
    module = traced.module(node)
    made = places.made(module, "")
    if made.line:
        return made
    shown = str(module) if not list(module.children()) else type(module).__name__
    return called or Place(shown.partition("\n")[0])
