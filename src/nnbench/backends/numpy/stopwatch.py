"""Where the time of a NumPy step goes, call by call."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nnbench.backends.numpy.layers import Layer
from nnbench.backends.protocol import ProfileRow

PASSES = {"forward_training": "forward", "param_grads": "backward", "input_grad": "backward"}


class Stopwatch:
    """Adds up seconds and calls by place and operation; costs about 0.1 us a call.

    `wait` returns when the device is idle: a GPU goes on working while a call is over.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self._wait = wait
        self._found: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def time(self, place: str, call: Callable[[], Any], name: str | None = None) -> Any:
        """Return what `call` returns, its seconds counted towards `place` and its own name."""
        start = time.perf_counter()
        result = call()
        self._wait()
        seconds = time.perf_counter() - start
        found = self._found[place, name or operation(call)]
        found[0] += seconds
        found[1] += 1
        return result

    def wrap(self, place: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with the stopwatch around it."""
        return lambda *arguments: self.time(place, lambda: function(*arguments), name)

    @contextmanager
    def around(self, owner: object, places: Mapping[str, str]) -> Iterator[None]:
        """Put the stopwatch around attributes of `owner`, by name, for the time of the block."""
        kept = dict(vars(owner))
        for name, place in places.items():
            setattr(owner, name, self.wrap(place, name.strip("_"), getattr(owner, name)))
        try:
            yield
        finally:
            vars(owner).clear()
            vars(owner).update(kept)

    @contextmanager
    def around_layers(self, layers: Sequence[Layer]) -> Iterator[None]:
        """Put the stopwatch around what layers do in training."""
        for i, layer in enumerate(layers, start=1):
            for name, way in PASSES.items():
                setattr(layer, name, self.wrap(f"{i} {way}", name, getattr(layer, name)))
        try:
            yield
        finally:
            for layer in layers:
                for name in PASSES:
                    delattr(layer, name)  # the class's own is behind it

    def rows(self, steps: int) -> list[ProfileRow]:
        """Return what was counted, per step."""
        return [
            ProfileRow(place, name, seconds / steps, calls / steps)
            for (place, name), (seconds, calls) in self._found.items()
        ]


def operation(call: Callable[[], Any]) -> str:
    """Return the name of what a call does: `matmul`, `sgemm`, `maximum.reduce`."""
    function = getattr(call, "func", call)
    name = str(getattr(function, "__name__", function)).removeprefix("function ")
    owner = getattr(getattr(function, "__self__", None), "__name__", None)
    return f"{owner}.{name}" if isinstance(owner, str) else name
