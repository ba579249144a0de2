"""Time to a target: how many runs reach it, and whether one group needs longer than another.

Runs that never reach the target have no time to it. Leaving them out would favour the group with
the worse runs, so that there is a verdict only where every run of both groups gets there.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.formatting import percent
from nnbench.reporting.comparison.groups import Group, seed
from nnbench.reporting.comparison.rows import seconds_to
from nnbench.reporting.statistics import Comparison, compare_times, corrected
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Reached:
    """The training seconds of a group's runs to `target`, by seed; `of` runs have times."""

    target: float
    seconds: dict[int, float]
    of: int

    @property
    def all(self) -> bool:
        """Tell whether every run reached the target."""
        return 0 < self.of == len(self.seconds)


@dataclass(frozen=True)
class ToTarget:
    """A group's time to the target against the baseline's; `time` None without a verdict."""

    baseline: Reached
    group: Reached
    time: Comparison | None

    @property
    def short(self) -> str:
        """Return the verdict without what it rests on."""
        return self._told(self.time.short if self.time is not None else "")

    def __str__(self) -> str:
        """Return the verdict in words, about the group; empty where no run got there."""
        return self._told(str(self.time))

    def _told(self, time: str) -> str:
        goal = f"{percent(self.group.target)} test accuracy"
        if self.time is not None:
            return f"to {goal}: {time}"
        if not self.baseline.seconds and not self.group.seconds:
            return ""
        ends = (f"{len(each.seconds)} of {each.of}" for each in (self.group, self.baseline))
        return f"{goal} reached with {' seeds against '.join(ends)}"


def reached(group: Group, target: float | None) -> Reached | None:
    """Return when the runs of `group` whose times count reach `target`; None without one."""
    if target is None:
        return None
    found = {seed(run): seconds_to(run, target) for run in group.timed}
    known = {s: seconds for s, seconds in found.items() if seconds is not None and seconds > 0}
    return Reached(target, known, len(found))


def to_target(pairs: Sequence[tuple[Group, Group]], target: float | None) -> list[ToTarget | None]:
    """Compare the times to `target` of each second group to the first; a family of their own."""
    both = [(reached(a, target), reached(b, target)) for a, b in pairs]
    sure = [(a, b) for a, b in both if a is not None and b is not None and a.all and b.all]
    times = iter(corrected([compare_times(a.seconds, b.seconds) for a, b in sure]))
    return [
        None if a is None or b is None or not (a.of and b.of)
        else ToTarget(a, b, next(times) if a.all and b.all else None)
        for a, b in both
    ]  # fmt: skip
