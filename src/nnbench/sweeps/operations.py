"""Single operations side by side, on each backend: the seconds that they take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose
from nnbench.config.run import RunConfig
from nnbench.errors import ConfigError, MissingPackage, RunFailed
from nnbench.records import machine, source
from nnbench.records.files import write_atomically
from nnbench.schema import read
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import Damage, content, json_object
from nnbench.schema.progress import Tell, counted, nobody
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.process import complaint, run_module
from nnbench.sweeps.session import check_packages

Times = dict[str, dict[str, list[float]]]  # by backend or name and operation, one value per round
ROUNDS = 5


@dataclass(frozen=True)
class _Known:
    """Times on record, and `what` was measured where."""

    what: dict[str, Any]
    seconds: Times


def measure(
    configs: Mapping[str, RunConfig], size: int, rounds: int = ROUNDS, tell: Tell = nobody
) -> Times:
    """Return the seconds of every operation by name, taking turns, a process each time.

    Raises RunFailed where a backend has no operations or fails.
    """
    times: Times = {name: {} for name in configs}
    order = list(configs.items())
    starts = [turn % max(len(order), 1) for turn in range(rounds)]
    turns = [each for start in starts for each in (*order[start:], *order[:start])]
    for label, config in counted(turns, tell, f"{rounds} rounds, timing"):
        module = config.backend.target.rpartition(".")[0] + ".operations"
        words = [module, str(size), config.dtype, str(config.threads)]
        done = run_module("nnbench.backends.operations", words, [config])
        if done.returncode:
            raise RunFailed(
                f"backend={config.backend.name} cannot time operations: {complaint(done)}"
            )
        for name, seconds in json.loads(done.stdout.splitlines()[-1]).items():
            times[label].setdefault(name, []).append(seconds)
    return times


def facts(backend: str) -> dict[str, float]:
    """Return the facts of a backend by name. Raises MissingPackage where it is not installed."""
    config = compose([f"backend={backend}"]).config
    check_packages(config)
    module = config.backend.target.rpartition(".")[0] + ".operations"
    done = run_module("nnbench.backends.operations", [module], [config])
    if done.returncode:
        raise RunFailed(f"backend={backend} has no facts: {complaint(done)}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured_once(
    name: str,
    study: Mapping[str, Any],
    overrides: Sequence[str],
    recorded: bool = False,
    observer: Observer | None = None,
) -> tuple[Times, dict[str, str]]:
    """Return the times of a study's operations: those on record of this program here, else new.

    And of what is not installed, by name, the reason. `recorded`: nothing is measured; without a
    record there are no times.
    """
    configs: dict[str, RunConfig] = {}
    lacking: dict[str, str] = {}
    for label, values in study["measured"].items():
        config = compose([*(f"{key}={value}" for key, value in values.items()), *overrides]).config
        try:
            check_packages(config)
        except MissingPackage as error:
            lacking[label] = str(error)
        else:
            configs[label] = config
    path = Path(config.results) / "operations" / f"{name}.json"
    known = _record(path)
    if recorded or not configs:
        return known.seconds if recorded and known else {}, {} if recorded else lacking
    what = _what(configs, study["size"])
    if known and known.what == what:
        return known.seconds, lacking
    with (observer or Observer()).work(name) as work:
        times = measure(configs, study["size"], tell=work)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"what": what, "seconds": times}, indent=1).encode())
    return times, lacking


def _record(path: Path) -> _Known | None:
    """Return what is on record, None where nothing is that can be read."""
    try:
        return read(_Known, json_object(content(path)))
    except (OSError, Damage, ConfigError):
        return None


def _what(configs: Mapping[str, RunConfig], size: int) -> dict[str, Any]:
    """Return what the times depend on."""
    where = machine.describe([p for config in configs.values() for p in config.backend.packages])
    return {
        "size": size,
        "configs": {name: [c.backend.label, c.dtype, c.threads] for name, c in configs.items()},
        "source": source.package_digest(),  # of every backend at once
        **{key: where.get(key) for key in ("versions", "cpu", "blas_kernel")},
    }
