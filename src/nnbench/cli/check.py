"""`nnbench check backend=NAME`: the conformance scorecard of a backend, a third party's too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

MARKS = {"passed": "pass", "failed": "FAIL", "unsupported": "  - "}


@click.command()
@click.option(
    "--layer",
    metavar="KIND=FILE:CLASS",
    help="Check a layer of your own in NumPy in place of a backend, as in dense=mine.py:Dense.",
)
@options.overrides
def command(layer: str | None, overrides: Sequence[str]) -> int:
    """Check that a backend does what every backend must, as in `nnbench check backend=torch`.

    Where one does not, and its numbers are those of a classic mistake, that is named.
    """
    from nnbench.cli.progress import Display
    from nnbench.config.composition import compose
    from nnbench.errors import ChecksFailed, ConfigError
    from nnbench.sweeps.process import complaint, run_module
    from nnbench.sweeps.session import check_packages

    config = compose(overrides).config
    backend = config.backend
    dtype = config.dtype if any(o.startswith("dtype=") for o in overrides) else "float64"
    if layer is None:
        check_packages(config)
        name, where = backend.name, f"backend._target_={backend.target}"
        how = ", ".join(filter(None, (backend.engine, backend.execution, dtype)))
        words = [backend.target, backend.execution, dtype]
    else:
        kind, own = _own(layer)
        name, where, how = own.rpartition(":")[2], own, f"{kind}, {dtype}"
        words = [own, "reference", dtype, kind]
    with Display().work(f"checking {name}") as work:
        done = run_module("nnbench.testing", words, [config], tell=work)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if error := next((each["error"] for each in said if "error" in each), None):
        raise ConfigError(error)
    results = [each for each in said if "outcome" in each]
    if done.returncode or not results:
        raise ConfigError(f"Cannot check {where}: {complaint(done)}")
    for result in results:
        detail = f": {result['detail']}" if result["detail"] else ""
        say(f"{MARKS[result['outcome']]}  {result['name']}{detail}")
    counts = Counter(result["outcome"] for result in results)
    missing = f", {counts['unsupported']} not supported" if counts["unsupported"] else ""
    say(f"{name} ({how}): {counts['passed']} of {len(results)} passed{missing}")
    _name_mistakes([each for each in said if "behaves like" in each])
    if counts["failed"]:
        raise ChecksFailed(f"{counts['failed']} checks failed.")
    return 0


def _own(layer: str) -> tuple[str, str]:
    """Return the kind of a layer and FILE:CLASS. Raises ConfigError where that is not said."""
    from nnbench.errors import ConfigError

    kind, _, own = layer.partition("=")
    file, _, name = own.rpartition(":")
    if not (kind and file and name):
        raise ConfigError(
            f"Received --layer {layer}; must be KIND=FILE:CLASS, as dense=mine.py:Dense."
        )
    return kind, f"{Path(file)}:{name}"


def _name_mistakes(named: Sequence[dict[str, Any]]) -> None:
    """Say which classic mistakes reproduce what failed, and why they are mistakes."""
    for each in named:
        of, reproduced = each["of"], each["reproduced"]
        proof = "with this mistake the reference gives the same numbers in "
        proof += "all" if reproduced == of else f"{reproduced} of the"
        proof += f" {of} nets that part" if of > 1 else f" {of} net that parts"
        proof = proof.replace("all 1 net", "the one net")
        if not of:
            proof = "seen in the weights that it builds itself"
        say(f"\nbehaves like: {each['behaves like']}")
        say(f"  ({proof})")
        for why in each["why"]:
            say(f"  {why}")
