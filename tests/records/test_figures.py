"""Figures held against recomputed ones: what is off is told, what rounding decides is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnbench.backends.evaluation import Evaluated
from nnbench.backends.parity import Agreement
from nnbench.records.figures import Figures, judge, judge_epochs
from nnbench.records.run import EpochRecord
from support.records import epoch

LOGITS = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0 + 1e-9]])
FOUND = Evaluated(LOGITS, 1e-6, 0.6, 1e-6, (2, 3))
KEPT = {
    "train_loss": 0.6,
    "train_accuracy": 0.5,
    "test_loss": 0.6 + 1e-7,
    "test_accuracy": 0.75,
    "val_loss": 0.6,
    "val_accuracy": 0.5,
}
SPLITS = dict.fromkeys(("train_eval", "test", "val"), FOUND)


def judged(logits: Any = LOGITS, **changed: Any) -> Figures:
    return judge(epoch(2, **(KEPT | changed)), SPLITS, {"test": logits})


def test_what_rounding_decides_is_right_and_counted() -> None:
    assert judged() == Figures((), None, dict.fromkeys(SPLITS, 1))
    assert judged(None).wrong == ()
    assert judged(LOGITS.astype(np.float32) + np.float32(1e-7)).wrong == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"test_loss": 0.5}, "test loss 0.5, right is 0.6"),
        ({"train_loss": None}, "train loss not finite, right is 0.6"),
        ({"train_loss": float("nan")}, "train loss nan, right is 0.6"),
        ({"val_loss": 0.6 + 1e-5}, "val loss 0.60001, right is 0.6"),
        ({"test_accuracy": 1.0}, "test accuracy 100.00%, right is 50.00% to 75.00%"),
        ({"train_accuracy": 0.25}, "train accuracy 25.00%, right is 50.00% to 75.00%"),
        ({"val_accuracy": None}, "val accuracy none, right is 50.00% to 75.00%"),
        ({"logits": np.roll(LOGITS, 1, axis=1)}, "test predictions of 3 samples off by up to 3"),
        ({"logits": LOGITS * np.nan}, "test predictions of 4 samples off by up to nan"),
        ({"logits": LOGITS[:3]}, "test predictions of shape (3, 2), right is (4, 2)"),
    ],
)
def test_a_wrong_figure_is_told(changed: dict[str, Any], told: str) -> None:
    (found,) = judged(**changed).wrong
    assert found.startswith(told)


def test_a_loss_that_the_weights_do_not_give_is_wrong() -> None:
    broken = Evaluated(LOGITS * np.nan, np.nan, np.nan, np.nan, (0, 0))
    kept = epoch(0, **KEPT)
    found = judge(kept, {"test": broken}, {})
    assert "test loss 0.6 where its weights give none" in found.wrong
    assert any(text.startswith("test accuracy 75.00%") for text in found.wrong)


def course(**changed: Any) -> list[EpochRecord]:
    """Return three epochs; `changed` is in the second."""
    found = [epoch(i, test_ties=1, train_ties=0) for i in range(3)]
    return [found[0], epoch(1, test_ties=1, train_ties=0, **changed), found[2]]


def epochs_judged(one_ulp: float = 1e-15, **changed: Any) -> tuple[str, ...]:
    agreements = [Agreement(0.0, one_ulp)] * 3
    samples = {"train": 1000, "test": 1000}
    return judge_epochs(course(), course(), course(**changed), agreements, samples)


def test_figures_of_other_epochs_are_held_against_the_reference() -> None:
    loss = course()[1].test_loss
    assert epochs_judged() == ()
    assert epochs_judged(test_loss=loss * (1 + 9e-14)) == ()
    assert epochs_judged(test_accuracy=0.811) == ()  # the sample that nearly ties
    (told,) = epochs_judged(test_loss=loss * (1 + 2e-13))
    assert told.startswith("test loss in epoch 2 0.3, right is 0.3")
    (told,) = epochs_judged(test_accuracy=0.812)
    assert told == "test accuracy in epoch 2 81.20% where the reference has 81.00%"
    (told,) = epochs_judged(train_accuracy=0.901)
    assert told.startswith("train accuracy in epoch 2")
    (told,) = epochs_judged(running_loss=0.2)
    assert told.startswith("running loss in epoch 2")
    (told,) = epochs_judged(test_loss=None)
    assert told.startswith("test loss in epoch 2 not finite")


def test_an_accuracy_is_not_held_against_one_that_rounding_decides() -> None:
    """A convolution's bias before batch norm, under Adam: the twin's test loss is 0.8 % off."""
    agreements, samples = [Agreement(0.0, 1e-7)] * 3, {"train": 1000, "test": 1000}
    moved, off = 0.302, {"test_loss": 0.301, "test_accuracy": 0.812}
    assert judge_epochs(course(), course(test_loss=moved), course(**off), agreements, samples) == ()
    (told,) = judge_epochs(course(), course(), course(test_accuracy=0.812), agreements, samples)
    assert told.startswith("test accuracy in epoch 2 81.20%")
    (told,) = judge_epochs(
        course(), course(test_loss=moved), course(train_accuracy=0.89), agreements, samples
    )
    assert told.startswith("train accuracy in epoch 2")


def test_what_is_chaotic_is_not_held_against_anything() -> None:
    found = judge_epochs(course(), course(), course(test_loss=9.0), [], {"test": 1000})
    assert found == ()
