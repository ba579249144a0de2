"""Trainers that return before their work is done."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Params, State, Task, TrainStats, Walk
from nnbench.data.dataset import Split


class _Late(NumpyTrainer):
    """Begins in `train`, is done with when somebody asks."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        self.loss = 1.0
        super().__init__(task, splits)

    def begin(self, walk: Walk) -> None:
        raise NotImplementedError

    def wait(self) -> None:
        raise NotImplementedError

    def work(self, walk: Walk) -> None:
        stats = super().train(walk)
        self.loss = stats.loss_sum / stats.samples

    def train(self, walk: Walk) -> TrainStats:
        self.wait()
        self.begin(walk)
        return TrainStats(self.loss * walk.samples, walk.samples)

    def load(self, params: Params) -> None:
        self.wait()
        super().load(params)

    def evaluate(self, split: str) -> Any:
        self.wait()
        return super().evaluate(split)

    def params(self) -> Params:
        self.wait()
        return super().params()

    def state(self) -> State:
        self.wait()
        return super().state()

    def restore(self, state: State) -> None:
        self.wait()
        super().restore(state)


class LeavesItToAThread(_Late):
    thread: threading.Thread | None = None

    def begin(self, walk: Walk) -> None:
        self.thread = threading.Thread(target=self.work, args=(walk,))
        self.thread.start()

    def wait(self) -> None:
        if self.thread:
            self.thread.join()
            self.thread = None


class LeavesTheSecondHalf(LeavesItToAThread):
    def begin(self, walk: Walk) -> None:
        half, size = len(walk.lr) // 2, self.task.batch_size
        if half:
            self.work(walk.part(0, half, size))
        super().begin(walk.part(half, len(walk.lr), size))


class PutsItOff(_Late):
    """Does nothing until somebody asks."""

    walk: Walk | None = None

    def begin(self, walk: Walk) -> None:
        self.walk = walk

    def wait(self) -> None:
        walk, self.walk = self.walk, None
        if walk:
            self.work(walk)


class PutsOffLongWalks(PutsItOff):
    def begin(self, walk: Walk) -> None:
        super().begin(walk)
        if len(walk.lr) < 50:
            self.wait()


class NeverWaits(LeavesItToAThread):
    """Its weights are those of the moment; only the next training waits."""

    def params(self) -> Params:
        return {key: np.array(p) for key, p in self._params.items()}

    def evaluate(self, split: str) -> Any:
        return NumpyTrainer.evaluate(self, split)

    def state(self) -> State:
        return NumpyTrainer.state(self)


PLANTS: dict[type[NumpyTrainer], str] = dict.fromkeys(
    (LeavesItToAThread, LeavesTheSecondHalf, PutsItOff, PutsOffLongWalks, NeverWaits),
    "work is done when train returns",
)
