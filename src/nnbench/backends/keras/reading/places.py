"""Which lines of a program make its layers, operations, losses and optimizers: noted as they do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import keras
from keras import ops as _ops  # noqa: F401 - the operations have to exist before they are watched

from nnbench.formatting import cut
from nnbench.model.reading import Place

LONGEST = 90
COMPILED = "compile"  # what the call of `compile` is noted under, beside the model
_MADE: dict[tuple[int, str], tuple[Any, Place]] = {}  # keeps the objects, so that ids stay theirs


@contextmanager
def recording(file: str | None) -> Iterator[None]:
    """Note, within the block, which lines of `file` make parts of a model."""
    if file is None:
        yield
        return
    with ExitStack() as watched:
        for owner, name, what in (
            (keras.Operation, "__init__", ""),
            (keras.losses.Loss, "__init__", ""),
            (_optimizer_base(), "__init__", ""),
            (keras.Model, "compile", COMPILED),
        ):
            watched.enter_context(_watched(owner, name, what, file))
        yield


def place(part: Any, what: str = "") -> Place:
    """Return where `part` was made; where that was not noted, its name."""
    found = _MADE.get((id(part), what))
    if found is not None and found[0] is part:
        return found[1]
    name = getattr(part, "name", None)
    return Place(f"{type(part).__name__} {name!r}" if name else type(part).__name__)


def defined(function: Any) -> Place:
    """Return where a function or a method of the user's is defined."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__name__).split("<locals>.")[-1]
    if code is None:
        return Place(name)
    return Place(name, code.co_firstlineno, code.co_filename)


def _optimizer_base() -> Any:
    """Return the class whose `__init__` every optimizer calls."""
    return next(c for c in keras.optimizers.Optimizer.__mro__ if c.__name__ == "BaseOptimizer")


@contextmanager
def _watched(owner: Any, name: str, what: str, file: str) -> Iterator[None]:
    before: Callable[..., Any] = getattr(owner, name)
    own = name in vars(owner)

    def note(part: Any) -> None:
        where = _written(sys._getframe(2), file)
        if where is not None:
            _MADE[id(part), what] = (part, where)

    def noting(self: Any, *arguments: Any, **named: Any) -> Any:
        note(self)
        return before(self, *arguments, **named)

    def noting_operation(self: Any, name: Any = None) -> Any:
        note(self)
        return before(self, name=name)

    # Keras reads the signature of an operation to know its settings.
    setattr(owner, name, noting_operation if owner is keras.Operation else noting)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def _written(frame: FrameType | None, file: str) -> Place | None:
    """Return the innermost line of `file` that is at work, with the expression that is."""
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    if frame is None:
        return None
    return Place(_expression(frame.f_code, frame.f_lasti, file), frame.f_lineno, file)


def _expression(code: CodeType, instruction: int, file: str) -> str:
    """Return the source of the expression that an instruction belongs to, on one line."""
    spot = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    first, last, start, stop = spot
    if first is None or last is None or start is None or stop is None:
        return code.co_name
    lines = Path(file).read_bytes().splitlines()[first - 1 : last]
    if not lines:
        return code.co_name
    lines[-1] = lines[-1][:stop]
    lines[0] = lines[0][start:]
    text = b" ".join(line.strip() for line in lines).decode(errors="replace")
    return cut(text, LONGEST)
