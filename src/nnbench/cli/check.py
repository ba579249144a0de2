"""`nnbench check backend=NAME`: the conformance scorecard of a backend, a third party's too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

MARKS = {"passed": "pass", "failed": "FAIL", "unsupported": "  - "}


@click.command()
@options.overrides
def command(overrides: Sequence[str]) -> int:
    """Check that a backend does what every backend must, as in `nnbench check backend=torch`."""
    from nnbench.cli.progress import Display
    from nnbench.config.composition import compose
    from nnbench.errors import ChecksFailed, ConfigError
    from nnbench.sweeps.process import complaint, run_module
    from nnbench.sweeps.session import check_packages

    config = compose(overrides).config
    check_packages(config)
    backend = config.backend
    dtype = config.dtype if any(o.startswith("dtype=") for o in overrides) else "float64"
    words = [backend.target, backend.execution, dtype]
    with Display().work(f"checking {backend.name}") as work:
        done = run_module("nnbench.testing", words, [config], tell=work)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not results:
        raise ConfigError(f"Cannot check backend._target_={backend.target}: {complaint(done)}")
    for result in results:
        detail = f": {result['detail']}" if result["detail"] else ""
        say(f"{MARKS[result['outcome']]}  {result['name']}{detail}")
    counts = Counter(result["outcome"] for result in results)
    how = ", ".join(filter(None, (backend.engine, backend.execution, dtype)))
    missing = f", {counts['unsupported']} not supported" if counts["unsupported"] else ""
    say(f"{backend.name} ({how}): {counts['passed']} of {len(results)} passed{missing}")
    if counts["failed"]:
        raise ChecksFailed(f"{counts['failed']} checks failed.")
    return 0
