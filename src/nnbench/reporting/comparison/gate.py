"""Conditions for continuous integration, `--fail-if "torch.time > 1.1 * numpy.time"`."""

from __future__ import annotations

from nnbench.errors import ConfigError
from nnbench.reporting.claims.expression import Figures, evaluate

WHAT = "--fail-if"


def holds(condition: str, figures: Figures) -> bool:
    """Tell whether `condition` is true of `figures`, the medians over seeds by group.

    Raises ConfigError for anything that the grammar does not have, and for what is no condition.
    """
    found = evaluate(condition, figures, WHAT)
    if not isinstance(found, bool):
        raise ConfigError(f"Received {WHAT} {condition!r}; it compares nothing.")
    return found
