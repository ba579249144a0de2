"""Single operations, timed on each backend; what `nnbench ops` runs.

A backend that takes part has a module `operations` with a function `operations(n, dtype, threads)`
that returns calls by name. `python -m nnbench.backends.operations MODULE N DTYPE THREADS` times
them and writes seconds by name as one JSON line.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

Operations = dict[str, Callable[[], Any]]

# What each name means, n the size asked for; float32 unless told otherwise.
MEANINGS = {
    "matmul": "the product of two n x n matrices",
    "relu": "of an n x n matrix",
    "sigmoid": "of an n x n matrix",
    "softmax": "of the rows of an n x n matrix",
    "dense": "n samples through a dense layer of n units with bias",
    "backward": "its gradients: weights, bias and input",
    "conv2d": "8 images of 128 x 128 x 3, 16 filters of 3 x 3",
    "max_pool2d": "2 x 2, of what the convolution gives",
}
IMAGES, FILTERS, KERNEL = (8, 128, 128, 3), 16, 3
SECONDS, SAMPLES = 0.05, 5
Dtype = Literal["float32", "float64"]


def time_all(operations: Operations) -> dict[str, float]:
    """Return the median seconds of each call, over samples of about `SECONDS`."""
    found = {}
    for name, call in operations.items():
        call()
        start = time.perf_counter()
        call()
        count = max(1, int(SECONDS / max(time.perf_counter() - start, 1e-7)))
        samples = []
        for _ in range(SAMPLES):
            start = time.perf_counter()
            for _ in range(count):
                call()
            samples.append((time.perf_counter() - start) / count)
        found[name] = statistics.median(samples)
    return found


def main(module: str, n: str, dtype: str, threads: str) -> None:
    """Time the operations of `module` and write them to standard output."""
    operations = importlib.import_module(module).operations(int(n), dtype, int(threads))
    print(json.dumps(time_all(operations)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
