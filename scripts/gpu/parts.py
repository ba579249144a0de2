"""The parts of the proof, the most valuable first."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """`module` has `jobs(setting)` and `run(setting, seconds, **arguments)`, which yields rows.

    `seconds` is what the part may take on CUDA and on the CPU, less where the whole has less
    left.
    """

    name: str
    title: str
    seconds: dict[str, float]

    @property
    def module(self) -> Any:
        """Return the module of the part."""
        return importlib.import_module(f"gpu.{self.name}")


def _most(cuda: float, cpu: float) -> dict[str, float]:
    return {"cuda": cuda, "cpu": cpu}


PARTS = (
    Part("kit", "Every block takes the same steps as NumPy on the CPU", _most(125, 130)),
    Part(
        "timings", "Time per step, each framework against a bare loop of its own", _most(130, 110)
    ),
    Part("compiled", "torch compile and cudagraph against eager", _most(100, 80)),
    Part("engines", "Keras on torch and JAX", _most(100, 60)),
    Part("behaviour", "The same bits twice, peak memory, out of memory", _most(110, 90)),
    Part("commands", "The command line", _most(110, 110)),
)
TOTAL_SECONDS = 530.0
