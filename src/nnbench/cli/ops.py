"""`nnbench ops`: single operations side by side, on each backend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

Times = dict[str, dict[str, list[float]]]  # by backend and operation, one value per round


@click.command(
    help="Time single operations side by side: matrix product, convolution, activations, a "
    "backward pass; as in `nnbench ops --size 1000 backend=numpy,torch`."
)
@click.option("--size", default=1000, show_default=True, help="rows and columns of the matrices")
@click.option("--rounds", default=5, show_default=True, help="how often each backend's turn comes")
@click.option("--out", type=click.Path(dir_okay=False), help="where to write the times (json)")
@click.argument("overrides", nargs=-1)
def command(size: int, rounds: int, out: str | None, overrides: Sequence[str]) -> int:
    """Time the operations of each backend in turn and print them against the first."""
    from rich.console import Console

    from nnbench.cli.backends import ALL, side_by_side
    from nnbench.errors import ConfigError, ResultsError
    from nnbench.reporting.pages.operations import operations_table

    for name, value in (("--size", size), ("--rounds", rounds)):
        if value < 1:
            raise ConfigError(f"Received {name} {value}; must be at least 1.")
    cells = side_by_side(overrides, ALL)
    times = measure([cell.config for cell in cells], size, rounds)
    Console().print(operations_table(times, size, cells[0].config.dtype, cells[0].config.threads))
    if out:
        try:
            Path(out).write_text(json.dumps({"size": size, "seconds": times}, indent=1) + "\n")
        except OSError as error:
            raise ResultsError(f"Cannot write --out {out}: {error.strerror}.") from None
    return 0


def measure(configs: Sequence[Any], size: int, rounds: int) -> Times:
    """Return the seconds of every operation, the backends taking turns, a process each time.

    Raises RunFailed where a backend has no operations or fails.
    """
    from nnbench.errors import RunFailed
    from nnbench.sweeps.process import environment

    times: Times = {config.backend.label: {} for config in configs}
    for turn in range(rounds):
        for config in [*configs[turn % len(configs) :], *configs[: turn % len(configs)]]:
            module = config.backend.target.rpartition(".")[0] + ".operations"
            arguments = [module, str(size), config.dtype, str(config.threads)]
            done = subprocess.run(
                [sys.executable, "-P", "-m", "nnbench.backends.operations", *arguments],
                env=environment(config),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise RunFailed(f"backend={config.backend.name} cannot time operations: {last}")
            for name, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                times[config.backend.label].setdefault(name, []).append(seconds)
    return times


def measured_once(name: str, study: Any, overrides: Sequence[str], recorded: bool = False) -> Times:
    """Return the times of a study's operations: those on record of this program here, else new.

    `recorded`: nothing is measured; without a record there are no times.
    """
    from nnbench.cli.backends import side_by_side
    from nnbench.records import machine
    from nnbench.records.files import write_atomically

    cells = side_by_side([f"backend={','.join(study['measured'])}", *overrides], None)
    first = cells[0].config
    where = machine.describe([p for cell in cells for p in cell.config.backend.packages])
    what = {"size": study["size"], "dtype": first.dtype, "threads": first.threads}
    what |= {key: where.get(key) for key in ("source_digest", "versions", "cpu", "blas_kernel")}
    path = Path(first.results) / "operations" / f"{name}.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["what"] == what or recorded:
            return dict(known["seconds"])
    except (OSError, ValueError, KeyError):
        pass
    if recorded:
        return {}
    times = measure([cell.config for cell in cells], study["size"], rounds=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"what": what, "seconds": times}, indent=1).encode())
    return times
