"""The conformance kit: what every Trainer must do, one named check each.

    from nnbench.testing import check_trainer
    for result in check_trainer(MyTrainer, execution="plain"):
        print(result)

First what a Trainer must do whatever it trains (`CHECKS`); then every building block (`BLOCKS`)
and a series of random nets, each of which has to take the same steps as the NumPy reference
within the 1-ulp envelope, and give the same logits for splits of every size. A block that raises
UnsupportedSpec counts as unsupported, not as failed. `nnbench check backend=NAME` prints the
scorecard. `behaves_like` then names the classic mistakes that reproduce what failed, and
`check_layer` checks a single layer in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from nnbench.backends.parity import Agreement
from nnbench.backends.protocol import DType, TrainerFactory
from nnbench.errors import UnsupportedSpec
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.testing import random_nets
from nnbench.testing.blocks import BLOCKS
from nnbench.testing.cases import Case
from nnbench.testing.checks import CHECKS
from nnbench.testing.equality import equals_the_reference
from nnbench.testing.layer import layer_checks, trainer_of
from nnbench.testing.naming import FURTHER, Named, named, starts_the_same
from nnbench.testing.subject import Subject

__all__ = [
    "BLOCKS",
    "CHECKS",
    "IN_FLOAT32",
    "RANDOM_NETS",
    "Case",
    "CheckResult",
    "Named",
    "Subject",
    "all_cases",
    "all_checks",
    "behaves_like",
    "check_layer",
    "check_trainer",
    "checks_of_layer",
    "equals_the_reference",
    "result",
    "trainer_of",
]

RANDOM_NETS = 10
IN_FLOAT32_MARK = "float32: "
IN_FLOAT32 = ("dense", "conv2d same", "batch_norm 2d", "dropout", "adam", "adamw", "rmsprop")


@dataclass(frozen=True)
class CheckResult:
    """One line of the scorecard.

    `detail` says what was wrong, what is not supported or, of a block, how far apart weights are.
    """

    name: str
    outcome: Literal["passed", "failed", "unsupported"]
    detail: str = ""


def check_trainer(
    make: TrainerFactory, execution: str, dtype: DType = "float64"
) -> Iterator[CheckResult]:
    """Run every check on the trainers that `make` builds; yield the results as they come.

    float64 is the proof, with a few blocks in float32 after it, which runs use; `dtype` float32 is
    for backends that have nothing else.
    """
    for name, check in all_checks(make, execution, dtype).items():
        yield result(name, check)


def all_checks(
    make: TrainerFactory, execution: str, dtype: DType = "float64"
) -> dict[str, Callable[[], Agreement | None]]:
    """Return every check by its name; one that fails raises an exception."""
    subject = Subject(make, execution, dtype)
    found: dict[str, Callable[[], Agreement | None]] = {
        name.replace("_", " "): partial(check, subject) for name, check in CHECKS.items()
    }
    return found | {
        name: partial(equals_the_reference, make, execution, case)
        for name, case in all_cases(dtype).items()
    }


def all_cases(dtype: DType = "float64") -> dict[str, Case]:
    """Return every case that is compared with the reference by the name of its check."""
    cases = {name: case.of(dtype) for name, case in BLOCKS.items()}
    cases |= {f"random net {i}": random_nets.seeded(i).of(dtype) for i in range(RANDOM_NETS)}
    if dtype == "float64":
        cases |= {f"{IN_FLOAT32_MARK}{name}": BLOCKS[name].of("float32") for name in IN_FLOAT32}
    return cases


def check_layer(own: Any, kind: str, dtype: DType = "float64") -> Iterator[CheckResult]:
    """Check a class of layers in NumPy that stands in for those called `kind` (dense, relu, ...).

    See `nnbench.testing.layer`. Raises ConfigError for a kind that there is not.
    """
    for name, check in checks_of_layer(own, kind, dtype).items():
        yield result(name, check)


def checks_of_layer(
    own: Any, kind: str, dtype: DType = "float64"
) -> dict[str, Callable[[], Agreement | None]]:
    """Return every check of a layer by its name."""
    return layer_checks(own, kind, dtype, all_cases(dtype))


def behaves_like(
    make: TrainerFactory,
    execution: str,
    results: Iterable[CheckResult],
    dtype: DType = "float64",
    tell: Tell = nobody,
) -> list[Named]:
    """Return the classic mistakes that reproduce, number for number, what failed in `results`.

    None where none does: nothing is guessed. See `nnbench.testing.naming`. Of a layer, `make` is
    `trainer_of(own, kind)` and `execution` is "reference".
    """
    outcomes = {each.name: each.outcome for each in results}
    try:
        found = starts_the_same(make, execution, Subject(make, execution, dtype).case)
    except Exception:  # what does not build has failed its checks
        found = []
    if "failed" not in outcomes.values():
        return found
    cases = {n: c for n, c in all_cases(dtype).items() if not n.startswith(IN_FLOAT32_MARK)}
    failed = {n: c for n, c in cases.items() if outcomes.get(n) == "failed"}
    passed = {n: c for n, c in cases.items() if outcomes.get(n) == "passed"}
    more = {name: case.of(dtype) for name, case in FURTHER.items()}
    return found + named(make, execution, failed | more, passed, tell)


def result(name: str, check: Callable[[], Agreement | None]) -> CheckResult:
    """Run one check."""
    try:
        found = check()
    except Exception as error:  # a check that crashes has failed, and the others go on
        outcome = "unsupported" if isinstance(error, UnsupportedSpec) else "failed"
        lines = str(error).splitlines() or [type(error).__name__]
        return CheckResult(name, outcome, lines[0])  # type: ignore[arg-type]
    apart = f"{found.difference:.0e} apart, allowed {found.envelope:.0e}" if found else ""
    return CheckResult(name, "passed", apart)
