"""`python -m nnbench.testing TARGET EXECUTION DTYPE`: check a Trainer; results as JSON lines."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from typing import Any

from nnbench.schema import progress
from nnbench.testing import all_checks, result


def main(target: str, execution: str, dtype: Any) -> None:
    """Check the Trainer called `target` (dotted)."""
    module, _, name = target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    checks = list(all_checks(make, execution, dtype).items())
    for done, (title, check) in enumerate(checks):
        say(progress.line(done, len(checks), title))
        say(json.dumps(dataclasses.asdict(result(title, check))))


def say(line: str) -> None:
    """Write a line to the process that asked."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
