"""`dataclasses.dataclass`, whose work is done when the first object of a class is made.

The standard library writes and compiles up to six methods for every class, 1 ms each class on a
slow processor. A process that trains imports 118 of them, uses 45, and used to spend half of its
imports on it. Every way to an object (a call, a copy, pickle) goes through `__new__`, so no object
is ever there before its class is complete.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "is_dataclass"]

if TYPE_CHECKING:  # for a checker of types it is that very decorator
    from dataclasses import dataclass
else:

    def dataclass(kind: type | None = None, /, **options: Any) -> Any:
        """Return the class; it becomes a dataclass with these options at its first use.

        What is wrong with its fields is raised then, too.
        """
        if kind is None:
            return partial(dataclass, **options)
        if options.get("slots"):
            raise TypeError("Received slots=True, which makes another class; use dataclasses' own.")
        made = _Made(kind, options)
        kind.__new__ = made.new
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(kind, name, _Asked(made, name))
        kind.__signature__ = _Signature(made)
        return kind


_lock = threading.RLock()  # a class completes those that it inherits from


class _Made:
    """A class that is to be completed, once."""

    def __init__(self, kind: type, options: dict[str, Any]) -> None:
        self.kind, self.options, self.done = kind, options, False

    def complete(self) -> None:
        """Do what `dataclasses.dataclass` does."""
        with _lock:
            if not self.done:
                self.done = True  # who asks meanwhile, in this thread, is that very work
                try:
                    dataclasses.dataclass(**self.options)(self.kind)
                except BaseException:
                    self.done = False
                    raise
                self.kind.__new__ = staticmethod(_new)  # type: ignore[method-assign]

    def new(self, kind: type, /, *_: Any, **__: Any) -> Any:
        """Return an object without content, of the class or of one that inherits from it."""
        self.complete()
        return object.__new__(kind)


def _new(kind: type, /, *_: Any, **__: Any) -> Any:
    return object.__new__(kind)


class _Asked:
    """What `dataclasses` asks a class for: it has it once it is complete."""

    def __init__(self, made: _Made, name: str) -> None:
        self.made, self.name = made, name

    def __get__(self, instance: object, owner: type) -> Any:
        self.made.complete()
        return getattr(self.made.kind, self.name)


class _Signature:
    """What the class is called with, for `help` and editors: that of `__init__`, not `__new__`."""

    def __init__(self, made: _Made) -> None:
        self.made = made

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        self.made.complete()
        whole = inspect.signature(owner.__init__)  # type: ignore[misc]
        return whole.replace(parameters=[*whole.parameters.values()][1:])


def is_dataclass(kind: Any) -> bool:
    """Tell whether it is a dataclass, without completing it."""
    return isinstance(kind, type) and "__dataclass_fields__" in vars(kind)
