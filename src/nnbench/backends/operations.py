"""Single operations, timed on each backend; what `nnbench ops` runs.

A backend that takes part has a module `operations` with a function `operations(n, dtype, threads)`
that returns calls by name, and perhaps `facts()`, which returns figures by name. `python -m
nnbench.backends.operations MODULE N DTYPE THREADS` times them and writes all as one JSON line.
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
    "conv2d_small": "an image of 32 x 32 x 3, 16 filters of 3 x 3",
    "max_pool2d": "2 x 2, of what conv2d gives",
}
IMAGES, SMALL_IMAGE, FILTERS, KERNEL = (8, 128, 128, 3), (32, 32, 3), 16, 3
# What a module's `facts()` may say of a framework that claims it; studies use it beside times.
FACTS = {
    **{f"{name}_that_work": f"rows of the table of {name} that give PyTorch's result"
       for name in ("creation", "operations", "layers", "losses", "optimizers")},
    "training_loop": "1 where the documented loop trains",
    "migration": "1 where the migrated example trains, on one-hot rows",
    "migration_with_labels": "1 where it trains on labels, as the PyTorch original does",
    "lacked_after_all": "things said to be lacking that are there",
    "autograd_lines": "lines of the autograd engine, neither blank nor comment",
    "requirements": "packages that installing it installs too",
    "separate_criterion": "1 where the loss is a function of its own beside net and optimizer",
    "dynamic_graph": "1 where a result knows what it was computed from, for backward to walk",
    "one_step_to_float64": "1 where a float32 step makes the weights float64",
}  # fmt: skip
SECONDS, SAMPLES = 0.05, 5
Dtype = Literal["float32", "float64"]


def time_all(operations: Operations, threads: int = 1) -> dict[str, float]:
    """Return the median seconds of each call, over samples of about `SECONDS`.

    With one thread they are the processor's, which other processes do not lengthen; else those
    that passed.
    """
    found = {}
    clock = time.process_time if threads == 1 else time.perf_counter
    for name, call in operations.items():
        call()
        start = clock()
        call()
        count = max(1, int(SECONDS / max(clock() - start, 1e-7)))
        samples = []
        for _ in range(SAMPLES):
            start = clock()
            for _ in range(count):
                call()
            samples.append((clock() - start) / count)
        found[name] = statistics.median(samples)
    return found


def main(module: str, n: str = "0", dtype: str = "float32", threads: str = "1") -> None:
    """Time the operations of `module` and write them, with its facts, to standard output.

    Of size 0 there is nothing to time: the facts alone.
    """
    found = importlib.import_module(module)
    facts = found.facts() if hasattr(found, "facts") else {}
    called = found.operations(int(n), dtype, int(threads)) if int(n) else {}
    times = time_all(called, int(threads))
    print(json.dumps(times | facts))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
