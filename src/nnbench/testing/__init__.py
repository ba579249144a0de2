"""The conformance kit: what every Trainer must do, one named check each.

    from nnbench.testing import check_trainer
    for result in check_trainer(MyTrainer, execution="plain"):
        print(result)

A check builds small float64 trainers, compares with the NumPy reference where equality is asked
for, and fails with a sentence. `nnbench check backend=NAME` prints the scorecard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nnbench.testing.checks import CHECKS
from nnbench.testing.subject import Subject
from nnbench.trainer import TrainerFactory

__all__ = ["CHECKS", "CheckResult", "Subject", "check_trainer"]


@dataclass(frozen=True)
class CheckResult:
    """One line of the scorecard; `detail` says what was wrong."""

    name: str
    passed: bool
    detail: str = ""


def check_trainer(make: TrainerFactory, execution: str) -> Iterator[CheckResult]:
    """Run every check on the trainers that `make` builds; yield the results as they come."""
    subject = Subject(make, execution)
    for name, check in CHECKS.items():
        try:
            check(subject)
        except Exception as error:  # a check that crashes has failed, and the others go on
            lines = str(error).splitlines() or [type(error).__name__]
            yield CheckResult(name, False, lines[0])
        else:
            yield CheckResult(name, True)
