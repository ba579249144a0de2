"""What the Trainers of all backends do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.arrays import begins, input_array
from nnbench.backends.protocol import Params, StepTrace, Task, Trainer, Walk
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.model.formulas import given

V = TypeVar("V")
Arrays = Sequence[NDArray[Any] | None]


def supported(table: Mapping[Any, V], key: Any, option: str, backend: str) -> V:
    """Return `table[key]`, the backend's entry for a name or for a class of the description.

    Raises UnsupportedSpec, which lists the entries, where there is none.
    """
    if key not in table:
        known = ", ".join(map(_name, table))
        raise UnsupportedSpec(f"Received {option}={_name(key)}; backend={backend} has {known}.")
    return table[key]


def described(task: Task) -> dict[str, Any]:
    """Return the constants and formulas of a task by dotted key, as `Effective` says."""
    found = {f"optimizer.{key}": value for key, value in given(task.optimizer).items()}
    for i, layer in enumerate(task.architecture.layers):
        found |= {f"layers.{i}.{key}": value for key, value in given(layer).items()}
    return found


def _name(key: Any) -> str:
    return key if isinstance(key, str) else getattr(key, "name", key.__name__.lower())


class Resident(NamedTuple):
    """Inputs where a backend wants them; the first `samples` rows are the split's own."""

    array: Any
    samples: int


def resident(
    task: Task, splits: Mapping[str, Split], place: Callable[[NDArray[Any]], Any]
) -> dict[str, Resident]:
    """Let `place` put every split's inputs; one that begins the training split shares its own."""
    train = splits["train"]
    shared = place(input_array(task, train))
    return {
        name: Resident(
            shared if begins(split, train) else place(input_array(task, split)), len(split)
        )
        for name, split in splits.items()
    }


def rehearse(trainer: Trainer, task: Task, n: int) -> None:
    """Take a step of each batch shape that an epoch of `n` samples has; put everything back."""
    size, n, before = task.step_samples, task.visited(n), trainer.state()
    visited = min(n, trainer.slice_multiple * size + n % size)
    order = np.arange(visited)
    trainer.train(Walk(order, np.zeros(task.steps(visited)), visited, 0, 0, 0))
    trainer.restore(before)


def traced(
    trainer: Trainer, walk: Walk, take_apart: Callable[[Walk], tuple[list[Any], Arrays, Params]]
) -> StepTrace:
    """Take the one step of `walk`; return what went on in it.

    `take_apart` computes the activations, the gradients with respect to each layer's output and
    those of the parameters; it may change the trainer's state, from which the step then starts.
    """
    before, old = trainer.state(), trainer.params()
    activations, passed, gradients = take_apart(walk)
    trainer.restore(before)
    trainer.train(walk)
    first = min(key.layer for key in gradients)
    passed = [None if i < first else gradient for i, gradient in enumerate(passed)]
    updates: Params = {key: p - old[key] for key, p in trainer.params().items() if key in gradients}
    return StepTrace(activations, passed, gradients, updates)


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Let a framework draw its weights from NumPy's global state, then put that back."""
    kept = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(kept)
