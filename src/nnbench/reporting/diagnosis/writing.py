"""A model of one framework, written as a program: what programs in Keras and PyTorch share."""

from __future__ import annotations

from collections.abc import Mapping

from nnbench.model.init import TRUNCATED_DEVIATION
from nnbench.model.layers import Layer, Shape
from nnbench.model.losses import Loss
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.optimizers import Optimizer
from nnbench.model.reading import Distribution
from nnbench.model.schedule import Constant, Listed, Schedule
from nnbench.schema.deferred import dataclass

INDENT = " " * 4


@dataclass(frozen=True)
class Wanted:
    """What a program is to train; `init` says from which distributions, by parameter.

    `epoch_steps` is how many steps an epoch has.
    """

    net: Architecture
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    init: Mapping[str, Distribution]
    epoch_steps: int = 1

    def shapes(self) -> list[tuple[int, Layer, Shape, Shape]]:
        """Return (position, layer, input shape, output shape) of every layer."""
        return list(self.net.shapes())

    def drawn(self, layer: int, role: str) -> Distribution | None:
        """Return what a parameter is drawn from, None where that is not known."""
        found = self.init.get(str(ParamKey(layer, role)))
        return None if found is None or found.name == "values" else found

    @property
    def rate(self) -> float:
        """Return the learning rate of the first step."""
        if isinstance(self.schedule, Constant):
            return self.schedule.lr
        return float(self.schedule.per_step(0, 1, 1, ())[0])

    @property
    def changes(self) -> list[tuple[int, float]]:
        """Return (step, rate) wherever the rate changes, the first step apart."""
        if not isinstance(self.schedule, Listed):
            return []
        rates = self.schedule.rates
        return [(i, rates[i]) for i in range(1, len(rates)) if rates[i] != rates[i - 1]]

    @property
    def epoch_rates(self) -> list[float] | None:
        """Return the rate of each epoch, None where it changes within one."""
        if not isinstance(self.schedule, Listed):
            return None
        if any(step % self.epoch_steps for step, _ in self.changes):
            return None
        return list(self.schedule.rates[:: self.epoch_steps])


def number(value: float) -> str:
    """Return a number as it is written: shortest, 0.001 and 1e-05."""
    return repr(float(value)) if value != int(value) or abs(value) >= 1e16 else f"{value:.1f}"


def call(name: str, *positional: str, **named: str | None) -> str:
    """Return a call as source text, without the arguments that are None."""
    given = [f"{key}={value}" for key, value in named.items() if value is not None]
    return f"{name}({', '.join([*positional, *given])})"


def uncorrected(of: Distribution) -> float:
    """Return the deviation of a normal distribution that, cut at two of them, has that of `of`."""
    return (of.deviation or 0.0) / TRUNCATED_DEVIATION
