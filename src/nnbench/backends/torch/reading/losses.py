"""torch's losses, and functions that call one, in nnbench's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional

from nnbench.backends.torch.reading import places
from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.tracing import PLACE, Traced, traced
from nnbench.backends.torch.reading.walk import Walk
from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName
from nnbench.model.losses import Loss
from nnbench.model.reading import Place, Unknown

Get = Callable[[str, Any], Any]  # an argument of a loss by name, with its default
Values = dict[str, Any]
ENDS: tuple[ActivationName, ...] = ("sigmoid", "tanh", "relu", "softmax")
MEANS, SUMS = (torch.mean, "mean"), (torch.sum, "sum")


class Ending(NamedTuple):
    """A loss in nnbench's words, None where it is not understood, and what precedes it."""

    loss: Loss | None
    output_activation: ActivationName
    place: Place | None
    unknown: tuple[Unknown, ...] = ()
    remarks: tuple[str, ...] = ()


class LossOf(nn.Module):
    """A loss, a module or any function, as a module of outputs and targets."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Any, targets: Any) -> Any:
        """Return the loss."""
        return self.loss(outputs, targets)


def _cross_entropy(get: Get) -> Values | str:
    if get("ignore_index", -100) != -100:
        return f"ignore_index={get('ignore_index', -100)}"
    weight = get("weight", None)
    found: Values = {"kind": "cross_entropy", "label_smoothing": get("label_smoothing", 0.0)}
    if weight is None:
        return found
    if get("reduction", "mean") == "mean":
        return "weight, whose mean divides by the sum of the weights"
    if found["label_smoothing"]:
        return "weight with label_smoothing"
    return found | {"class_weights": tuple(float(w) for w in weight)}


def _nll(get: Get) -> Values | str:
    odd = get("weight", None) is not None or get("ignore_index", -100) != -100
    return "weight or ignore_index" if odd else {"kind": "nll"}


def _weighted(kind: str) -> Callable[[Get], Values | str]:
    def read(get: Get) -> Values | str:
        odd = get("weight", None) is not None or get("pos_weight", None) is not None
        return "weight or pos_weight" if odd else {"kind": kind}

    return read


def _smooth_l1(get: Get) -> Values | str:
    beta = get("beta", 1.0)
    return {"kind": "huber", "delta": 1.0} if beta == 1.0 else f"beta={beta}"


def _huber(get: Get) -> Values | str:
    return {"kind": "huber", "delta": float(get("delta", 1.0))}


MODULES: dict[type, Callable[[Get], Values | str]] = {
    nn.CrossEntropyLoss: _cross_entropy,
    nn.NLLLoss: _nll,
    nn.BCELoss: _weighted("bce"),
    nn.BCEWithLogitsLoss: _weighted("bce_logits"),
    nn.MSELoss: _weighted("mse"),
    nn.L1Loss: _weighted("l1"),
    nn.HuberLoss: _huber,
    nn.SmoothL1Loss: _smooth_l1,
}
FUNCTIONS: dict[Any, Callable[[Get], Values | str]] = {
    functional.cross_entropy: _cross_entropy,
    functional.nll_loss: _nll,
    functional.binary_cross_entropy: _weighted("bce"),
    functional.binary_cross_entropy_with_logits: _weighted("bce_logits"),
    functional.mse_loss: _weighted("mse"),
    functional.l1_loss: _weighted("l1"),
    functional.huber_loss: _huber,
    functional.smooth_l1_loss: _smooth_l1,
}


class NotKnown(Exception):  # noqa: N818 - it names what happened
    """A loss is not understood; the message says why."""


def read_loss(loss: Any, chain: Chain, outputs: torch.Tensor, targets: torch.Tensor) -> Ending:
    """Return what `loss` minimises; what it does to outputs before goes on with `chain`."""
    found = traced(LossOf(loss), outputs, targets)
    name = getattr(loss, "__name__", type(loss).__name__)
    place, before = places.made(loss, name), len(chain.unknown)
    try:
        end = _end(found, name)
        called: Place | None = end.meta.get(PLACE)
        place = called if called and end.op != "call_module" else place
        values, shapes = _followed(found, end, chain)
        if len(chain.unknown) > before:
            return Ending(None, "linear", place)
        return _ending(values, _reduced(found, end), chain, shapes, place)
    except NotKnown as error:
        said = str(error)
        if found.graph is not None and not place.line:
            met = (n.meta.get(PLACE) for n in found.graph.nodes)
            place = next((p for p in met if p), place)
        if found.failed:
            place = found.failed
        unknown = Unknown(f"{place.text}: {said}" if place.text else said, "loss", place)
        return Ending(None, "linear", place, (unknown,))


def _end(found: Traced, name: str) -> fx.Node:
    """Return the one node that is a loss."""
    if found.graph is None:
        raise NotKnown(found.reason)
    ends = [node for node in found.graph.nodes if _reader(found, node) is not None]
    if len(ends) != 1:
        raise NotKnown(f"{name} is not a loss that nnbench has")
    return ends[0]


def _followed(found: Traced, end: fx.Node, chain: Chain) -> tuple[Values, list[Any]]:
    """Return what a loss is, and the shapes of what it is given: outputs, targets."""
    walk = Walk(found, chain)
    walk.go(end)
    given: Any = end.args[:2] if len(end.args) > 1 else ()
    given = given or (end.kwargs["input"], end.kwargs["target"])
    if given[0] is not walk.active:
        raise NotKnown("its outputs are not those of the model")
    read = _reader(found, end)
    assert read is not None
    values = read(_getter(found, end))
    if isinstance(values, str):
        raise NotKnown(values)
    return values, [tuple(found.values[node].shape) for node in given]


def _reader(found: Traced, node: fx.Node) -> Callable[[Get], Values | str] | None:
    if node.op == "call_module":
        return MODULES.get(type(found.module(node)))
    return FUNCTIONS.get(node.target) if node.op == "call_function" else None


def _getter(found: Traced, node: fx.Node) -> Get:
    if node.op == "call_module":
        module = found.module(node)
        return lambda name, default: getattr(module, name, default)

    def get(name: str, default: Any) -> Any:
        given = node.kwargs.get(name, default)
        return found.values[given] if isinstance(given, fx.Node) else given

    return get


def _reduced(found: Traced, end: fx.Node) -> tuple[str, str]:
    """Return how it is reduced over outputs and over the batch."""
    nodes = list(end.graph.nodes)
    words = []
    node = end
    for each in nodes[nodes.index(end) + 1 :]:
        if each.op == "output":
            break
        word = "mean" if each.target in MEANS else "sum" if each.target in SUMS else None
        if each.all_input_nodes != [node] or word is None:
            raise NotKnown("what follows it is not a mean or a sum")
        words.append((word, found.values[node].dim(), found.values[each].dim(), each))
        node = each
    reduction = _getter(found, end)("reduction", "mean")
    match [(word, *rest) for word, *rest in words]:
        case [] if reduction in ("mean", "sum"):
            return reduction, reduction
        case [(word, _, 0, _)] if reduction == "none":
            return word, word
        case [(word, 2, 1, first), (last, 1, 0, _)] if reduction == "none" and _over_outputs(first):
            return word, last
    raise NotKnown("it is reduced in another way than by means and sums over outputs, then samples")


def _over_outputs(node: fx.Node) -> bool:
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return given in (1, -1, (1,), [1], (-1,), [-1])


def _ending(
    values: Values, reduced: tuple[str, str], chain: Chain, shapes: list[Any], place: Place
) -> Ending:
    """Return the loss with what its outputs come from."""
    kind = values.pop("kind")
    last = chain.layers[-1].name if chain.layers else "linear"
    own: Values = {"over_outputs": reduced[0], "over_batch": reduced[1], **values}
    if kind in ("nll", "cross_entropy"):
        own["over_outputs"] = "mean"  # has no effect: one term per sample
    if kind == "nll":
        if chain.tail != "log_softmax":
            raise NotKnown(f"it takes log-probabilities, and the model ends in {last}")
        return Ending(Loss("cross_entropy", **own), "softmax", place)
    if kind == "cross_entropy":
        return _of_logits(own, chain, place)
    if chain.tail:
        raise NotKnown(f"it follows {chain.tail}")
    if kind not in ("bce", "bce_logits"):
        return _of_outputs(kind, own, chain, shapes, place)
    twice = kind == "bce_logits" and last == "sigmoid"
    if kind == "bce" and last != "sigmoid":
        raise NotKnown(f"it takes probabilities, and the model ends in {last}")
    if kind == "bce":
        _pop(chain)
    return Ending(Loss("bce", **own), "sigmoid", place, remarks=(SIGMOID_TWICE,) * twice)


SIGMOID_TWICE = "sigmoid before a loss that takes logits: sigmoid is applied twice"


def _of_logits(own: Values, chain: Chain, place: Place) -> Ending:
    remarks: tuple[str, ...] = ()
    plain = not own["label_smoothing"] and "class_weights" not in own
    if chain.tail:
        chain.tail = None
        remarks = ("log_softmax before a cross-entropy on logits has no effect: twice is once",)
    elif plain and chain.layers and chain.layers[-1] == spec.Activation("softmax"):
        _pop(chain)
        own["mistake"] = "softmax_twice"
    return Ending(Loss("cross_entropy", **own), "softmax", place, remarks=remarks)


def _of_outputs(kind: Any, own: Values, chain: Chain, shapes: list[Any], place: Place) -> Ending:
    if shapes[0] != shapes[1]:
        mean = own["over_batch"] == own["over_outputs"] == "mean"
        broadcast = len(shapes[0]) == 2 and shapes[0][1] == 1 and len(shapes[1]) == 1
        if kind != "mse" or not mean or not broadcast:
            raise NotKnown(f"outputs {shapes[0]} against targets {shapes[1]}")
        own["mistake"] = "broadcast_targets"
    last = chain.layers[-1] if chain.layers else None
    activation: ActivationName = "linear"
    if isinstance(last, spec.Activation) and last.name in ENDS and "mistake" not in own:
        activation = last.name
        _pop(chain)
    return Ending(Loss(kind, **own), activation, place)


def _pop(chain: Chain) -> None:
    chain.layers.pop()
    chain.places.pop()
