"""Made-up data: Gaussian clusters to classify, a noisy random teacher net to regress."""

from __future__ import annotations

import numpy as np

from nnbench.data import cache
from nnbench.data.config import Synthetic
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import ConfigError
from nnbench.spec import TaskKind
from nnbench.streams import generator


def load(config: Synthetic, kind: TaskKind, split_seed: int) -> Raw:
    """Return `samples` of `features`, float64.

    Classification: `outputs` cluster centres from N(0, 1), samples `noise` times N(0, 1) around
    them. Regression: `tanh(x A) B` of `outputs` values, with `noise` times N(0, 1) added.
    """
    rng = generator(split_seed, "synthetic", kind)
    n, k = config.samples, config.outputs
    targets: np.ndarray
    if kind == "classification":
        if k < 2:
            raise ConfigError(
                f"Received data.outputs={k}; task=classification needs two classes or more."
            )
        targets = np.arange(n, dtype=np.int64) % k
        centres = rng.standard_normal((k, config.features))
        inputs = centres[targets] + config.noise * rng.standard_normal((n, config.features))
    else:
        inputs = rng.standard_normal((n, config.features))
        first = rng.standard_normal((config.features, 16)) / np.sqrt(config.features)
        second = rng.standard_normal((16, k)) / 4.0
        targets = np.tanh(inputs @ first) @ second + config.noise * rng.standard_normal((n, k))
    digest = cache.digest(inputs, targets)
    return Raw("synthetic", Split(inputs, targets), None, digest, 1.0, config.test_fraction)


def available() -> tuple[bool, str]:
    """Made on the spot."""
    return True, "made on the spot"
