"""`python -m nnbench.testing TARGET EXECUTION DTYPE [LAYER]`: check; results as JSON lines.

TARGET is a Trainer's dotted name or, where LAYER says what it stands in for, the FILE:CLASS of a
layer in NumPy.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from nnbench.errors import ConfigError, NNBenchError
from nnbench.schema import progress
from nnbench.testing import all_checks, behaves_like, checks_of_layer, result, trainer_of
from nnbench.testing.mistakes import PAGE


def main(target: str, execution: str, dtype: Any, layer: str | None = None) -> None:
    """Check what is called `target`; then say which classic mistakes it behaves like."""
    if layer is None:
        module, _, name = target.rpartition(".")
        make = getattr(importlib.import_module(module), name)
        checks = list(all_checks(make, execution, dtype).items())
    else:
        own = own_class(target)
        make = trainer_of(own, layer)
        checks = list(checks_of_layer(own, layer, dtype).items())
    results = []
    for done, (title, check) in enumerate(checks):
        say(progress.line(done, len(checks), title))
        results.append(result(title, check))
        say(json.dumps(dataclasses.asdict(results[-1])))

    def tell(done: float, total: float, what: str) -> None:
        say(progress.line(done, total, what))

    for found in behaves_like(make, execution, results, dtype, tell):
        why = [f"{each.why} ({PAGE}#{each.anchor})" for each in found.mistakes]
        counts = {"reproduced": found.reproduced, "of": found.of}
        say(json.dumps({"behaves like": found.text, "why": why, **counts}))


def own_class(target: str) -> Any:
    """Return the class of FILE:CLASS. Raises ConfigError, one line, where there is none."""
    file, _, name = target.rpartition(":")
    path = Path(file)
    spec = importlib.util.spec_from_file_location("own_layer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"Cannot read {file}: there is no such Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_layer"] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a file of the user's does
        text = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"{path.name} fails on import: {type(error).__name__}: {text}") from None
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [n for n, v in vars(module).items() if isinstance(v, type)]
        listed = f"; it has {', '.join(classes)}" if classes else ""
        raise ConfigError(f"{path.name} has no class {name}{listed}.")
    return found


def say(line: str) -> None:
    """Write a line to the process that asked."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except NNBenchError as error:
        say(json.dumps({"error": str(error)}))
        sys.exit(2)
