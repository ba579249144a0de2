"""Conditions of --fail-if: what they may say, and that nothing else is ever run."""

from __future__ import annotations

import pytest

from nnbench.errors import ConfigError
from nnbench.reporting.claims.expression import holds

FIGURES = {
    "torch": {"time": 0.4, "accuracy": 0.95},
    "numpy": {"time": 0.1, "accuracy": 0.95},
    "keras fit": {"time": 2.0, "accuracy": 0.9},
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("torch.time > 1.1 * numpy.time", True),
        ("torch.time > 5 * numpy.time", False),
        ("torch.time / numpy.time >= 4 and torch.accuracy == numpy.accuracy", True),
        ("'keras fit'.time < 1 or not numpy.time < 1", False),
        ("numpy.accuracy < 96%", True),
        ("numpy.accuracy < 96% and 90 % < torch.accuracy or 0 > 1", True),
        ("numpy.accuracy - 'keras fit'.accuracy > 6 %", False),
        ("0.05 < numpy.time < 0.2", True),
        ("-numpy.time < 0", True),
        ("(torch.time + numpy.time) * 2 != 1", False),
    ],
)
def test_conditions(condition: str, expected: bool) -> None:
    assert holds(condition, FIGURES) is expected


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("", "cannot be read"),
        ("torch.time >", "cannot be read"),
        ("torch.time", "compares nothing"),
        ("tocrh.time > 1", "did you mean 'torch'"),
        ("torch.tmie > 1", "did you mean 'time'"),
        ("torch.test_accuracy > 1", "did you mean 'accuracy'"),
        ("test_accuracy > 1", "a figure is a group's, as torch.accuracy"),
        ("tst_accuracy > 1", "a figure is a group's, as torch.accuracy"),
        ("foo(3) > 1", "it may not have foo(3); it takes figures of groups (torch.time), numbers"),
        ("__import__('os').system('x') > 0", "may not have"),
        ("torch.time.__class__ > 0", "may not have"),
        ("[1][0] > 0", "may not have"),
        ("(lambda: 1)() > 0", "may not have"),
        ("torch.time ** 9 > 0", "may not have"),
        ("96 % torch.time > 0", "may not have"),
        ("torch.time.low > 0", "torch.time has no interval"),
        ("True > 0", "may not have"),
        ("'a' in 'abc'", "may not have"),
        ("torch.time > 0 > (1 and 2)", "is a number"),
        ("torch.time / 0 > 1", "divides by zero"),
        ("1 > " + "9" * 600, "cannot be read"),
        ("not torch.time", "is a number"),
    ],
)
def test_anything_else_is_refused(condition: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--fail-if") as caught:
        holds(condition, FIGURES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
