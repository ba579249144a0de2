"""Whether a reading is understood: the program's own steps against those of the reference.

A program's own objects and the NumPy reference of what was read take the same steps from the same
weights. What "the same" means is said by `nnbench.backends.parity`: within what one ulp in the
initial weights does. Where they part, settings are changed one at a time, to see which one it is.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.alternatives import alternatives
from nnbench.backends.parity import (
    Agreement,
    Outcome,
    compare,
    layer_differences,
    moved_by_one_ulp,
    verdict,
)
from nnbench.backends.program import Batch
from nnbench.backends.protocol import DType, Params, Split, Task, Walk
from nnbench.data.dataset import ArraySpec
from nnbench.errors import ConfigError, UnsupportedSpec
from nnbench.model import counter, layers, streams
from nnbench.model.network import ParamKey
from nnbench.model.reading import Reading
from nnbench.model.schedule import Constant, Plateau
from nnbench.schema.deferred import dataclass

STEPS = 21
FURTHER = 5  # steps beyond the first epoch, where rates change from epoch to epoch
MOST_STEPS = 64
TRIED_STEPS = 3  # beyond the one that parts, with a setting changed
ENOUGH = 100.0  # times the envelope, that weights have to move for a proof
KEPT_BYTES = 2**28  # of the weights of steps, for trying


@dataclass(frozen=True)
class Proof:
    """What the steps show: `outcome` as `parity.verdict` has it, after `compared` of `steps`.

    `step` (from 1) and `layer` (from 0) are where the two part, `difference` relative to the
    largest weight, `envelope` what is allowed; where they agree these two are those of the last
    step. `instead`: settings of which one, changed, would agree. `notes` say how it was compared.
    """

    outcome: Outcome
    dtype: str
    steps: int
    compared: int
    difference: float
    envelope: float
    step: int | None = None
    layer: int | None = None
    instead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def understood(self) -> bool:
        """Tell whether the reading is proved, for the stable prefix where the net is chaotic."""
        return self.outcome in ("agrees", "chaotic")


@dataclass(frozen=True)
class Material:
    """What both sides train on: the training split, its kinds, and the course of the run."""

    split: Split
    inputs: ArraySpec
    targets: ArraySpec
    batch_size: int
    epochs: int
    seed: int
    shuffle: bool = True

    @property
    def epoch_steps(self) -> int:
        """Return how many steps an epoch has."""
        return -(-len(self.split) // self.batch_size)

    def walks(self, reading: Reading, steps: int) -> list[Walk]:
        """Return the first `steps` steps of a run, one walk each."""
        assert reading.schedule is not None
        found: list[Walk] = []
        epoch = 0
        while len(found) < steps and epoch < self.epochs:
            order = streams.order(self.seed, epoch, len(self.split), shuffle=self.shuffle)
            rates = reading.schedule.per_step(epoch, self.epoch_steps, self.epochs, [0.0] * epoch)
            first = epoch * self.epoch_steps
            whole = Walk(order, rates, len(order), epoch, first, self.seed)
            found += [whole.part(i, i + 1, self.batch_size) for i in range(self.epoch_steps)]
            epoch += 1
        return found[:steps]

    def batches(self, walks: Sequence[Walk], reading: Reading, dtype: DType) -> Iterator[Batch]:
        """Yield the samples of `walks` as a program is given them."""
        drawn = [i for i, x in enumerate(reading.layers) if isinstance(x, layers.Dropout)]
        for walk in walks:
            assert walk.order is not None
            keys = {i: counter.keys(self.seed, walk.first_step, 1, i)[0] for i in drawn}
            ends = (walk.first_step + 1) % self.epoch_steps == 0
            inputs = self.rows(walk.order, dtype)
            yield Batch(inputs, self.split.targets[walk.order], keys, ends)

    def rows(self, order: NDArray[np.int64], dtype: DType) -> NDArray[Any]:
        """Return samples as the reference takes them: scaled where stored as 8 bits."""
        inputs = self.split.inputs[order]
        if self.inputs.dtype == "int64":
            return inputs
        inputs = inputs.astype(dtype)
        return (
            inputs * inputs.dtype.type(self.inputs.scale)
            if self.inputs.dtype == "uint8"
            else inputs
        )


class Steps:
    """The steps of the reference of a reading, twice: from its weights, and from one ulp away."""

    def __init__(self, reading: Reading, material: Material, params: Params, dtype: DType) -> None:
        from nnbench.backends.numpy import NumpyTrainer

        self.task = task_of(reading, material, dtype)
        self.frozen = {ParamKey.parse(key) for key in reading.frozen}
        start = {key: value.astype(dtype) for key, value in params.items()}
        splits = dict.fromkeys(("train", "train_eval", "test"), material.split)
        self.trainers = []
        for weights in (start, moved_by_one_ulp(start)):
            self.trainers.append(NumpyTrainer(self.task, splits))
            self.trainers[-1].load(weights)
        self.trainers[1].go_backwards(yes=True)

    def step(self, walk: Walk) -> tuple[Params, Params]:
        """Take a step; return the weights and those from one ulp away."""
        found = []
        for trainer in self.trainers:
            before = {key: trainer.params()[key] for key in self.frozen}
            trainer.train(walk)
            if before:
                state = trainer.state()
                trainer.restore(state | {str(key): value for key, value in before.items()})
            found.append(trainer.params())
        return found[0], found[1]

    def agreement(self, walk: Walk, own: Params) -> Agreement:
        """Take a step and hold the program's weights after its own against it."""
        expected, moved = self.step(walk)
        return compare(expected, moved, own, self.task.architecture.without_effect())


