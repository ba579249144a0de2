"""Everything that the author of a backend imports; the rest of nnbench may change at any time.

    from nnbench.extend import Dense, ParamKey, Task, TrainStats, UnsupportedSpec, Walk

A backend is a class that meets `Trainer` and a YAML file that names it; docs/backends.md shows a
complete one. `nnbench.testing` checks it. Frameworks are imported by the backend alone.
"""

from __future__ import annotations

# The protocol: what nnbench calls, and what it hands over.
from nnbench.backends.arrays import (
    input_array,  # a split's inputs, scaled and shaped, in the task's dtype
    target_array,  # a split's targets as the loss needs them
)
from nnbench.backends.operations import Operations  # what `operations()` returns: calls by name
from nnbench.backends.protocol import (
    Chooser,  # optional: a Trainer with `choices`, written into the record
    Params,  # weights by ParamKey, canonical layout
    Profiler,  # optional: a Trainer with `profile`, for `nnbench profile`
    ProfileRow,  # one operation's time per step
    State,  # what a checkpoint holds: arrays by name
    StepTrace,  # one step taken apart
    Task,  # what to train, in neutral terms
    Tracer,  # optional: a Trainer with `trace`, for `nnbench trace`
    Trainer,  # what a backend has to be
    TrainerFactory,  # what `_target_` names: (task, splits) -> Trainer
    TrainStats,  # the sum of the losses of an epoch or a part of it
    Walk,  # the order of the samples, with one learning rate per step
    with_between,  # add the time between operations to the rows of a profile
)
from nnbench.data.dataset import (
    ArraySpec,  # shape, dtype and scale of one sample
    Split,  # inputs and targets of train, val or test
)
from nnbench.errors import UnsupportedSpec  # the honest answer to what a backend does not have

# The description: each docstring has the one formula that every backend computes.
from nnbench.model import (
    counter,  # random bits of (seed, step, layer, position): dropout, augmentation
    layers,  # Conv2d, BatchNorm, Dropout, Embedding, ...
    losses,  # mse, bce, cross_entropy, l1 and their reductions
    metrics,  # sigmoid, softmax, losses per sample, accuracy, in float64
    optimizers,  # SGD, Adam, AdamW, RMSprop, Adagrad
    streams,  # NumPy generators of (seed, name): initial weights, orders
)
from nnbench.model.formulas import (
    documented,  # a layer or an optimizer with the documented value wherever it has none
)
from nnbench.model.init import (
    Glorot,  # variance 2 / (fan_in + fan_out)
    He,  # variance 2 / fan_in
    KerasDefault,  # what Keras' layers draw
    Normal,  # a normal distribution of a given scale
    TorchDefault,  # what PyTorch's layers draw
    Uniform,  # a uniform distribution of given bounds
    initial_params,  # the weights that an initializer draws for a net
)
from nnbench.model.layers import Activation, Augment, Conv2d, Dense, Flatten, Layer  # the commonest
from nnbench.model.losses import Loss  # a loss and its two reductions
from nnbench.model.network import (
    Architecture,  # the layers, the input's shape, the output activation
    ParamKey,  # the address of a weight: (layer, role)
)
from nnbench.model.optimizers import SGD, Adam, AdamW, Optimizer  # the commonest update rules

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Architecture",
    "ArraySpec",
    "Augment",
    "Chooser",
    "Conv2d",
    "Dense",
    "Flatten",
    "Glorot",
    "He",
    "KerasDefault",
    "Layer",
    "Loss",
    "Normal",
    "Operations",
    "Optimizer",
    "ParamKey",
    "Params",
    "ProfileRow",
    "Profiler",
    "Split",
    "State",
    "StepTrace",
    "Task",
    "TorchDefault",
    "Tracer",
    "TrainStats",
    "Trainer",
    "TrainerFactory",
    "Uniform",
    "UnsupportedSpec",
    "Walk",
    "counter",
    "documented",
    "initial_params",
    "input_array",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "streams",
    "target_array",
    "with_between",
]
