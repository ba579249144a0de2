"""Whether the work is done when `train` returns, by what asking for the result costs afterwards.

A trainer that leaves its steps to a thread, to the device or to whoever asks first makes the
first question after `train` dear: it waits for, or does, what should have been done. The second
question has the honest price. What the first one costs more, as a share of the training, is what
`train` left undone; honest trainers leave none, late ones nearly all, so that a limit between the
two needs no quiet machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np

from nnbench.backends.protocol import Trainer, TrainerFactory, Walk
from nnbench.testing.cases import Case
from nnbench.testing.requirements import require, same

LIMIT = 0.2  # share of the work that may be left; see the module's text
ENOUGH_SECONDS = 0.05  # of training, so that a question to an idle trainer is small beside it
ROWS = (2**13, 2**15, 2**17)
REPETITIONS = 5
PAUSE_SECONDS = 0.02
TICK = 1e-6  # no reading is finer


def done_on_return(make: TrainerFactory, execution: str, case: Case) -> None:
    """Fail where the results of an epoch are not there when `train` returns.

    Its rows grow until training takes long enough to tell. Processor time of all threads counts
    in each repetition, for no load of the machine adds to it; wall time, which also sees other
    processes and devices, in most of them.
    """
    with _no_collection():
        for rows in ROWS:
            splits = case.sized(0) | {"train": case.draw(rows, 0)}
            splits["train_eval"] = splits["train"].first(1)
            trainer = make(case.on(execution), splits)
            walk = _epoch(case, rows)
            trainer.warm_up(rows)
            if _Cost.of(trainer, walk).seconds >= ENOUGH_SECONDS:
                break
        costs = [_Cost.of(trainer, walk) for _ in range(REPETITIONS)]
    share = max(*(c.processor_share for c in costs), median(c.wall_share for c in costs))
    require(
        share <= LIMIT,
        f"train() returned with {share:.0%} of the work of {len(walk.lr)} steps undone; it must "
        "return when the weights are final and the device is idle",
    )


def _epoch(case: Case, rows: int) -> Walk:
    rates = np.full(case.task.steps(rows), 1e-3)
    return Walk(np.random.default_rng(1).permutation(rows), rates, rows, 0, 0, case.task.seed)


class _Cost:
    """What a walk cost until `train` returned, and what its results cost after that, in seconds."""

    def __init__(self, trained: _Reading, asked: _Reading, again: _Reading) -> None:
        late = asked - again
        self.wall_share = late.wall / (trained.wall + max(late.wall, 0.0))
        processor = trained.processor + max(late.processor, 0.0)
        self.processor_share = late.processor / max(processor, TICK)
        self.seconds = min(trained.wall, processor)

    @classmethod
    def of(cls, trainer: Trainer, walk: Walk) -> _Cost:
        """Train along `walk`, ask for everything twice; the answers must be the same."""
        _ask(trainer)
        start = _Reading.now()
        trainer.train(walk)
        trained = _Reading.now()
        first = trainer.params()
        _ask(trainer)
        asked = _Reading.now()
        trainer.params()
        _ask(trainer)
        again = _Reading.now()
        time.sleep(PAUSE_SECONDS)
        require(
            same(first, trainer.params()), "the weights went on changing after train() returned"
        )
        return cls(trained - start, asked - trained, again - asked)


class _Reading:
    def __init__(self, wall: float, processor: float) -> None:
        self.wall, self.processor = wall, processor

    @classmethod
    def now(cls) -> _Reading:
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: _Reading) -> _Reading:
        return _Reading(self.wall - other.wall, self.processor - other.processor)


def _ask(trainer: Trainer) -> None:
    trainer.evaluate("val")
    trainer.state()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's collector, which can take as long as the training, out of the readings."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
