"""What nets answer: agreement and confusion of known answers, the samples that tell most."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nnbench import data
from nnbench.data.config import Mnist5k
from nnbench.records.run import RunResult
from nnbench.records.weights import PREDICTIONS_NAME, save_predictions
from nnbench.reporting.comparison.answers import (
    agreement,
    agreement_sentences,
    all_answers,
    confusion,
    read_answers,
    samples,
)
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.pages.pictures import pictures
from support.records import make_run

TARGETS = np.array([0, 1, 2, 2])


def group(folder: Path, label: str, *answers: list[int], targets: np.ndarray = TARGETS) -> Group:
    """Return a group with one run for each of `answers`; each is sure to 0.6."""
    runs = []
    for seed, given in enumerate(answers):
        run = make_run(folder / f"{label}{seed}")
        config = run.config | {"seed": seed}
        assert run.directory is not None
        run.directory.mkdir(parents=True, exist_ok=True)
        outputs = np.full((len(given), 3), 0.2)
        outputs[np.arange(len(given)), given] = 0.6
        save_predictions(run.directory / PREDICTIONS_NAME, np.log(outputs), targets, "softmax")
        tested = {**run.data, "samples": {"train": 1000, "test": len(targets)}}
        runs.append(dataclasses.replace(run, config=config, data=tested))
    return Group(label, tuple(runs), {"backend": label})


def test_agreement_and_confusion_of_known_answers(tmp_path: Path) -> None:
    groups = [
        group(tmp_path, "a", [0, 1, 2, 2], [0, 1, 2, 0]),
        group(tmp_path, "b", [0, 1, 2, 1], [0, 1, 2, 0]),
        group(tmp_path, "c", [1, 2, 0, 1]),
    ]
    answers = all_answers(groups)
    assert agreement(answers) == {("a", "b"): 0.875, ("a", "c"): 0.0, ("b", "c"): 0.25}
    assert agreement_sentences(answers) == [
        "a and b give the same answer to 87.50% of the test samples.",
        "a and c agree least: 0.00%.",
    ]
    expected = [[1, 0, 0], [0, 1, 0], [0.25, 0, 0.75]]
    np.testing.assert_allclose(confusion(answers["a"]), expected)
    first = answers["a"][0]
    np.testing.assert_allclose(first.confidence, 0.6)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    whole = group(tmp_path, "a", [0, 1, 2, 2])
    none = group(tmp_path, "b", [0, 1, 2, 2])
    directory = none.first.directory
    assert directory is not None
    (directory / PREDICTIONS_NAME).write_bytes(b"damaged")
    assert read_answers(none.first) is None
    assert list(all_answers([none, whole])) == ["a"]
    other = group(tmp_path, "c", [0, 1], targets=np.array([0, 1]))
    assert list(all_answers([whole, other])) == ["a"]
    assert agreement_sentences(all_answers([whole])) == []
    assert pictures([none], all_answers([none])) == {}
    drawn = {name: draw() for name, draw in pictures([whole], all_answers([whole])).items()}
    assert drawn["confusion"] is not None
    assert drawn["sample_predictions"] is None  # the images of this run are not to be had
    assert drawn["agreement"] is None


def with_images(each: Group, dataset: data.Dataset) -> Group:
    """Return the group as if its runs had been over `dataset`."""

    def over(run: RunResult) -> RunResult:
        config = run.config | {"data": {"name": "mnist_5k", "test_samples": 4, "split_seed": 0}}
        said = {"name": "mnist_5k", "digests": dataset.digests(), "inputs": {"shape": [28, 28]}}
        return dataclasses.replace(run, config=config, data=said)

    return dataclasses.replace(each, runs=tuple(map(over, each.runs)))


def test_samples_that_are_answered_differently_come_first(tmp_path: Path) -> None:
    config = Mnist5k(test_samples=4, split_seed=0)
    dataset = data.load(config, kind="classification", seed=0)
    groups = [
        with_images(group(tmp_path, "a", [0, 1, 2, 2]), dataset),
        with_images(group(tmp_path, "b", [0, 1, 2, 1]), dataset),
    ]
    found = samples(groups, all_answers(groups))
    assert len(found) == 4
    assert found[0].target == 2
    assert {label: answer for label, (answer, _) in found[0].answers.items()} == {"a": 2, "b": 1}
    np.testing.assert_array_equal(found[0].image, dataset.splits["test"].inputs[3])
    assert found[0].answers["a"][1] == pytest.approx(0.6)
    assert pictures(groups, all_answers(groups))["sample_predictions"]() is not None


def test_a_matrix_of_agreement_is_drawn_where_it_tells_more_than_a_sentence(tmp_path: Path) -> None:
    several = [[0, 1, 2, 2], [0, 1, 2, 2], [1, 0, 2, 2], [0, 1, 0, 0]]
    groups = [group(tmp_path, f"g{i}", given) for i, given in enumerate(several)]
    drawn = pictures(groups, all_answers(groups))["agreement"]()
    assert drawn is not None
    (axes,) = drawn.figure.axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["g0 and 1 more", "g2", "g3"]
    assert "share a row" in drawn.caption
    equal = [group(tmp_path, f"e{i}", several[0]) for i in range(4)]
    answers = all_answers(equal)
    assert pictures(equal, answers)["agreement"]() is None
    assert agreement_sentences(answers) == [
        "Any two of the 4 groups answer all of the test samples alike."
    ]