def task_of(reading: Reading, material: Material, dtype: DType) -> Task:
    """Return what was read as a task for the reference."""
    assert reading.loss is not None
    assert reading.optimizer is not None
    return Task(
        kind=reading.task,
        architecture=reading.architecture(),
        loss=reading.loss,
        optimizer=reading.optimizer,
        batch_size=material.batch_size,
        dtype=dtype,
        inputs=material.inputs,
        targets=material.targets,
        device="cpu",
        semantics="matched",
        execution="reference",
        threads=1,
        seed=material.seed,
    )


def steps_for(reading: Reading, material: Material) -> int:
    """Return how many steps are taken: into the second epoch where rates change with epochs."""
    most = material.epochs * material.epoch_steps
    into = material.epoch_steps + FURTHER
    constant = isinstance(reading.schedule, Constant)
    return min(most, STEPS if constant or into > MOST_STEPS else max(STEPS, into))


def prove(build: Any, room: Any, reading: Reading, material: Material) -> Proof:
    """Let what `build()` returns and the reference take the same steps, in float64 if it can be.

    `build` gives fresh objects with the same weights each time it is called.
    """
    try:
        return _proved(build(), room, reading, material, "float64")
    except UnsupportedSpec as error:
        found = _proved(build(), room, reading, material, "float32")
        return replace(found, notes=(*found.notes, f"in float32: {error}"))


def _proved(built: Any, room: Any, reading: Reading, material: Material, dtype: DType) -> Proof:
    walks = material.walks(reading, steps_for(reading, material))
    params = room.weights(built, reading)
    reference = Steps(reading, material, params, dtype)
    taken: list[Params] = []
    found: list[Agreement] = []
    size = sum(value.nbytes for value in params.values())
    batches = material.batches(walks, reading, dtype)
    with np.errstate(all="ignore"):
        own = params
        for walk, own in zip(walks, _own(room.steps(built, reading, batches, dtype)), strict=False):
            found.append(reference.agreement(walk, own))
            if len(taken) * size < KEPT_BYTES:
                taken.append(own)
            parted = verdict(found).parted
            if parted is not None and len(found) > parted + TRIED_STEPS:
                break
    judged, notes = verdict(found), _notes(reading)
    outcome: Outcome = judged.outcome
    at = found[judged.parted if judged.parted is not None else max(judged.compared, 1) - 1]
    if judged.parted is None and len(found) < len(walks):
        outcome, notes = "not proven", (*notes, f"it took {len(found)} steps")
    elif outcome == "agrees" and not _moves(params, own, at.envelope):
        outcome, notes = "not proven", (*notes, "the weights hardly move")
    proof = Proof(
        outcome, dtype, len(walks), judged.compared, at.difference, at.envelope, notes=notes
    )
    if judged.parted is None:
        return proof
    again = agreeing(reading, material, params, taken)
    return replace(proof, step=judged.parted + 1, layer=at.layer, instead=again)


def _own(steps: Iterator[Params]) -> Iterator[Params]:
    """Yield what a program's own steps come to. Raises ConfigError where one of them fails."""
    for number in itertools.count(1):
        try:
            taken = next(steps, None)
        except (UnsupportedSpec, ConfigError):
            raise
        except Exception as error:  # a user's code may fail in any way
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ConfigError(f"its own training step {number} fails: {said}") from None
        if taken is None:
            return
        yield taken


def _moves(before: Params, after: Params, envelope: float) -> bool:
    """Tell whether weights moved so far that a step in the wrong direction would have shown."""
    moved = layer_differences(before, after)
    return not max(moved.values()) <= ENOUGH * envelope


def _notes(reading: Reading) -> tuple[str, ...]:
    drops = any(isinstance(x, layers.Dropout) and x.rate for x in reading.layers)
    held = f"{len(reading.frozen)} parameters held still on both sides"
    watches = isinstance(reading.schedule, Plateau)
    said = {
        "dropout drops the same values on both sides": drops,
        held: bool(reading.frozen),
        "the rate stays as it is: no figure is watched": watches,
    }
    return tuple(text for text, is_so in said.items() if is_so)


def agreeing(
    reading: Reading, material: Material, params: Params, taken: Sequence[Params]
) -> tuple[str, ...]:
    """Return the settings of which one, changed, brings the reference to the program's steps."""
    found = []
    dtype: DType = "float64" if _is_double(taken) else "float32"
    for name, other in alternatives(reading):
        try:
            steps = Steps(other, material, params, dtype)
            way = zip(material.walks(other, len(taken)), taken, strict=False)
            with np.errstate(all="ignore"):
                agreements = [steps.agreement(walk, own) for walk, own in way]
        except Exception:
            continue
        if verdict(agreements).outcome == "agrees":
            found.append(name)
    return tuple(found)


def _is_double(taken: Sequence[Mapping[ParamKey, Any]]) -> bool:
    return all(value.dtype == np.float64 for value in taken[0].values()) if taken else True


def proof_data(proof: Proof) -> dict[str, Any]:
    """Return a proof as plain data; what is no number is None."""
    found = dataclasses.asdict(proof)
    for name in ("difference", "envelope"):
        found[name] = found[name] if np.isfinite(found[name]) else None
    return found
