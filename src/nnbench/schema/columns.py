"""Quick checks of many mappings of one dataclass, a column at a time: epochs are thousands."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from nnbench.schema.limits import LARGEST, UNKNOWN, Range

AllSound = Callable[[Sequence[Any]], bool]


def rows_sound(kinds: Mapping[str, Any], rows: Sequence[Any]) -> bool:
    """Tell whether each row has all of `kinds`, in their order, with values that can stay.

    Where it says no, or knows no quick way, each row has to be read by itself.
    """
    names, checks = list(kinds), [_all_sound(kind) for kind in kinds.values()]
    if not all(type(row) is dict and list(row) == names for row in rows):
        return False
    columns = zip(*(row.values() for row in rows), strict=True)
    return all(check is not None and check(c) for check, c in zip(checks, columns, strict=False))


@cache
def _all_sound(annotation: Any) -> AllSound | None:
    if annotation in (float, int):
        return _finite if annotation is float else _whole
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        return _or_none(_all_sound(options[0])) if len(options) == 1 else None
    if origin is Annotated:
        base, *limits = get_args(annotation)
        ranges = [limit for limit in limits if isinstance(limit, Range)]
        if len(ranges) + (UNKNOWN in limits) < len(limits):
            return None
        found = _in_ranges(_all_sound(base), ranges)
        return _or_none(found) if UNKNOWN in limits else found
    return None


def _or_none(check: AllSound | None) -> AllSound | None:
    if check is None:
        return None
    return lambda values: check([value for value in values if value is not None])


def _in_ranges(check: AllSound | None, ranges: Sequence[Range]) -> AllSound | None:
    if check is None:
        return None
    return lambda values: (
        check(values)
        and (not values or all(min(values) in each and max(values) in each for each in ranges))
    )


def _finite(values: Sequence[Any]) -> bool:
    if set(map(type, values)) - {float}:
        return False
    total = sum(values)  # finite only if every value is
    return bool(total - total == 0)


def _whole(values: Sequence[Any]) -> bool:
    whole = not set(map(type, values)) - {int}
    return whole and (not values or (min(values) >= -LARGEST and max(values) <= LARGEST))
