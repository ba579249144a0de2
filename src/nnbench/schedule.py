"""Learning rates: pure functions of the configuration and the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nnbench.errors import ConfigError
from nnbench.schema import above, at_least

Rate = Annotated[float, above(0.0)]


@dataclass(frozen=True)
class Constant:
    """The same learning rate in every epoch."""

    lr: Rate
    name: Literal["constant"] = "constant"

    def at(self, epoch: int) -> float:
        """Return the learning rate of `epoch`, counted from 0."""
        return self.lr


@dataclass(frozen=True)
class Phases:
    """`rates[i]` from epoch `starts[i]` on, until the next start."""

    starts: tuple[Annotated[int, at_least(0)], ...]
    rates: tuple[Rate, ...]
    name: Literal["phases"] = "phases"

    def __post_init__(self) -> None:
        starts = list(self.starts)
        if not starts or starts[0] != 0 or sorted(set(starts)) != starts:
            raise ConfigError(
                f"Received schedule.starts={starts}; must begin with 0 and increase, "
                "as in [0,30,60,80]."
            )
        if len(self.rates) != len(starts):
            raise ConfigError(
                f"Received {len(self.rates)} schedule.rates for {len(starts)} schedule.starts; "
                "must be as many."
            )

    def at(self, epoch: int) -> float:
        """Return the learning rate of `epoch`, counted from 0."""
        return [
            rate for start, rate in zip(self.starts, self.rates, strict=True) if start <= epoch
        ][-1]


Schedule = Constant | Phases
