"""An array that refuses what CuPy refuses, over NumPy's own: what leaves the device shows.

No conversion to NumPy but by `get`, none from NumPy but by `asarray`, no NumPy arrays in
operations, indices or functions, and of NumPy's functions those alone that CuPy has with their
arguments. The rules are those of `cupy.ndarray.__array_ufunc__` and `__array_function__`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

# CuPy's signatures of the functions that are asked for through NumPy.
FUNCTIONS: dict[Any, tuple[str, ...]] = {
    np.zeros_like: ("a", "dtype", "order", "subok", "shape"),
    np.ones_like: ("a", "dtype", "order", "subok", "shape"),
    np.empty_like: ("prototype", "dtype", "order", "subok", "shape"),
    np.pad: ("array", "pad_width", "mode"),
    np.sum: ("a", "axis", "dtype", "out", "keepdims"),
}
SCALARS = (bool, int, float, np.generic)


class StrictArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on a device that NumPy cannot read."""

    def __init__(self, values: Any) -> None:
        assert isinstance(values, np.ndarray)
        self._values = values

    def get(self) -> np.ndarray:
        """Return a copy on the host: the one way there."""
        return self._values.copy()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get().")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if out is not None:
            options["out"] = tuple(_values(each) for each in out)
        found = getattr(ufunc, method)(*(_values(each) for each in inputs), **options)
        return out[0] if out is not None else _wrapped(found)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in FUNCTIONS:
            raise TypeError(f"CuPy has no {function.__name__} under that name.")
        known = set(inspect.signature(function).bind(*args, **kwargs).arguments)
        if unknown := known - set(FUNCTIONS[function]):
            raise TypeError(f"{function.__name__} of CuPy takes no {', '.join(sorted(unknown))}.")
        given = {name: _inside(value) for name, value in kwargs.items()}
        return _wrapped(function(*(_inside(value) for value in args), **given))

    def __getitem__(self, index: Any) -> StrictArray:
        found = self._values[_index(index)]
        return StrictArray(np.asarray(found) if isinstance(found, np.generic) else found)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[_index(index)] = _values(value)

    def __len__(self) -> int:
        return len(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __float__(self) -> float:
        return float(self._values)

    def __int__(self) -> int:
        return int(self._values)

    def __iter__(self) -> Any:
        raise TypeError("Iterating over an array on a device copies it value by value.")

    @property
    def T(self) -> StrictArray:  # noqa: N802 - NumPy's name
        return StrictArray(self._values.T)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    @property
    def ndim(self) -> int:
        return self._values.ndim

    @property
    def size(self) -> int:
        return self._values.size


def _method(name: str) -> Callable[..., Any]:
    def call(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        given = {key: _inside(value) for key, value in kwargs.items()}
        return _wrapped(getattr(self._values, name)(*(_inside(a) for a in args), **given))

    return call


for _name in ("reshape", "astype", "sum", "mean", "max", "min", "clip", "cumsum", "copy"):
    setattr(StrictArray, _name, _method(_name))


def _values(given: Any) -> Any:
    """Return what NumPy computes with; raises TypeError for arrays on the host, as CuPy does."""
    if isinstance(given, StrictArray):
        return given._values
    if isinstance(given, SCALARS) or given is None:
        return given
    raise TypeError(f"Unsupported type {type(given)}: a host array met one on the device.")


def _inside(given: Any) -> Any:
    """Return an argument that may also be a shape, an axis, a type or a name."""
    return given if isinstance(given, (tuple, str, type, np.dtype)) else _values(given)


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(each) for each in index)
    plain = isinstance(index, slice) or index is None or index is Ellipsis
    return index if plain else _values(index)


def _wrapped(found: Any) -> Any:
    """Return results as arrays on the device, those without axes too."""
    return StrictArray(np.asarray(found)) if isinstance(found, (np.ndarray, np.generic)) else found


def _maker(name: str) -> Callable[..., StrictArray]:
    return lambda *args, **kwargs: StrictArray(getattr(np, name)(*args, **kwargs))


def _asarray(values: Any) -> StrictArray:
    return values if isinstance(values, StrictArray) else StrictArray(np.array(values))


# The array module of the device, `xp`.
strict = SimpleNamespace(
    zeros=_maker("zeros"),
    ones=_maker("ones"),
    arange=_maker("arange"),
    asarray=_asarray,
    array=_asarray,
    empty_like=np.empty_like,
    zeros_like=np.zeros_like,
)


# What stands for cupyx.scipy.special.
strict_special = ModuleType("cupyx.scipy.special")
strict_special.erf = lambda x: _wrapped(scipy.special.erf(_values(x)))  # type: ignore[attr-defined]
