"""What a Trainer left undone when `train` returned: waited for here, and charged to the epoch.

`train` promises that its work is done. A backend that goes on in a thread, or on a device, gives
itself away: the next call that needs the work takes longer than the same call when idle, or threads
use processors while nothing asks them to. Only what is well beyond noise is charged: see the
constants. What nobody waits for, ever, is missing from the weights; that is for the certificate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from time import perf_counter, process_time, sleep, thread_time
from typing import TypeVar

from nnbench.schema.deferred import dataclass
from nnbench.training import effort

T = TypeVar("T")
SHARE = 0.05  # of an epoch's training time: what is less is noise, and changes no verdict
SLACK = 0.5  # of what the call costs when idle: after training, caches are cold
LEAST_SECONDS = 1e-4
LEAST_OTHERS = 2e-3  # processor seconds of other threads; systems count them by ticks
BUSY = 0.3  # of the time that another thread wants a processor: it is still at work
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 60.0  # until a thread counts as one that never ends


@dataclass(frozen=True)
class Cost:
    """What a call cost: `seconds` in all, `work` of it, processor seconds of the `others`.

    The others are all threads but the one that calls.
    """

    seconds: float
    work: float
    others: float


class Undone:
    """Finds what is still being done after `train`, epoch by epoch.

    `learn` what calls cost when nothing is left to do; then, after each `train`, `begin` and let
    `call` make them; `end` waits for threads that go on. On the CPU a call that only sleeps counts
    as cheap. Threads are watched in runs with one thread: pools of several spin for a while after
    their work.
    """

    def __init__(self, on_cpu: bool, threads: int) -> None:
        self.on_cpu, self.watches_threads = on_cpu, threads == 1
        self.seconds = 0.0  # charged to this epoch so far
        self._idle: dict[str, Cost] = {}
        self._before = effort.read()
        self._trained = 0.0
        self._others = self._expected = 0.0  # of all epochs, as ticks are coarse

    def learn(self, calls: Mapping[str, Callable[[], object]]) -> None:
        """Note what `calls` cost when nothing is left to do; the first round waits for that."""
        for _ in range(2):
            for name, call in calls.items():
                self._idle[name] = self._timed(call)[1]

    def begin(self, trained: float, now: effort.Reading) -> None:
        """Say that `train` has returned after `trained` seconds, when the counters stood so."""
        self._trained, self._before, self.seconds = trained, now, 0.0

    def call(self, name: str, call: Callable[[], T]) -> T:
        """Make a call that needs the work done; charge what it takes longer than when idle."""
        found, cost = self._timed(call)
        idle = self._idle.setdefault(name, cost)
        self._others += cost.others
        self._expected += idle.others
        if cost.work < idle.work:
            self._idle[name] = cost
        worked = cost.seconds
        if self._is_long(worked, idle.work):  # it may have waited for a processor: that is no work
            worked -= self._not_working(cost)
        if self._is_long(worked, idle.work):  # it may be dearer by now
            usual = max(idle.work, self._timed(call)[1].work)
            if self._is_long(worked, usual):
                self.seconds += cost.seconds - usual
        return found

    def end(self) -> float:
        """Wait for threads that are still at work; return the seconds to charge in all."""
        excess = self._others - self._expected
        most = max(LEAST_OTHERS, SHARE * self._trained) + SLACK * self._expected
        if self.watches_threads and excess > most:
            self._others = self._expected = 0.0
            start = busy_until = perf_counter()
            while self._is_busy() and busy_until - start < PATIENCE_SECONDS:
                busy_until = perf_counter()
            self.seconds = max(self.seconds, excess + busy_until - start)
        return self.seconds

    def _is_long(self, seconds: float, usual: float) -> bool:
        excess = seconds - usual
        return excess > max(LEAST_SECONDS + SLACK * usual, SHARE * (self._trained + excess))

    def _not_working(self, cost: Cost) -> float:
        """Return how long the process waited for a processor since `train` returned.

        Where the system does not tell, what no thread of it worked.
        """
        spent = effort.since(self._before)
        if spent.waited_seconds is None:
            return max(0.0, cost.seconds - (spent.cpu_seconds or 0.0))
        return spent.waited_seconds

    def _is_busy(self) -> bool:
        """Tell whether other threads want to work while this one sleeps."""
        before, others, start = effort.read(), _others(), perf_counter()
        sleep(LOOK_SECONDS)
        now = effort.read()
        waited = effort.waited(before, now, without=str(os.getpid())) or 0.0
        return _others() - others + waited > BUSY * (perf_counter() - start)

    def _timed(self, call: Callable[[], T]) -> tuple[T, Cost]:
        others, processor, start = _others(), process_time(), perf_counter()
        found = call()
        seconds, work = perf_counter() - start, process_time() - processor
        others = max(0.0, _others() - others)
        return found, Cost(seconds, min(seconds, work) if self.on_cpu else seconds, others)


def _others() -> float:
    """Return the processor seconds of all threads but this one."""
    return process_time() - thread_time()
