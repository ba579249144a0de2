"""Learning rates against PyTorch's schedulers and closed forms; what is best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.model.schedule import (
    Constant,
    Cosine,
    Exponential,
    Listed,
    OneCycle,
    Phases,
    Plateau,
    Schedule,
    Step,
    Warmup,
)
from nnbench.model.selection import EarlyStopping, Watch
from nnbench.records.flags import of_config

STEPS, EPOCHS = 7, 10


def all_rates(schedule: Schedule, scores: list[float] | None = None) -> np.ndarray:
    """Return the rates of every step of a run."""
    return np.concatenate(
        [schedule.per_step(epoch, STEPS, EPOCHS, (scores or [])[:epoch]) for epoch in range(EPOCHS)]
    )


def torchs(make: Callable[[Any, Any], Any], by: str, scores: list[float] | None = None) -> Any:
    """Return the rates of every step of a run with a scheduler of torch."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for epoch in range(EPOCHS):
        for step in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if by == "step" and (epoch, step) != (EPOCHS - 1, STEPS - 1):
                scheduler.step()
        if by == "epoch":
            scheduler.step(*([scores[epoch]] if scores else []))
    return rates


@pytest.mark.parametrize(
    ("schedule", "make", "by"),
    [
        (Step(0.2, 3, 0.5), lambda lib, o: lib.StepLR(o, 3, 0.5), "epoch"),
        (Exponential(0.2, 0.9), lambda lib, o: lib.ExponentialLR(o, 0.9), "epoch"),
        (Cosine(0.2, 0.01), lambda lib, o: lib.CosineAnnealingLR(o, 70, 0.01), "step"),
        (
            OneCycle(0.2),
            lambda lib, o: lib.OneCycleLR(o, 0.2, total_steps=70, cycle_momentum=False),
            "step",
        ),
        (
            OneCycle(0.2, 0.5, 10.0, 100.0),
            lambda lib, o: lib.OneCycleLR(
                o,
                0.2,
                total_steps=70,
                pct_start=0.5,
                div_factor=10.0,
                final_div_factor=100.0,
                cycle_momentum=False,
            ),
            "step",
        ),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_rates_are_those_of_pytorch(schedule: Schedule, make: Any, by: str) -> None:
    expected, found = torchs(make, by), all_rates(schedule)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert abs(np.roll(expected, 7) - found).max() > 1e-4  # an epoch too late would be seen


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 3, 11])
def test_one_cycle_of_few_steps_is_that_of_pytorch(share: float, steps: int) -> None:
    if share * steps == 1.0:
        pytest.skip("PyTorch divides by zero: its rise has no length")
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=steps, pct_start=share, cycle_momentum=False
    )
    expected = []
    for step in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()
    found = OneCycle(0.1, share).per_step(0, steps, 1, ())
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_plateau_leaves_a_rate_that_would_hardly_change_as_pytorch_does() -> None:
    scores = [1.0] * EPOCHS
    expected = torchs(
        lambda lib, o: lib.ReduceLROnPlateau(o, factor=1e-3, patience=0), "epoch", scores
    )
    found = all_rates(Plateau(0.2, 1e-3, 0), scores)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found[-1] > 1e-10  # not 0.2e-27


@pytest.mark.parametrize(("patience", "min_lr"), [(0, 0.0), (1, 0.0), (2, 0.08)])
def test_plateau_is_that_of_pytorch(patience: int, min_lr: float) -> None:
    scores = [1.0, 0.9, 0.91, 0.92, 0.89995, 0.5, 0.6, 0.6, 0.6, 0.6]
    expected = torchs(
        lambda lib, o: lib.ReduceLROnPlateau(o, factor=0.5, patience=patience, min_lr=min_lr),
        "epoch",
        scores,
    )
    found = all_rates(Plateau(0.2, 0.5, patience, min_lr=min_lr), scores)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert len(set(found)) > 1


def test_warm_up_rises_in_a_line_and_then_decays() -> None:
    rates = all_rates(Warmup(0.2, warmup_epochs=2, decay="none"))
    np.testing.assert_allclose(rates[:14], 0.2 * np.arange(1, 15) / 14, rtol=1e-15)
    assert (rates[13:] == 0.2).all()
    linear = all_rates(Warmup(0.2, 2, "linear", 0.02))
    np.testing.assert_allclose(linear[14:], 0.2 - 0.18 * np.arange(56) / 56, rtol=1e-14)
    cosine = all_rates(Warmup(0.2, 2, "cosine"))
    expected = [0.1 * (1 + math.cos(math.pi * k / 56)) for k in range(56)]
    np.testing.assert_allclose(cosine[14:], expected, rtol=1e-13)


