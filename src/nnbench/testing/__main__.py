"""`python -m nnbench.testing TARGET EXECUTION DTYPE`: check a Trainer; results as JSON lines."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from typing import Any

from nnbench.testing import check_trainer


def main(target: str, execution: str, dtype: Any) -> None:
    """Check the Trainer called `target` (dotted)."""
    module, _, name = target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    for result in check_trainer(make, execution, dtype):
        sys.stdout.write(json.dumps(dataclasses.asdict(result)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
