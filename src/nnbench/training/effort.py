"""What this process did and suffered meanwhile: processor seconds, waiting for a core, switches.

Wall time alone does not tell a slow backend from one that had to share its core; these do, from
inside the process, whatever ran beside it. What the system does not tell is None.
"""

from __future__ import annotations

import os
from time import process_time
from typing import Any, NamedTuple

from nnbench.schema.deferred import dataclass

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

TASKS = "/proc/self/task"


@dataclass(frozen=True)
class Effort:
    """What a stretch of time took, all threads and children that ended together.

    `cpu_seconds` on processors, `waited_seconds` ready to run without a processor to run on (Linux
    alone tells), `involuntary_switches`: how often another process took the processor away.
    """

    cpu_seconds: float | None = 0.0
    waited_seconds: float | None = 0.0
    involuntary_switches: int | None = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            _sum(self.cpu_seconds, other.cpu_seconds),
            _sum(self.waited_seconds, other.waited_seconds),
            _sum(self.involuntary_switches, other.involuntary_switches),
        )


class Reading(NamedTuple):
    """The counters of this process at one moment; waits in nanoseconds by thread."""

    cpu_seconds: float
    waits: dict[str, int] | None
    switches: int | None


def read() -> Reading:
    """Read the counters: some 20 microseconds with one thread, 10 more for each other."""
    cpu, switches = process_time(), None
    if resource is not None:
        own, others = (resource.getrusage(who) for who in _WHO)
        cpu += others.ru_utime + others.ru_stime
        switches = own.ru_nivcsw + others.ru_nivcsw
    return Reading(cpu, _waits(), switches)


def between(before: Reading, now: Reading) -> Effort:
    """Return what was done from one reading to the next."""
    cpu = now.cpu_seconds - before.cpu_seconds
    return Effort(cpu, waited(before, now), _minus(now.switches, before.switches))


def since(before: Reading) -> Effort:
    """Return what was done since `before` was read."""
    return between(before, read())


def waited(before: Reading, now: Reading, without: str = "") -> float | None:
    """Return how long threads, that called `without` aside, waited for a processor in between.

    Threads that ended meanwhile do not count.
    """
    if now.waits is None or before.waits is None:
        return None
    known = ((task, ns) for task, ns in now.waits.items() if task != without)
    return sum(ns - before.waits.get(task, 0) for task, ns in known) / 1e9


def load() -> float | None:
    """Return how many processes of the machine want to run, the mean of a minute."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _waits() -> dict[str, int] | None:
    """Return how long each thread has waited for a processor (Linux: sched-stats.rst)."""
    found = {}
    try:
        for task in os.listdir(TASKS):
            with open(f"{TASKS}/{task}/schedstat", "rb") as file:
                found[task] = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return found or None  # a thread that has just ended, or no such system
    return found


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if resource is not None else ()


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b


def _minus(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


NONE = Effort()
UNKNOWN = Effort(None, None, None)
