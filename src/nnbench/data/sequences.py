"""Made-up sequences of tokens: which of several Markov chains has written this one?"""

from __future__ import annotations

import numpy as np

from nnbench.data.config import Sequences
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload, generated
from nnbench.model import streams


def read(config: Sequences, seed: int) -> Payload:
    """Draw the samples, as many of each class; inputs int64 `(samples, length)`, tokens."""
    split_seed = seed if config.split_seed is None else config.split_seed
    rng = streams.generator(split_seed, "sequences")
    v = config.vocabulary
    chains = rng.dirichlet(np.full(v, config.concentration), (config.outputs, v)).cumsum(axis=2)
    labels = rng.permutation(np.arange(config.samples, dtype=np.int64) % config.outputs)
    tokens = np.empty((config.samples, config.length), np.int64)
    tokens[:, 0] = rng.integers(0, v, config.samples)
    for i in range(1, config.length):
        rows = chains[labels, tokens[:, i - 1]]
        drawn = rng.random((config.samples, 1))
        tokens[:, i] = np.minimum((rows < drawn).sum(axis=1), v - 1)
    return generated(config, Split(tokens, labels))
