"""A Keras model as one chain of operations, from its inputs to its outputs.

Nested models are taken apart; so are layers and models of the user's own, by calling `call` with
symbolic tensors. What is no chain, as a branch, is not understood.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from nnbench.backends.keras.reading.places import defined, place
from nnbench.model.layers import Shape
from nnbench.model.reading import Place


class NotKnown(Exception):
    """A construct that nnbench does not know, and where it stands."""

    def __init__(self, text: str, where: Place) -> None:
        super().__init__(text)
        self.text, self.where = text, where


@dataclass(frozen=True)
class Link:
    """One operation of the chain, the shapes before and after it, and how it was called."""

    operation: Any
    before: Shape
    after: Shape
    named: dict[str, Any]

    @property
    def where(self) -> Place:
        """Return where it was made."""
        return place(self.operation)


def chain(model: Any, shape: Shape, dtype: str) -> list[Link]:
    """Return the operations of a built model for inputs of `shape`. Raises NotKnown."""
    found = list(_inside(model, shape, dtype))
    seen: set[int] = set()
    for link in found:
        if id(link.operation) in seen and getattr(link.operation, "weights", None):
            raise NotKnown("a layer that is used more than once", link.where)
        seen.add(id(link.operation))
    return found


def _inside(model: Any, shape: Shape, dtype: str) -> Iterator[Link]:
    """Yield what a model or a layer of the user's own is made of."""
    functional = getattr(model, "_functional", None) if is_sequential(model) else model
    if is_functional(functional):
        if len(functional.inputs) != 1 or len(functional.outputs) != 1:
            raise NotKnown("a model of several inputs or outputs", place(model))
        yield from _between(functional.inputs[0], functional.outputs[0])
        return
    start = keras.Input(shape, dtype=dtype)
    yield from _between(start, _called(model, start))


def is_sequential(model: Any) -> bool:
    """Tell whether it is a Sequential that runs as Keras' own does."""
    return isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call


def is_functional(model: Any) -> bool:
    """Tell whether it is a functional model that runs as Keras' own does."""
    kind = next((c for c in type(model).__mro__ if c.__name__ == "Functional"), None)
    return kind is not None and type(model).call is kind.call  # type: ignore[attr-defined]


def _called(layer: Any, start: Any) -> Any:
    """Return what `call` of the user's own makes of a symbolic tensor.

    Raises NotKnown where Python has to look at values, or where training makes another chain.
    """
    takes = "training" in inspect.signature(layer.call).parameters
    ways = [{"training": True}, {"training": False}] if takes else [{}]
    outputs = []
    for way in ways:
        try:
            outputs.append(layer.call(start, **way))
        except NotKnown:
            raise
        except Exception as error:
            where = _failed(error, layer)
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise NotKnown(f"code that cannot be followed ({said[0]})", where) from None
    if not all(isinstance(output, keras.KerasTensor) for output in outputs):
        raise NotKnown("several outputs, or none", defined(type(layer).call))
    kinds = [[id(x.operation) for x in _between(start, output, deep=False)] for output in outputs]
    if any(each != kinds[0] for each in kinds) and _with_weights(outputs, start):
        raise NotKnown("a branch on training", defined(type(layer).call))
    return outputs[0]


def _with_weights(outputs: list[Any], start: Any) -> bool:
    """Tell whether training and evaluation are different chains.

    Operations without state are made anew by every call; their kinds are what is compared.
    """
    kinds = [
        [
            id(x.operation) if isinstance(x.operation, keras.Layer) else _settings(x.operation)
            for x in _between(start, output, deep=False)
        ]
        for output in outputs
    ]
    return any(each != kinds[0] for each in kinds)


def _settings(operation: Any) -> str:
    plain = {k: v for k, v in vars(operation).items() if isinstance(v, int | float | str | tuple)}
    plain.pop("name", None)
    return f"{type(operation).__name__} {sorted(plain.items(), key=str)}"


def _failed(error: BaseException, layer: Any) -> Place:
    """Return the line of the user's file in which `call` failed."""
    own = getattr(type(layer).call, "__code__", None)
    trace, found = error.__traceback__, defined(type(layer).call)
    while trace is not None:
        if own is not None and trace.tb_frame.f_code.co_filename == own.co_filename:
            text = trace.tb_frame.f_code.co_name
            found = Place(text, trace.tb_lineno, own.co_filename)
        trace = trace.tb_next
    return found


def _between(start: Any, end: Any, deep: bool = True) -> Iterator[Link]:
    """Yield the operations from one symbolic tensor to another, nested ones taken apart."""
    way: list[Link] = []
    tensor = end
    while tensor is not start:
        operation, node_index, _ = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            raise NotKnown("an output that does not follow from the input", place(operation))
        node = operation._inbound_nodes[node_index]
        if len(node.input_tensors) != 1:
            raise NotKnown(f"a branch ({len(node.input_tensors)} inputs)", place(operation))
        before = node.input_tensors[0]
        named = {k: v for k, v in node.arguments.kwargs.items() if v is not None}
        way.append(Link(operation, before.shape[1:], tensor.shape[1:], named))
        tensor = before
    for link in reversed(way):
        if deep and _is_composed(link.operation):
            dtype = getattr(link.operation, "compute_dtype", None) or "float32"
            yield from _inside(link.operation, link.before, dtype)
        else:
            yield link


def _is_composed(operation: Any) -> bool:
    """Tell whether an operation is made of others: a nested model, a layer of the user's own."""
    if isinstance(operation, keras.Model):
        return True
    own = isinstance(operation, keras.Layer) and own_class(operation) is None
    return own and not _owns_variables(operation)


def _owns_variables(layer: Any) -> bool:
    return bool(layer._trainable_variables or layer._non_trainable_variables)


def own_class(operation: Any) -> type | None:
    """Return Keras' class that an operation computes as, None where its code is the user's.

    A class of the user's that leaves `call` and `build` as they are computes as Keras' does.
    """
    for kind in type(operation).__mro__:
        if kind.__module__.split(".")[0] == "keras":
            same = all(
                getattr(type(operation), name, None) is getattr(kind, name, None)
                for name in ("call", "build", "__call__", "compute_output_spec")
            )
            return kind if same and kind not in (keras.Layer, keras.Operation) else None
    return None
