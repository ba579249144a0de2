"""Reading dataclasses from plain data: types, ranges, unknown keys, unions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import pytest

from nnbench import schema
from nnbench.config.run import RunConfig
from nnbench.errors import ConfigError
from nnbench.model.layers import Layer
from nnbench.schema import above, at_least, read, to_data, within
from nnbench.schema.deferred import is_dataclass


@dataclass(frozen=True)
class Circle:
    radius: Annotated[float, above(0.0)]
    name: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Square:
    side: float = 1.0
    name: Literal["square"] = "square"


@dataclass(frozen=True)
class Drawing:
    shape: Circle | Square
    count: Annotated[int, at_least(1)] = 1
    opacity: Annotated[float, within(0.0, 1.0, high_open=True)] = 0.5
    widths: tuple[Annotated[int, at_least(1)], ...] = ()
    title: str | None = None
    limit: Annotated[int, at_least(1)] | None = None
    filled: bool = False


def test_reads_nested_values_and_writes_them_back() -> None:
    data = {
        "shape": {"name": "circle", "radius": 2},
        "count": 3,
        "opacity": 0.25,
        "widths": [1, 2],
        "title": "x",
        "limit": None,
        "filled": True,
    }
    drawing = read(Drawing, data)
    assert drawing == Drawing(Circle(2.0), 3, 0.25, (1, 2), "x", None, True)
    assert read(Drawing, to_data(drawing)) == drawing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "Received count=0; must be at least 1."),
        ({"count": "abc"}, "Received count=abc; must be an integer, at least 1."),
        ({"count": True}, "Received count=true; must be an integer, at least 1."),
        ({"count": 1.5}, "Received count=1.5; must be an integer, at least 1."),
        ({"opacity": 1.0}, "Received opacity=1.0; must be at least 0 and less than 1."),
        ({"opacity": float("nan")}, "Received opacity=nan; must be a number, at least 0 and"),
        ({"opacity": float("inf")}, "Received opacity=inf; must be a number, at least 0 and"),
        ({"widths": 3}, r"Received widths=3; must be a list, as in widths=\[3\]"),
        ({"widths": "12"}, "Received widths=12; must be a list"),
        ({"widths": [1, 0]}, r"Received widths\[1\]=0; must be at least 1."),
        ({"limit": 0}, "Received limit=0; must be at least 1."),
        ({"filled": 1}, "Received filled=1; must be true or false."),
        ({"title": [1]}, "must be text"),
        ({"shape": {"name": "circle", "radius": 0}}, "Received shape.radius=0; must be greater"),
        ({"shape": {"name": "circle"}}, "Missing value for 'shape.radius'"),
        ({"shape": {"name": "circel"}}, "must be one of circle, square; did you mean 'circle'"),
        ({"shape": 3}, "Received shape=3; must be a group of values"),
        ({"cuont": 1}, "Unknown key 'cuont'; did you mean 'count'"),
        ({"shape": {"name": "square", "sied": 1}}, "Unknown key 'shape.sied'; did you mean 'side'"),
    ],
)
def test_names_the_value_the_allowed_and_the_path(change: dict[str, Any], message: str) -> None:
    data = {"shape": {"name": "square"}} | change
    with pytest.raises(ConfigError, match=message) as caught:
        read(Drawing, data)
    assert "\n" not in str(caught.value)


def unions(annotation: Any, seen: set[type]) -> Iterator[tuple[type, ...]]:
    """Yield the options of every union of dataclasses below `annotation`."""
    parts = get_args(annotation)
    options = tuple(each for each in parts if is_dataclass(each))
    if len(options) > 1:
        yield options  # type: ignore[misc]
    if is_dataclass(annotation) and annotation not in seen:
        seen.add(annotation)  # type: ignore[arg-type]
        parts = tuple(get_type_hints(annotation, include_extras=True).values())
    for each in parts:
        yield from unions(each, seen)


def test_options_are_told_apart_by_all_values_that_their_name_allows() -> None:
    """Most by the one that is given, without being completed: it has to be the only one."""
    found = [*unions(RunConfig, set()), *unions(Layer, set())]
    assert len(found) >= 7
    for options in found:
        allowed = {
            name: option
            for option in options
            for name in get_args(get_type_hints(option, include_extras=True)["name"])
        }
        assert schema._by_name(options) == allowed
