"""Verdicts of two groups from records: what they rest on, and what they say they are about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnbench import data
from nnbench.data.config import Mnist5k
from nnbench.records import recomputed
from nnbench.records.run import RunResult
from nnbench.records.weights import PREDICTIONS_NAME, save_predictions
from nnbench.reporting.comparison.content import build
from nnbench.reporting.comparison.tested import read_tested, scored
from support.records import epoch, make_run

TARGETS = np.random.default_rng(0).integers(0, 10, 1000)
BASE = np.arange(1000) >= 100  # right but for the first hundred
Right = NDArray[np.bool_]


def logits_of(right: Right, targets: NDArray[Any]) -> NDArray[np.float64]:
    return 5.0 * np.eye(10)[np.where(right, targets, (targets + 1) % 10)]


def runs(
    folder: Path, backend: str, right: Sequence[Right], *, first: int = 0, factor: float = 1.0,
    epochs: int = 3, targets: NDArray[Any] = TARGETS,
) -> list[RunResult]:  # fmt: skip
    """Return a run for each of `right`, with seeds from `first`, and its predictions."""
    found = []
    for seed, each in enumerate(right, start=first):
        base = make_run(folder / f"{backend}{seed}")
        assert base.directory is not None
        logits = logits_of(each, targets)
        save_predictions(base.directory / PREDICTIONS_NAME, logits, targets, "softmax")
        config = base.config | {"seed": seed, "case": None}
        config["backend"] = config["backend"] | {"name": backend}
        seconds = factor * (1 + 0.01 * (7 * seed % 5))
        records = tuple(
            epoch(i, train_seconds=seconds, test_accuracy=float(each.mean())) for i in range(epochs)
        )
        found.append(
            dataclasses.replace(base, config=config, epochs=records, kept_epoch=epochs - 1)
        )
    return found


def verdict(*groups: list[RunResult]) -> str:
    (found,) = build([run for group in groups for run in group]).verdicts
    return found


def with_more(n: int, skip: int = 0) -> Right:
    """Return BASE with `n` more right."""
    more = BASE.copy()
    more[skip : skip + n] = True
    return more


def test_three_seeds_with_one_sample_more_decide_nothing(tmp_path: Path) -> None:
    more = [with_more(1, skip) for skip in range(3)]
    found = verdict(runs(tmp_path, "numpy", [BASE] * 3), runs(tmp_path, "torch", more))
    assert "no significant difference in test accuracy (-0." in found
    assert "; 3 seeds, 1,000 test samples; figures not checked)" in found


def test_what_is_there_is_found(tmp_path: Path) -> None:
    found = verdict(
        runs(tmp_path, "numpy", [BASE] * 3), runs(tmp_path, "torch", [with_more(40)] * 3)
    )
    assert "test accuracy higher by 4.00 points (+2." in found


def test_one_seed_says_nothing_about_others(tmp_path: Path) -> None:
    found = verdict(runs(tmp_path, "numpy", [BASE]), runs(tmp_path, "torch", [with_more(40)]))
    assert "too few seeds to tell (1 pair; 3 are needed)" in found
    assert "1 seed, 1,000 test samples; one seed: says nothing about other seeds" in found


def test_logits_that_were_recomputed_count(tmp_path: Path) -> None:
    """A backend that says it is 90 points better, and weights that say it is not."""
    numpy, torch = runs(tmp_path, "numpy", [~BASE] * 3), runs(tmp_path, "torch", [BASE] * 3)
    for run in (*numpy, *torch):
        assert run.directory is not None
        recomputed.save(run.directory, {"test": logits_of(~BASE, TARGETS)})
    found = verdict(numpy, torch)
    assert "no significant difference in test accuracy" in found
    assert "not checked" not in found
    assert numpy[0].directory is not None
    (numpy[0].directory / recomputed.RECOMPUTED_NAME).unlink()
    assert "figures not checked" in verdict(numpy, torch)
    recomputed.save(numpy[0].directory, {"test": logits_of(~BASE, TARGETS)[:7]})
    assert "figures not checked" in verdict(numpy, torch)


def test_without_predictions_samples_are_taken_as_independent(tmp_path: Path) -> None:
    numpy, torch = runs(tmp_path, "numpy", [BASE] * 3), runs(tmp_path, "torch", [with_more(15)] * 3)
    assert "test accuracy higher by 1.50 points" in verdict(numpy, torch)
    for run in torch:
        assert run.directory is not None
        (run.directory / PREDICTIONS_NAME).write_bytes(b"damaged")
    found = verdict(numpy, torch)
    assert "no significant difference in test accuracy" in found
    assert "predictions not recorded, samples taken as independent" in found


def test_twelve_groups_are_one_family(tmp_path: Path) -> None:
    groups = [runs(tmp_path, f"b{i:02}", [with_more(7 if i == 11 else 0)]) for i in range(12)]
    alone = build([*groups[0], *groups[11]]).verdicts
    assert "test accuracy higher by 0.70 points" in alone[0]
    among = build([run for group in groups for run in group]).verdicts
    assert len(among) == 11
    assert not any("higher" in each for each in among)
    assert "one of 11 comparisons" in among[0]


def test_two_shared_seeds_of_five_decide(tmp_path: Path) -> None:
    found = verdict(
        runs(tmp_path, "numpy", [BASE] * 5),
        runs(tmp_path, "torch", [BASE] * 5, first=3, factor=2.0),
    )
    assert "2.00 times as slow" in found
    assert "5 and 5 unpaired runs, 2 seeds in common" in found
    assert "5 and 5 seeds, 1,000 test samples" in found


def test_a_single_epoch_is_said_beside_the_verdict(tmp_path: Path) -> None:
    numpy = runs(tmp_path, "numpy", [BASE] * 3, epochs=1)
    assert "3 pairs), by times of a single epoch, warm-up included" in verdict(
        numpy, runs(tmp_path, "torch", [BASE] * 3, epochs=1)
    )
    longer = runs(tmp_path / "x", "numpy", [BASE] * 3)
    assert "warm-up" not in verdict(longer, runs(tmp_path / "x", "torch", [BASE] * 3))


def test_the_ratio_of_the_rows_is_told_where_it_is_another(tmp_path: Path) -> None:
    numpy = runs(tmp_path, "numpy", [BASE] * 4)
    torch = runs(tmp_path, "torch", [BASE] * 3, factor=2.0)
    torch += runs(tmp_path, "torch", [BASE], first=3, factor=3.0)
    report = build([*numpy, *torch])
    rows = report.tables[0].rows
    assert rows[0].epoch is not None
    assert rows[1].epoch is not None
    ratio = rows[1].epoch / rows[0].epoch
    assert f"(the table's rows, medians over all seeds, give {ratio:.2f})" in report.verdicts[0]
    (other,) = build([*numpy, *torch], baseline="torch").verdicts
    assert f"give {ratio:.2f})" in other or "undecided" in other
    same = verdict(
        runs(tmp_path / "x", "numpy", [BASE] * 3), runs(tmp_path / "x", "torch", [BASE] * 3)
    )
    assert "the table's rows" not in same


def regression(folder: Path, backend: str, error: float, seeds: int = 3) -> list[RunResult]:
    """Return runs that miss the targets by about `error`."""
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(400, 2))
    found = []
    for run in runs(folder, backend, [BASE] * seeds):
        assert run.directory is not None
        logits = targets + rng.normal(0.0, error, targets.shape)
        save_predictions(run.directory / PREDICTIONS_NAME, logits, targets, "linear")
        records = tuple(dataclasses.replace(e, test_accuracy=None) for e in run.epochs)
        loss = {"name": "mse", "over_outputs": "mean", "over_batch": "mean"}
        config = run.config | {"task": "regression", "loss": loss}
        tested = {**run.data, "samples": {"train": 1000, "test": len(targets)}}
        found.append(dataclasses.replace(run, epochs=records, config=config, data=tested))
    return found


def test_regressions_differ_in_loss(tmp_path: Path) -> None:
    numpy = regression(tmp_path, "numpy", 0.1)
    found = verdict(numpy, regression(tmp_path, "torch", 0.15))
    assert "test loss higher by 0.0" in found
    assert "400 test samples" in found
    equal = verdict(numpy, regression(tmp_path / "x", "torch", 0.1))
    assert "no significant difference in test loss" in equal


@pytest.mark.parametrize("normalize", ["unit", "standard"])
def test_samples_of_other_splits_go_by_their_content(tmp_path: Path, normalize: Any) -> None:
    config = Mnist5k(normalize=normalize)
    numpy = []
    for seed in range(3):
        dataset = data.load(config, kind="classification", seed=seed)
        (run,) = runs(tmp_path, "numpy", [BASE], first=seed, targets=dataset.splits["test"].targets)
        values = {"name": "mnist_5k", "normalize": normalize}
        said = {**run.data, "digests": dataset.digests()}
        numpy.append(dataclasses.replace(run, data=said, config=run.config | {"data": values}))
    (found,) = scored([dict(enumerate(numpy))])
    assert found is not None
    names = [set(each.samples.tolist()) for each in found.by_seed.values()]
    assert all(each.certain for each in found.by_seed.values())
    assert 150 < len(names[0] & names[1]) < 250  # a fifth of 1,000 of 5,000
    lost = [dataclasses.replace(run, data=run.data | {"digests": {"test": str(i)}})
            for i, run in enumerate(numpy)]  # fmt: skip
    (found,) = scored([dict(enumerate(lost))])
    assert found is not None
    assert not any(each.certain for each in found.by_seed.values())


def test_logits_that_are_no_numbers_are_no_answers(tmp_path: Path) -> None:
    (run,) = runs(tmp_path, "numpy", [BASE])
    assert run.directory is not None
    logits = logits_of(BASE, np.zeros(1000, dtype=np.int64))
    logits[:500] = np.nan
    save_predictions(run.directory / PREDICTIONS_NAME, logits, np.zeros(1000, np.int64), "softmax")
    (found,) = scored([{0: run}])
    assert found is not None
    assert found.by_seed[0].values.sum() == 500


@pytest.mark.parametrize(
    "arrays",
    [
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 3)), "targets": np.full(4, 7)},
        {
            "logits": np.zeros((4, 3)),
            "outputs": np.zeros((4, 3)),
            "targets": np.array([-1, 0, 0, 0]),
        },
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 3)), "targets": np.zeros(3, int)},
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 2)), "targets": np.zeros(4, int)},
        {"logits": np.zeros(4), "outputs": np.zeros((4, 3)), "targets": np.zeros(4, int)},
        {"logits": np.zeros((4, 3), int), "outputs": np.zeros((4, 3)), "targets": np.zeros(4, int)},
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 3)), "targets": np.array(["a"] * 4)},
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 3)), "targets": np.zeros(4)},
        {"logits": np.zeros((0, 3)), "outputs": np.zeros((0, 3)), "targets": np.zeros(0, int)},
        {"logits": np.zeros((4, 3)), "outputs": np.zeros((4, 3))},
    ],
)
def test_damaged_predictions_are_none(tmp_path: Path, arrays: dict[str, Any]) -> None:
    run = make_run(tmp_path / "r")
    assert run.directory is not None
    np.savez(run.directory / PREDICTIONS_NAME, **arrays)
    assert read_tested(run) is None
