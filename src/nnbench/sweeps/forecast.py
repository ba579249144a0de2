"""How long work will take: by how fast it goes, or by runs that were alike."""

from __future__ import annotations

import json
import math
import time
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from statistics import median
from typing import Any, NamedTuple

from nnbench.formatting import count, rough
from nnbench.records import identity
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass

Clock = Callable[[], float]  # seconds, from some start
# What changes how long an epoch takes little or not at all.
TIMELESS = ("seed", "epochs", "init", "schedule", "name", "case", "eval", "monitor", "keep",
            "early_stopping")  # fmt: skip
MOST_EPOCHS = 10**15  # what is more takes as long, to whoever waits for it
SURE_SECONDS = 1.0  # what is done sooner says nothing of the rest


def kind(config: dict[str, Any]) -> str:
    """Return what the time of a run's epochs depends on, of its configuration."""
    kept = {k: v for k, v in config.items() if k not in (*identity.LEFT_OUT, *TIMELESS)}
    return json.dumps(kept, sort_keys=True, default=str)


class Pace:
    """How fast one piece of work goes, by a clock; it is told what fraction of it is done."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self.fraction = 0.0
        self._at, self._base, self._based = self._start, 0.0, self._start

    @property
    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return max(0.0, self._clock() - self._start)

    def restart(self, fraction: float = 0.0) -> None:
        """Begin here, where this fraction is done: what was before says nothing of the rest."""
        self.fraction = self._base = min(max(fraction, 0.0), 1.0)
        self._at = self._based = self._clock()

    def reach(self, fraction: float) -> None:
        """Note that this fraction is done; one that is less than before changes nothing."""
        if fraction > self.fraction:  # not so for nan
            self.fraction, self._at = min(fraction, 1.0), self._clock()

    @property
    def left(self) -> float | None:
        """Return the seconds left as fast as it went so far.

        None where that cannot be told: too little is done, or the rest takes longer than it should.
        """
        if self.fraction == 1.0:
            return 0.0
        done, took = self.fraction - self._base, self._at - self._based
        if done <= 0.0 or took < SURE_SECONDS:
            return None
        rest = took / done * (1.0 - self.fraction) - (self._clock() - self._at)
        return rest if 0 < rest < math.inf else None


class Cost(NamedTuple):
    """What runs of one kind took: seconds of an epoch, and besides all epochs.

    Medians of `runs` runs, of which the longest had `epochs` epochs.
    """

    epoch: float
    besides: float
    epochs: int
    runs: int

    def seconds(self, epochs: int) -> float:
        """Return what a run of so many epochs takes."""
        return self.besides + min(epochs, MOST_EPOCHS) * self.epoch


@dataclass
class _Timed:
    """What runs of one kind took, sorted, so that nobody sorts thousands to look at the middle."""

    epochs: list[float] = field(default_factory=list)
    besides: list[float] = field(default_factory=list)
    longest: int = 0


class Costs:
    """What runs took, by kind."""

    def __init__(self) -> None:
        self._known: defaultdict[str, _Timed] = defaultdict(_Timed)

    def learn(self, kind: str, run: RunResult) -> None:
        """Take up what a run took, where it has an epoch and its times are times."""
        if not run.epochs:
            return
        phases = run.phases
        epoch = median(e.train_seconds + e.evaluate_seconds for e in run.epochs)
        besides = phases.wall_seconds - phases.train_seconds - phases.evaluate_seconds
        if math.isfinite(epoch + besides) and epoch >= 0:
            known = self._known[kind]
            insort(known.epochs, epoch)
            insort(known.besides, max(0.0, besides))
            known.longest = max(known.longest, len(run.epochs))

    def of(self, kind: str) -> Cost | None:
        """Return what runs of a kind took, None where none is known."""
        if kind not in self._known:
            return None
        known = self._known[kind]
        runs = len(known.epochs)
        return Cost(_middle(known.epochs), _middle(known.besides), known.longest, runs)


def _middle(ordered: Sequence[float]) -> float:
    """Return the median of numbers in their order."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Estimate(NamedTuple):
    """The `seconds` that the `epochs` left of a run take, by the `cost` of its like."""

    seconds: float
    epochs: int
    cost: Cost


@dataclass(frozen=True)
class Waiting:
    """A run that is to come: its kind, and how many epochs are left of it."""

    kind: str
    epochs: int


class UnderWay(NamedTuple):
    """A run under way: its kind, the seconds `spent` on it, and those left (None: unknown)."""

    kind: str
    spent: float
    left: float | None


class Left(NamedTuple):
    """The seconds that a sweep has left; of `guessed` runs no like has been timed."""

    seconds: float
    guessed: int = 0

    def __str__(self) -> str:
        guessed = f" ({count(self.guessed, 'run')} guessed)" if self.guessed else ""
        return f"about {rough(self.seconds)} left{guessed}"


class Forecast:
    """How long the rest of a sweep takes, `places` runs at a time.

    By runs of the same kind, recorded, over in this sweep or under way; one of which no like is
    known is guessed: as long as the others on average.
    """

    def __init__(self, waiting: Iterable[Waiting], costs: Costs, places: int = 1) -> None:
        self._waiting, self._costs, self._places = Counter(waiting), costs, max(1, places)
        self._took, self._timed = 0.0, 0  # the seconds of the runs that are over, and how many

    def begin(self, kind: str) -> Waiting | None:
        """A run begins; return how it waited."""
        first = next((each for each in self._waiting if each.kind == kind), None)
        if first is not None:
            self._waiting[first] -= 1
            if not self._waiting[first]:
                del self._waiting[first]
        return first

    def end(self, kind: str, run: RunResult | None) -> None:
        """A run is over."""
        if run is None or not run.epochs:
            return
        self._costs.learn(kind, run)
        if (took := self.takes(kind, len(run.epochs))) is not None:
            self._took, self._timed = self._took + took, self._timed + 1

    def takes(self, kind: str, epochs: int) -> float | None:
        """Return the seconds that a run takes, None where no like is known."""
        cost = self._costs.of(kind)
        return None if cost is None else cost.seconds(epochs)

    def left(self, under_way: Sequence[UnderWay] = ()) -> Left | None:
        """Return what is left, with the runs `under_way`; None: nobody knows."""
        now = {run.kind: run.spent + run.left for run in under_way if run.left is not None}
        costs = [(self.takes(run.kind, run.epochs), run, n) for run, n in self._waiting.items()]
        waiting = [(now.get(run.kind) if cost is None else cost, n) for cost, run, n in costs]
        rests = [(run.left, 1) for run in under_way]
        known = [(seconds, n) for seconds, n in (*waiting, *rests) if seconds is not None]
        guessed = sum(n for seconds, n in (*waiting, *rests) if seconds is None)
        alike = self._timed + sum(n for seconds, n in waiting if seconds is not None)
        if guessed and not alike:
            return None
        whole = sum(seconds * n for seconds, n in known)
        if guessed:
            timed = sum(seconds * n for seconds, n in waiting if seconds is not None)
            whole += guessed * (self._took + timed) / alike
        return Left(max([whole / self._places, *(seconds for seconds, _ in known)]), guessed)
