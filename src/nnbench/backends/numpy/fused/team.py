"""Threads that share the parts of a batch.

NumPy lets other threads run Python while it computes, SciPy's BLAS routines do not. A thread that
wants to go on while another starts a call is put to sleep, and wakes late: calls have to be long,
as those over hundreds of samples are. With those of two convolutions, 5 microseconds each, two
threads took 0.7 to 1.3 times as long as one (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from nnbench.backends.numpy.fused.blas import Call


class Team:
    """So many threads, the caller's among them; the others are idle between calls of `run`."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1, thread_name_prefix="nnbench-part")

    def run(self, shares: Sequence[Sequence[Call]]) -> None:
        """Make the calls of each share one after the other, the shares side by side."""
        mine, *theirs = shares
        # A caller that slept until the others are done would have them start on its processor.
        others = [self._others.submit(_make, calls) for calls in theirs]
        try:
            _make(mine)
        finally:
            wait(others)
        for other in others:
            other.result()


def _make(calls: Sequence[Call]) -> None:
    """Make the calls; a thread has floating-point warnings of its own."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for call in calls:
            call()
