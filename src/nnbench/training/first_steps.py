"""The first steps of a run, taken for its certificate before the clock of its epochs starts."""

from __future__ import annotations

from nnbench.backends.parity import first_parts
from nnbench.backends.protocol import Params, Task, Trainer
from nnbench.config.run import RunConfig
from nnbench.records import trajectory
from nnbench.training.assembly import make_walk


def first_steps(config: RunConfig, task: Task, trainer: Trainer, samples: int) -> dict[int, Params]:
    """Return a sample of the weights after the first 1, 2, 4, 8, ... steps.

    The trainer takes them from its initial weights, which are then loaded again. Apart from the
    epochs, for those are timed whole, and cutting them where a backend fuses steps changes bits.
    None in native semantics, whose steps are compared with nobody's.
    """
    if config.semantics != "matched":
        return {}
    start = trainer.params()
    rates = config.schedule.per_step(0, task.steps(samples), config.epochs, [])
    found = {}
    for part in first_parts(make_walk(config, task, samples, 0, rates), task.step_samples):
        trainer.train(part)
        found[part.first_step + len(part.lr)] = trajectory.sample(trainer.params())
    trainer.load(start)
    return found
