"""The backends under proof, by label, and how they are built on a device."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from nnbench.backends.protocol import Split, Task, Trainer

TRAINERS = {
    "numpy": "nnbench.backends.numpy.NumpyTrainer",
    "torch": "nnbench.backends.torch.TorchTrainer",
    "keras": "nnbench.backends.keras.KerasTrainer",
}


@dataclass(frozen=True)
class Backend:
    """A backend on a device; called as the conformance kit calls a TrainerFactory."""

    name: str
    device: str

    def __call__(self, task: Task, splits: Mapping[str, Split]) -> Trainer:
        """Build the trainer of `task` on the device."""
        module, _, name = TRAINERS[self.name].rpartition(".")
        make = getattr(importlib.import_module(module), name)
        trainer: Trainer = make(dataclasses.replace(task, device=self.device), splits)
        return trainer
