"""Learning rates, one per step: pure functions of the configuration and the records so far.

Steps and epochs count from 0; an epoch has `steps` steps, the run `epochs` epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import ConfigError
from nnbench.schema import above, at_least, within
from nnbench.schema.deferred import dataclass

Rate = Annotated[float, above(0.0)]
FinalRate = Annotated[float, at_least(0.0)]
Factor = Annotated[float, above(0.0), within(0.0, 1.0)]
Epochs = Annotated[int, at_least(1)]
Rates = NDArray[np.float64]
SMALLEST_CHANGE = 1e-8  # of a plateau's rate


@dataclass(frozen=True)
class _ByEpoch:
    """A schedule whose rate is the same in all steps of an epoch."""

    def per_step(self, epoch: int, steps: int, epochs: int, scores: Sequence[float]) -> Rates:
        """Return the learning rates `(steps,)` of `epoch`.

        `scores`: the monitored figure of every epoch so far, the smaller the better.
        """
        return np.full(steps, self.at(epoch, scores))

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return the learning rate of `epoch`."""
        raise NotImplementedError


@dataclass(frozen=True)
class _ByStep:
    """A schedule whose rate changes from step to step over the whole run."""

    def per_step(self, epoch: int, steps: int, epochs: int, scores: Sequence[float]) -> Rates:
        """Return the learning rates `(steps,)` of `epoch`; `scores` play no part."""
        done = epoch * steps
        return np.array([self.of(done + i, steps * epochs, steps) for i in range(steps)])

    def of(self, step: int, total: int, steps: int) -> float:
        """Return the learning rate of `step` of `total`, `steps` of them in an epoch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(_ByEpoch):
    """The same learning rate in every epoch."""

    lr: Rate
    name: Literal["constant"] = "constant"

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return `lr`."""
        return self.lr


@dataclass(frozen=True)
class Phases(_ByEpoch):
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

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return the rate of the last phase that has begun."""
        return [
            rate for start, rate in zip(self.starts, self.rates, strict=True) if start <= epoch
        ][-1]


@dataclass(frozen=True)
class Step(_ByEpoch):
    """`lr factor^floor(epoch / every)`. Source: torch.optim.lr_scheduler.StepLR."""

    lr: Rate
    every: Epochs = 30
    factor: Factor = 0.1
    name: Literal["step"] = "step"

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return the rate after the drops so far."""
        return self.lr * self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class Exponential(_ByEpoch):
    """`lr factor^epoch`. Source: torch.optim.lr_scheduler.ExponentialLR."""

    lr: Rate
    factor: Factor = 0.95
    name: Literal["exponential"] = "exponential"

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return the rate after `epoch` multiplications."""
        return self.lr * self.factor**epoch


@dataclass(frozen=True)
class Plateau(_ByEpoch):
    """`lr` times `factor` whenever the monitored figure has stopped improving.

    An epoch is better if its figure is below `(1 - threshold) best` (above `(1 + threshold) best`
    for an accuracy); after more than `patience` epochs that are not, the rate is multiplied and
    the count starts again. Never below `min_lr`; a change of at most 1e-8 is not made. Source:
    torch.optim.lr_scheduler.ReduceLROnPlateau, threshold_mode rel, eps 1e-8.
    """

    lr: Rate
    factor: Factor = 0.1
    patience: Annotated[int, at_least(0)] = 10
    threshold: FinalRate = 1e-4
    min_lr: FinalRate = 0.0
    name: Literal["plateau"] = "plateau"

    def at(self, epoch: int, scores: Sequence[float]) -> float:
        """Return the rate that follows from the scores of the epochs before `epoch`."""
        rate, best, waited = self.lr, math.inf, 0
        for score in scores:
            better = score < best - self.threshold * abs(best) if best < math.inf else True
            best, waited = (score, 0) if better else (best, waited + 1)
            if waited > self.patience:
                lower, waited = max(rate * self.factor, self.min_lr), 0
                rate = lower if rate - lower > SMALLEST_CHANGE else rate
        return rate


def _cosine(start: float, end: float, fraction: float) -> float:
    """Return the way from `start` (fraction 0) to `end` (fraction 1) along half a cosine."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))


@dataclass(frozen=True)
class Cosine(_ByStep):
    """Half a cosine from `lr` at step 0 towards `final_lr`, which step T of T would have.

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983;
    torch.optim.lr_scheduler.CosineAnnealingLR with T_max = T, stepped after every batch.
    """

    lr: Rate
    final_lr: FinalRate = 0.0
    name: Literal["cosine"] = "cosine"

    def of(self, step: int, total: int, steps: int) -> float:
        """Return the rate of `step`."""
        return _cosine(self.lr, self.final_lr, step / total)


@dataclass(frozen=True)
class Warmup(_ByStep):
    """`lr (step + 1) / W` in the first W steps, those of `warmup_epochs`; then `decay`.

    `none` keeps `lr`; `linear` and `cosine` go from `lr` at step W towards `final_lr` at step T.
    Source: Goyal et al. 2017, arXiv 1706.02677.
    """

    lr: Rate
    warmup_epochs: Annotated[float, above(0.0)] = 5.0
    decay: Literal["none", "linear", "cosine"] = "none"
    final_lr: FinalRate = 0.0
    name: Literal["warmup"] = "warmup"

    def of(self, step: int, total: int, steps: int) -> float:
        """Return the rate of `step`."""
        warm = max(round(self.warmup_epochs * steps), 1)
        if step < warm:
            return self.lr * (step + 1) / warm
        fraction = (step - warm) / max(total - warm, 1)
        if self.decay == "cosine":
            return _cosine(self.lr, self.final_lr, fraction)
        return self.lr + (self.final_lr - self.lr) * fraction * (self.decay == "linear")


@dataclass(frozen=True)
class OneCycle(_ByStep):
    """Up from `max_lr / div` to `max_lr`, then down to `max_lr / div / final_div`, on cosines.

    The top is at step `pct_start T - 1`, the end at step `T - 1`. Source: Smith & Topin 2018,
    arXiv 1708.07120; torch.optim.lr_scheduler.OneCycleLR, cos, two phases.
    """

    max_lr: Rate
    pct_start: Annotated[float, above(0.0), within(0.0, 1.0, high_open=True)] = 0.3
    div: Annotated[float, at_least(1.0)] = 25.0
    final_div: Annotated[float, at_least(1.0)] = 1e4
    name: Literal["one_cycle"] = "one_cycle"

    def of(self, step: int, total: int, steps: int) -> float:
        """Return the rate of `step`."""
        start = self.max_lr / self.div
        top = self.pct_start * total - 1.0
        if step <= top and top > 0:
            return _cosine(start, self.max_lr, step / top)
        fraction = (step - top) / (total - 1.0 - top)
        return _cosine(self.max_lr, start / self.final_div, min(fraction, 1.0))


@dataclass(frozen=True)
class Listed(_ByStep):
    """`rates[i]` in step i of the run, the last one after that: a schedule of somebody else's."""

    rates: tuple[FinalRate, ...]
    name: Literal["listed"] = "listed"

    def __post_init__(self) -> None:
        if not self.rates:
            raise ConfigError("Received schedule.rates=[]; one rate per step, as in [0.1,0.05].")

    def of(self, step: int, total: int, steps: int) -> float:
        """Return the rate of `step`."""
        return self.rates[min(step, len(self.rates) - 1)]


Schedule = Constant | Phases | Step | Exponential | Cosine | Warmup | OneCycle | Plateau | Listed
