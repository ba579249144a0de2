"""Quick checks that a value is as its annotation says: most values of most files are."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from nnbench.schema.files import Damage, check_plain
from nnbench.schema.limits import LARGEST

Sound = Callable[[Any], bool]


@cache
def quick(annotation: Any) -> Sound:  # noqa: PLR0911 - a table
    """Return a quick check that a value can stay as it is; where it says no, `_convert` decides.

    A folder has thousands of records with hundreds of values each.
    """
    if annotation is Any:
        return _is_plain
    if annotation is float:
        return lambda value: type(value) is float and value - value == 0
    if annotation is int:
        return lambda value: type(value) is int and -LARGEST <= value <= LARGEST
    if annotation in (str, bool, type(None)):
        return lambda value: type(value) is annotation
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        first, *others = map(quick, get_args(annotation))
        if len(others) == 1:
            other = others[0]
            return lambda value: first(value) or other(value)
        return lambda value: first(value) or any(check(value) for check in others)
    if origin is Annotated:
        base, *limits = get_args(annotation)
        inner = quick(base)
        if len(limits) == 1:
            limit = limits[0]
            return lambda value: inner(value) and value in limit
        return lambda value: inner(value) and all(value in limit for limit in limits)
    if origin is list:
        each = quick(get_args(annotation)[0])
        return lambda value: type(value) is list and all(map(each, value))
    if origin is dict:
        each = quick(get_args(annotation)[1])
        return lambda value: type(value) is dict and all(map(each, value.values()))
    return lambda value: False


def _is_plain(value: Any) -> bool:
    try:
        check_plain(value)
    except Damage:
        return False
    return True
