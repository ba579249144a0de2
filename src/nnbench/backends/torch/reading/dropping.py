"""Functional dropout: in which modes a program drops, told from its two graphs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.tracing import PLACE, Traced

IN_EVALUATION = "in_evaluation"  # of a node, in its meta
DROPOUTS = (functional.dropout, torch.dropout)
OTHERWISE = "forward drops otherwise in training than in evaluation"


def drops(args: Any, kwargs: Any) -> bool:
    """Tell whether a call of functional dropout with these arguments drops: it does by default."""
    given = args[2] if len(args) > 2 else kwargs.get("training", kwargs.get("train", True))
    return bool(given)


def mark(trained: Traced, evaluated: Traced, chain: Chain) -> None:
    """Mark the dropouts of the graph of training that drop in evaluation, too.

    Calls of one place stand for each other in their order; what drops in evaluation alone is named.
    """
    assert trained.graph is not None
    assert evaluated.graph is not None
    ours, theirs = (_by_place(each.graph) for each in (trained, evaluated))
    for place, nodes in theirs.items():
        flags = [drops(node.args, node.kwargs) for node in nodes]
        own = [drops(node.args, node.kwargs) for node in ours[place]]
        together = len(own) == len(flags) and all(
            training or not evaluation for training, evaluation in zip(own, flags, strict=True)
        )
        if any(flags) and not together:
            chain.name_unknown(OTHERWISE, place)
            continue
        for node, flag in zip(ours[place], flags, strict=False):
            node.meta[IN_EVALUATION] = flag


def _by_place(graph: Any) -> defaultdict[Any, list[fx.Node]]:
    found: defaultdict[Any, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.target in DROPOUTS:
            found[node.meta.get(PLACE)].append(node)
    return found


def undropped(graph: fx.Graph) -> fx.Graph:
    """Return a copy of a graph without functional dropout."""
    copied = fx.Graph()
    given: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.target in DROPOUTS:
            given[node] = given[node.args[0]]
        elif node.op == "output":
            copied.output(fx.map_arg(node.args[0], lambda n: given[n]))
        else:
            given[node] = copied.node_copy(node, lambda n: given[n])
    return copied
