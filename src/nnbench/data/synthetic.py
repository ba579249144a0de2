"""Made-up data of any size: Gaussian clusters to classify, a noisy teacher net to regress."""

from __future__ import annotations

import numpy as np

from nnbench.data.config import Synthetic
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload, generated
from nnbench.errors import ConfigError
from nnbench.model import streams
from nnbench.model.losses import TaskKind

TEACHER_UNITS = 16


def read(config: Synthetic, kind: TaskKind, seed: int) -> Payload:
    """Draw the samples; inputs float64 `(samples, features)`.

    Raises ConfigError where there are too few classes, or fewer than two samples of each.
    """
    split_seed = seed if config.split_seed is None else config.split_seed
    rng = streams.generator(split_seed, "synthetic", kind)
    draw = _clusters if kind == "classification" else _teacher
    return generated(config, draw(config, rng))


def _clusters(config: Synthetic, rng: np.random.Generator) -> Split:
    """Draw as many samples of each class: `x = center[class] + noise * N(0, 1)`.

    Centers are N(0, 1) in every feature.
    """
    if config.outputs < 2:
        raise ConfigError(
            f"Received data.outputs={config.outputs}; task=classification needs at least 2 classes."
        )
    if config.samples < 2 * config.outputs:
        raise ConfigError(
            f"Received data.samples={config.samples}; must be at least {2 * config.outputs}, two "
            f"for each of data.outputs={config.outputs} classes."
        )
    centers = rng.standard_normal((config.outputs, config.features))
    labels = rng.permutation(np.arange(config.samples, dtype=np.int64) % config.outputs)
    spread = rng.standard_normal((config.samples, config.features))
    return Split(centers[labels] + config.noise * spread, labels)


def _teacher(config: Synthetic, rng: np.random.Generator) -> Split:
    """Draw `y = tanh(x @ first) @ second + noise * N(0, 1)` for x of N(0, 1).

    The teacher's weights are N(0, 1/fan_in); targets float64 `(samples, outputs)`.
    """
    first = rng.standard_normal((config.features, TEACHER_UNITS)) / np.sqrt(config.features)
    second = rng.standard_normal((TEACHER_UNITS, config.outputs)) / np.sqrt(TEACHER_UNITS)
    inputs = rng.standard_normal((config.samples, config.features))
    noise = rng.standard_normal((config.samples, config.outputs))
    targets = np.tanh(inputs @ first) @ second + config.noise * noise
    # BLAS kernels and thread counts differ in the last bits; the digest must not.
    return Split(inputs, targets.round(9))
