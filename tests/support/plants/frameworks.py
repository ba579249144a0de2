"""Faults that users of PyTorch know, in the PyTorch trainer; imported where it is installed."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import torch

from nnbench.backends.protocol import Params, State, TrainStats, Walk
from nnbench.backends.torch import TorchTrainer


class NeverEvaluates(TorchTrainer):
    """`net.eval()` is forgotten."""

    def _logits(self, inputs: Any) -> Any:
        with torch.inference_mode():
            return np.concatenate([self._net(rows).numpy() for rows in inputs.split(2048)])


class NeverTrainsAgain(TorchTrainer):
    """`net.train()` is forgotten once it was evaluated."""

    def _logits(self, inputs: Any) -> Any:
        logits = super()._logits(inputs)
        self._net.eval()
        return logits


class AddsUpGradients(TorchTrainer):
    """`zero_grad()` is forgotten."""

    def _fresh_optimizer(self) -> Any:
        optimizer = super()._fresh_optimizer()
        optimizer.zero_grad = lambda *_, **__: None
        return optimizer


class NeverClips(TorchTrainer):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._rule = dataclasses.replace(self._rule, clip_norm=None)


class ReturnsEarly(TorchTrainer):
    """A thread takes the steps; `params` and the others wait for it."""

    _thread: threading.Thread | None = None

    def train(self, walk: Walk) -> TrainStats:
        self._wait()
        self._thread = threading.Thread(target=super().train, args=(walk,))
        self._thread.start()
        return TrainStats(float(walk.samples), walk.samples)

    def _wait(self) -> None:
        if self._thread:
            self._thread.join()
        self._thread = None

    def load(self, params: Params) -> None:
        self._wait()
        super().load(params)

    def evaluate(self, split: str) -> Any:
        self._wait()
        return super().evaluate(split)

    def params(self) -> Params:
        self._wait()
        return super().params()

    def state(self) -> State:
        self._wait()
        return super().state()

    def restore(self, state: State) -> None:
        self._wait()
        super().restore(state)


PLANTS: dict[type[TorchTrainer], str] = {
    NeverEvaluates: "batch_norm 1d",
    NeverTrainsAgain: "dropout",
    AddsUpGradients: "dense",
    NeverClips: "sgd clip_norm",
    ReturnsEarly: "work is done when train returns",
}
