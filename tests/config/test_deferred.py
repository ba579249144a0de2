"""A deferred dataclass is one of the standard library, from the first thing asked of it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nnbench.schema import deferred

OPTIONS: tuple[dict[str, Any], ...] = (
    *({}, {"frozen": True}, {"frozen": True, "kw_only": True}, {"frozen": True, "repr": False}),
    *({"eq": False}, {"order": True}, {"unsafe_hash": True}, {"frozen": True, "eq": False}),
)


def made(decorator: Callable[..., Any], options: dict[str, Any]) -> tuple[type, type]:
    """Return a class and one that inherits from it, neither of which was used."""

    class Base:
        shared: ClassVar[int] = 3
        a: int
        b: list[int] = dataclasses.field(default_factory=list)
        c: float = dataclasses.field(default=0.5, repr=False)

        def twice(self) -> int:
            return 2 * self.a

    base = decorator(**options)(Base)

    class More(base):  # type: ignore[misc, valid-type]
        d: str = "x"

        def __post_init__(self) -> None:
            object.__setattr__(self, "late", self.d * 2)

    return base, decorator(**options)(More)


def heir(kind: type) -> type:
    """Return a class that inherits from `kind` and is made otherwise."""

    class Heir(kind):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__(a=size)

    return Heir


def what(act: Callable[[], object]) -> object:
    """Return what it returns, or which error it raises with which words."""
    try:
        found = act()
    except Exception as error:  # any: the same is expected
        return type(error), str(error).replace("test_deferred", "")
    return found


ASKED: dict[str, Callable[[type, type], object]] = {
    "made": lambda _, more: more(a=1, d="y"),
    "base": lambda base, _: base(a=1).twice(),
    "places": lambda _, more: more(1, [2], 3.0, "z"),
    "lacking": lambda _, more: more(),
    "unknown": lambda base, _: base(a=1, e=2),
    "equal": lambda _, more: (more(a=1) == more(a=1), more(a=1) == more(a=2)),
    "kinds": lambda base, more: base(a=1) == more(a=1),
    "shown": lambda _, more: repr(more(a=1)).partition(" object at ")[0],
    "less": lambda _, more: more(a=1) < more(a=2),
    "hash": lambda base, _: len({hash(each) for each in [base(a=1, b=()), base(a=1, b=())]}),
    "fields": lambda _, more: [f.name for f in dataclasses.fields(more)],
    "fields of the base": lambda base, _: [f.name for f in dataclasses.fields(base)],
    "params": lambda _, more: repr(more.__dataclass_params__),
    "is one": lambda base, more: (dataclasses.is_dataclass(base), dataclasses.is_dataclass(more)),
    "replaced": lambda _, more: dataclasses.replace(more(a=1), a=5),
    "plain": lambda _, more: dataclasses.asdict(more(a=1)),
    "copied": lambda _, more: copy.deepcopy(more(a=1)),
    "signature": lambda _, more: str(inspect.signature(more)),
    "signature of the base": lambda base, _: str(inspect.signature(base)),
    "signature of an heir": lambda _, more: str(inspect.signature(type("Heir", (more,), {}))),
    "signature of another heir": lambda _, more: str(inspect.signature(heir(more))),
    "text": lambda base, _: (base(a=1), base.__doc__)[1],
    "set": lambda _, more: setattr(more(a=1), "a", 2),
    "set anew": lambda _, more: setattr(more(a=1), "new", 2),
    "deleted": lambda _, more: delattr(more(a=1), "a"),
    "post_init": lambda _, more: more(a=1).late,
    "shared": lambda base, more: (base.shared, more.shared),
    "blank": lambda _, more: repr(type(more.__new__(more))),
}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ASKED)
def test_whatever_is_asked_first_is_answered_alike(name: str, options: dict[str, Any]) -> None:
    said = [
        what(lambda decorator=decorator: ASKED[name](*made(decorator, options)))  # type: ignore[misc]
        for decorator in (dataclasses.dataclass, deferred.dataclass)
    ]
    if dataclasses.is_dataclass(said[0]):  # objects of two classes
        said = [(type(each).__qualname__, vars(each)) for each in said]
    assert said[1] == said[0]


@deferred.dataclass(frozen=True)
class Packed:
    """Of a module, for pickle to find."""

    a: int
    b: tuple[int, ...] = ()


def test_an_unpacked_object_is_of_a_complete_class() -> None:
    code = (
        "import pickle; from test_deferred import Packed;"
        "assert '__init__' not in vars(Packed);"
        f"one = pickle.loads({pickle.dumps(Packed(1, (2,)))!r});"
        "assert one == Packed(1, (2,)) and hash(one) and 'a=1' in repr(one)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_threads_that_use_it_first_at_once_find_it_complete() -> None:
    at_once, wrong = 8, []

    def use(kind: type, barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            one = kind(a=1, d="y")
            assert repr(one).endswith("d='y')")
            assert one == kind(a=1, d="y")
        except BaseException as error:
            wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            _base, more = made(deferred.dataclass, {"frozen": True})
            barrier = threading.Barrier(at_once)
            threads = [threading.Thread(target=use, args=(more, barrier)) for _ in range(at_once)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_what_is_wrong_with_a_class_is_said_whenever_it_is_used() -> None:
    @deferred.dataclass(frozen=True)
    class Wrong:
        a: list[int] = []  # noqa: RUF012 - that is what is wrong

    for ask in (Wrong, lambda: Wrong(a=[1]), lambda: dataclasses.fields(Wrong)):
        with pytest.raises(ValueError, match="mutable default"):
            ask()


def test_what_makes_another_class_is_refused() -> None:
    with pytest.raises(TypeError, match="slots"):
        made(deferred.dataclass, {"slots": True})


def test_importing_what_trains_completes_few_classes() -> None:
    """Those with an object in a module: constants, defaults."""
    code = (
        "import dataclasses, json; real = dataclasses._process_class; names = [];"
        "dataclasses._process_class = lambda kind, *rest: names.append(kind) or real(kind, *rest);"
        "import nnbench.training.runner, nnbench.backends.numpy.trainer;"
        "print(json.dumps([f'{k.__module__}.{k.__qualname__}' for k in names]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = [name for name in json.loads(done.stdout) if name.startswith("nnbench.")]
    assert "nnbench.schema.limits.Range" in names
    assert len(names) <= 10, names
