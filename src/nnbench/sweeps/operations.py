"""Single operations side by side, on each backend: the seconds that they take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnbench.config.run import RunConfig
from nnbench.errors import ConfigError, RunFailed
from nnbench.records import machine, source
from nnbench.records.files import write_atomically
from nnbench.schema import read
from nnbench.schema.files import Damage, content, json_object
from nnbench.sweeps.process import complaint, run_module
from nnbench.sweeps.side_by_side import side_by_side

Times = dict[str, dict[str, list[float]]]  # by backend and operation, one value per round
ROUNDS = 5


@dataclass(frozen=True)
class _Known:
    """Times on record, and `what` was measured where."""

    what: dict[str, Any]
    seconds: Times


def measure(configs: Sequence[RunConfig], size: int, rounds: int = ROUNDS) -> Times:
    """Return the seconds of every operation, the backends taking turns, a process each time.

    Raises RunFailed where a backend has no operations or fails.
    """
    times: Times = {config.backend.label: {} for config in configs}
    for turn in range(rounds):
        for config in [*configs[turn % len(configs) :], *configs[: turn % len(configs)]]:
            module = config.backend.target.rpartition(".")[0] + ".operations"
            words = [module, str(size), config.dtype, str(config.threads)]
            done = run_module("nnbench.backends.operations", words, [config])
            if done.returncode:
                raise RunFailed(
                    f"backend={config.backend.name} cannot time operations: {complaint(done)}"
                )
            for name, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                times[config.backend.label].setdefault(name, []).append(seconds)
    return times


def measured_once(
    name: str, study: Mapping[str, Any], overrides: Sequence[str], recorded: bool = False
) -> Times:
    """Return the times of a study's operations: those on record of this program here, else new.

    `recorded`: nothing is measured; without a record there are no times.
    """
    cells = side_by_side([f"backend={','.join(study['measured'])}", *overrides], None)
    first = cells[0].config
    where = machine.describe([p for cell in cells for p in cell.config.backend.packages])
    what = {"size": study["size"], "dtype": first.dtype, "threads": first.threads}
    what |= {key: where.get(key) for key in ("versions", "cpu", "blas_kernel")}
    what["source"] = source.package_digest()  # of every backend at once
    path = Path(first.results) / "operations" / f"{name}.json"
    try:
        known = read(_Known, json_object(content(path)))
        if known.what == what or recorded:
            return known.seconds
    except (OSError, Damage, ConfigError):
        pass
    if recorded:
        return {}
    times = measure([cell.config for cell in cells], study["size"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"what": what, "seconds": times}, indent=1).encode())
    return times
