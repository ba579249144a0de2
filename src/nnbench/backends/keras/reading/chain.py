"""A Keras model as one chain of operations, from its inputs to its outputs.

Nested models are taken apart; so are layers and models of the user's own, by calling `call` with
symbolic tensors. What is no chain, as a branch, is not understood.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras

from nnbench.backends.keras.reading.places import defined, place
from nnbench.model.layers import Shape
from nnbench.model.reading import Place
from nnbench.schema.deferred import dataclass


class NotKnownError(Exception):
    """A construct that nnbench does not know, and where it stands."""

    def __init__(self, text: str, where: Place) -> None:
        super().__init__(text)
        self.text, self.where = text, where


@dataclass(frozen=True)
class Link:
    """One operation of the chain, the shapes before and after it, and whether it trains there.

    `always`: in evaluation, too. `said` is what it was told where the model was made.
    """

    operation: Any
    before: Shape
    after: Shape
    training: bool
    always: bool = False
    said: Any = None

    @property
    def where(self) -> Place:
        """Return where it was made."""
        return place(self.operation)


def chain(model: Any, shape: Shape, dtype: str) -> list[Link]:
    """Return the operations of a built model, in training, for inputs of `shape`.

    Raises NotKnownError, also where evaluation is another chain.
    """
    found, other = (list(_inside(model, shape, dtype, mode)) for mode in modes(model))
    if [_same(link) for link in found] != [_same(link) for link in other]:
        raise NotKnownError("a branch on training", defined(type(model).call))
    pairs = zip(found, other, strict=True)
    found = [replace(link, always=again.training) for link, again in pairs]
    seen: set[int] = set()
    for link in found:
        if id(link.operation) in seen and getattr(link.operation, "weights", None):
            raise NotKnownError("a layer that is used more than once", link.where)
        seen.add(id(link.operation))
    return found


def modes(model: Any) -> tuple[bool, bool]:
    """Return whether its layers train in training, and in evaluation.

    Keras does not say it to a model whose own `call` has no argument `training`; its layers then
    never train. Source: keras.src.backend.tensorflow.trainer, `train_step`.
    """
    return "training" in inspect.signature(model.call).parameters, False


def _same(link: Link) -> object:
    """Return what tells an operation from others; those without state are made anew each time."""
    if isinstance(link.operation, keras.Layer):
        return id(link.operation)
    kept = (int, float, str, tuple)
    plain = {k: v for k, v in vars(link.operation).items() if isinstance(v, kept) and k != "name"}
    return type(link.operation).__name__, sorted(plain.items(), key=str)


def _inside(model: Any, shape: Shape, dtype: str, training: bool) -> Iterator[Link]:
    """Yield what a model or a layer of the user's own is made of."""
    functional: Any = getattr(model, "_functional", None) if is_sequential(model) else model
    if is_functional(functional):
        if len(functional.inputs) != 1 or len(functional.outputs) != 1:
            raise NotKnownError("a model of several inputs or outputs", place(model))
        way = _between(functional.inputs[0], functional.outputs[0])
        # How a functional model is called goes before what was said when it was made.
        links = [
            Link(operation, before, after, training, said=named.get("training"))
            for operation, before, after, named in way
        ]
    else:
        start = keras.Input(shape, dtype=dtype)
        way = _between(start, _called(model, start, training))
        links = [
            Link(operation, before, after, bool(named.get("training", training)))
            for operation, before, after, named in way
        ]
    for link in links:
        if _is_composed(link.operation):
            inner = getattr(link.operation, "compute_dtype", None) or "float32"
            yield from _inside(link.operation, link.before, inner, link.training)
        else:
            yield link


def is_sequential(model: Any) -> bool:
    """Tell whether it is a Sequential that runs as Keras' own does."""
    return isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call


def is_functional(model: Any) -> bool:
    """Tell whether it is a functional model that runs as Keras' own does."""
    kind = next((c for c in type(model).__mro__ if c.__name__ == "Functional"), None)
    return kind is not None and type(model).call is kind.call  # type: ignore[attr-defined]


def _called(layer: Any, start: Any, training: bool) -> Any:
    """Return what `call` of the user's own makes of a symbolic tensor.

    Raises NotKnownError where Python has to look at values.
    """
    takes = "training" in inspect.signature(layer.call).parameters
    try:
        with _context(layer, training):
            output = layer.call(start, **({"training": training} if takes else {}))
    except NotKnownError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        text = f"code that cannot be followed ({said[0].rstrip('.')})"
        raise NotKnownError(text, _failed(error, layer)) from None
    if not isinstance(output, keras.KerasTensor):
        raise NotKnownError("several outputs, or none", defined(type(layer).call))
    return output


@contextmanager
def _context(layer: Any, training: bool) -> Iterator[None]:
    """Let layers that are called within the block know whether they train."""
    before = layer._get_call_context()
    kept = getattr(before, "training", None)
    before.training = training
    try:
        yield
    finally:
        before.training = kept
        if before.entry_layer is layer:
            layer._maybe_reset_call_context()


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


def _between(start: Any, end: Any) -> list[tuple[Any, Shape, Shape, dict[str, Any]]]:
    """Return (operation, shape before, shape after, named arguments) from one tensor to another."""
    way: list[tuple[Any, Shape, Shape, dict[str, Any]]] = []
    tensor = end
    while tensor is not start:
        history = getattr(tensor, "_keras_history", None)
        if history is None or isinstance(history.operation, keras.layers.InputLayer):
            raise NotKnownError("an output that does not follow from the input", place(end))
        operation = history.operation
        node = operation._inbound_nodes[history.node_index]
        if len(node.input_tensors) != 1:
            raise NotKnownError(f"a branch ({len(node.input_tensors)} inputs)", place(operation))
        before = node.input_tensors[0]
        named = {k: v for k, v in node.arguments.kwargs.items() if v is not None}
        way.append((operation, before.shape[1:], tensor.shape[1:], named))
        tensor = before
    return way[::-1]


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