def test_constant_and_phases_by_epoch() -> None:
    assert (all_rates(Constant(0.3)) == 0.3).all()
    phases = all_rates(Phases((0, 4), (0.3, 0.1)))
    assert (phases[:28] == 0.3).all()
    assert (phases[28:] == 0.1).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule=step", "schedule.every=0"], "Received schedule.every=0; must be at least 1"),
        (["schedule=exponential", "schedule.factor=1.5"], "at most 1"),
        (["schedule=one_cycle", "schedule.pct_start=1"], "less than 1"),
        (["schedule=warmup", "schedule.decay=log"], "must be one of none, linear, cosine"),
        (["schedule=cosine", "schedule.lr=0"], "greater than 0"),
        (["schedule=plateau"], "schedule=plateau with monitor=val_loss and no validation split"),
        (["early_stopping.patience=3"], "early_stopping.patience=3 with monitor=val_loss"),
        (["early_stopping.patience=0"], "must be at least 1"),
        (["schedule=cosin"], "did you mean 'cosine'"),
    ],
)
def test_bad_values_are_one_clear_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def watch(figures: list[float], monitor: str = "val_loss", **stopping: Any) -> Watch:
    followed = Watch(monitor, EarlyStopping(**stopping))  # type: ignore[arg-type]
    for figure in figures:
        followed.see(figure)
    return followed


def test_the_best_epoch_is_the_first_of_the_best() -> None:
    assert watch([3.0, 1.0, 1.0, 2.0]).best_epoch == 1
    assert watch([0.3, 0.9, 0.9], "val_accuracy").best_epoch == 1
    assert watch([float("nan"), 2.0]).best_epoch == 1
    assert watch([float("nan")]).best_epoch is None


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_what_is_no_number_is_never_an_improvement(monitor: str) -> None:
    nan, better = float("nan"), [0.5, 0.4] if monitor == "val_loss" else [0.4, 0.5]
    assert watch([nan, better[0], nan, better[1]], monitor).best_epoch == 3
    kept = watch([better[0], nan, nan], monitor, patience=2)
    assert kept.reason_to_stop() is not None
    assert watch([nan, nan, better[1]], monitor, patience=2).reason_to_stop() is None
    scores = watch([better[0], nan, better[1], nan], monitor).scores
    assert Plateau(0.2, 0.5, 1).at(4, scores) == 0.2  # never two without an improvement


def test_it_stops_after_patience_epochs_without_an_improvement() -> None:
    assert watch([3.0, 2.0, 2.5], patience=2).reason_to_stop() is None
    reason = watch([3.0, 2.0, 2.5, 2.0], patience=2).reason_to_stop()
    assert reason == "stopped after epoch 4: val_loss has not improved for 2 epochs"
    assert watch([3.0, 2.0, 2.5, 2.0, 1.9], patience=3).reason_to_stop() is None
    assert watch([3.0, 2.9, 2.8], patience=2, min_delta=0.5).reason_to_stop() is not None
    assert watch([1.0] * 50).reason_to_stop() is None


def test_flags_name_who_watches_the_test_data() -> None:
    quiet = compose(["data.val_fraction=0.1", "early_stopping.patience=3"]).config
    assert of_config(quiet) == ()
    assert quiet.keeps_best
    assert of_config(compose(["monitor=test_loss"]).config) == ()  # nothing watches
    for overrides, named in (
        (["keep.weights=best"], "keep.weights=best"),
        (["early_stopping.patience=3"], "early_stopping.patience=3"),
        (["schedule=plateau"], "schedule=plateau"),
    ):
        (flag,) = of_config(compose(["monitor=test_accuracy", *overrides]).config)
        assert f"({named} with monitor=test_accuracy)" in str(flag)


def test_a_list_of_rates_is_taken_step_by_step_and_its_last_kept() -> None:
    rates = all_rates(Listed((0.3, 0.2, 0.0)))
    assert list(rates) == [0.3, 0.2] + [0.0] * (STEPS * EPOCHS - 2)
    with pytest.raises(ConfigError, match="one rate per step"):
        Listed(())
