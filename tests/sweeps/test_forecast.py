"""How long work takes: with a clock of the test's own, and never a figure that makes no sense."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.formatting import rough
from nnbench.records.run import RunResult
from nnbench.reporting.pages.plan import PlanRow, plan_table
from nnbench.schema import progress
from nnbench.sweeps.certify import twins
from nnbench.sweeps.forecast import Cost, Costs, Estimate, Forecast, Pace, UnderWay, Waiting, kind
from nnbench.sweeps.observer import Outlook, Telling
from nnbench.sweeps.watcher import Watcher
from support.records import epoch, make_run

DAY, YEAR = 86400.0, 365.25 * 86400


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lines:
    """A surface that keeps what stays."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str, style: str | None = None) -> None:
        self.said.append(text)

    ended = warn = say

    def open(self, rows: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"), (0.4, "1 s"), (42.4, "42 s"), (89.4, "89 s"), (91.0, "2 min"),
        (3 * 60.0, "3 min"), (3 * 3600.0, "3 h"), (3 * DAY, "3 days"), (120 * DAY, "4 months"),
        (1282441650.70, "41 years"), (12345 * YEAR, "12,345 years"),
        (1e300, "more than a million years"), (math.inf, "more than a million years"),
        (math.nan, "an unknown time"), (-5.0, "1 s"),
    ],
)  # fmt: skip
def test_an_estimate_is_in_the_unit_that_people_count_in(seconds: float, text: str) -> None:
    assert rough(seconds) == text


@given(st.floats(0, 1e6 * YEAR * 0.999))
def test_an_estimate_is_within_a_third(seconds: float) -> None:
    number, unit = rough(seconds).split()
    units = {"s": 1, "min": 60, "h": 3600, "days": DAY, "months": YEAR / 12, "years": YEAR}
    found = float(number.replace(",", "")) * units[unit]
    assert found == 1.0 or found / seconds == pytest.approx(1, abs=1 / 3)


def test_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.left is None  # nothing is known yet
    clock.now += 10
    assert pace.left is None
    pace.reach(0.25)
    assert pace.left == pytest.approx(30)
    clock.now += 12
    assert pace.left == pytest.approx(18)  # it counts down between reports
    pace.reach(0.2)  # less than before
    assert pace.left == pytest.approx(18)
    clock.now += 30
    assert pace.left is None  # longer than it should take: nobody knows
    pace.reach(0.5)
    assert pace.left == pytest.approx(52)
    pace.reach(7.0)
    assert pace.left == 0.0
    assert pace.spent == pytest.approx(52)


def test_what_was_before_the_work_says_nothing_of_its_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now += 600  # imports
    pace.restart(0.5)  # resumed there
    clock.now += 10
    pace.reach(0.75)
    assert pace.left == pytest.approx(10)
    assert pace.spent == 610


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e9), st.floats(allow_nan=True, allow_infinity=True))),
    st.floats(allow_nan=False),
)
def test_a_pace_never_shows_nonsense(reports: list[tuple[float, float]], base: float) -> None:
    """Also where the clock is set back, or what is told is no fraction."""
    clock = Clock()
    pace = Pace(clock)
    pace.restart(base)
    for passed, fraction in reports:
        clock.now += passed
        pace.reach(fraction)
        assert 0 <= pace.fraction <= 1
        left = pace.left
        assert left is None or (0 <= left < math.inf)
        assert pace.spent >= 0


def cell(*words: str) -> Cell:
    return compose(["data=synthetic", *words])


Over = Callable[..., RunResult]


@pytest.fixture
def over(tmp_path: Path) -> Over:
    """Return what makes a run that took so many seconds per epoch, and `besides`."""
    return partial(_over, tmp_path)


def _over(folder: Path, cell: Cell, seconds: float, epochs: int, besides: float = 5.0) -> RunResult:
    run = make_run(
        folder / "runs" / "r", config=cell.values,
        epochs=tuple(epoch(i, train_seconds=seconds, evaluate_seconds=0.0) for i in range(epochs)),
    )  # fmt: skip
    phases = dataclasses.replace(
        run.phases, wall_seconds=besides + seconds * epochs, train_seconds=seconds * epochs,
        evaluate_seconds=0.0,
    )  # fmt: skip
    return dataclasses.replace(run, phases=phases)


def test_a_sweep_is_forecast_by_runs_of_its_own_and_recorded_ones(over: Over) -> None:
    numpy, torch = cell("epochs=10"), cell("epochs=10", "backend=torch")
    one, other = kind(numpy.values), kind(torch.values)
    assert one != other
    assert one == kind(cell("epochs=3", "seed=7").values)
    costs = Costs()
    waiting = [Waiting(one, 10), Waiting(other, 10), Waiting(one, 10), Waiting(other, 10)]
    assert Forecast(waiting, costs).left() is None  # nothing like that was ever timed

    costs.learn(one, over(numpy, 2.0, 3))  # recorded: 5 s, and 2 s per epoch
    forecast = Forecast(waiting, costs)
    assert str(forecast.left()) == "about 2 min left (2 runs guessed)"
    forecast.begin(one)
    assert forecast.left([UnderWay(one, 5.0, 25.0)]).seconds == pytest.approx(25 + 3 * 25)  # type: ignore[union-attr]
    forecast.end(one, over(numpy, 2.0, 10))
    forecast.begin(other)
    forecast.end(other, over(torch, 10.0, 10))
    left = forecast.left()
    assert left is not None
    assert left == (pytest.approx(25 + 105), 0)
    assert str(left) == "about 2 min left"
    two = Forecast(waiting, costs, places=2).left()
    assert two is not None
    assert two.seconds == pytest.approx((2 * 25 + 2 * 105) / 2)
    many = Forecast(waiting, costs, places=99).left()
    assert many is not None
    assert many.seconds == pytest.approx(105)  # no shorter than its longest run


def test_records_of_other_worlds_give_no_estimate(over: Over, tmp_path: Path) -> None:
    costs = Costs()
    for seconds in (math.inf, math.nan, -3.0):
        costs.learn("a", over(cell(), seconds, 2))
    costs.learn("a", make_run(tmp_path / "r", epochs=()))
    assert costs.of("a") is None


def watched() -> tuple[Watcher, Lines, Clock]:
    lines, clock = Lines(), Clock()
    return Watcher(lines, clock=clock), lines, clock


def test_what_is_said_of_a_sweep(over: Over) -> None:
    watcher, lines, clock = watched()
    one = cell("epochs=10", "batch_size=32")
    waiting = tuple(Waiting(kind(one.values), 10) for _ in range(3))
    watcher.expect(Outlook(3, waiting=waiting))
    with watcher:
        run = watcher.begin("first", one)
        assert watcher.rows() == []  # not for what is over at once
        clock.now += 5
        run.event({"event": "start"})
        clock.now += 4
        run.event({"event": "epoch", "record": {"epoch": 1, "train_loss": 0.5,
                                                "test_accuracy": 0.75}})  # fmt: skip
        assert [str(row) for row in watcher.rows()] == [
            "[1/3] first: epoch 2/10, loss 0.5, test accuracy 75.00%, about 16 s left",
            "all runs: 0 of 3 done, about 66 s left",  # by the one under way
        ]
        clock.now += 16
        run.end(over(one, 2.0, 10))
        assert lines.said == ["[1/3] first: finished, test accuracy 81.00%, 2.00 s per epoch"]
        run = watcher.begin("second", one)
        clock.now += 2
        assert [str(row) for row in watcher.rows()] == [  # by the first
            "[2/3] second: starting, about 23 s left",
            "all runs: 1 of 3 done, about 48 s left",
        ]


def test_what_is_said_of_other_work() -> None:
    watcher, lines, clock = watched()
    with watcher.work("parity") as work:
        work(0, 0, "starting \x1b[31mtorch")
        assert watcher.rows() == []
        clock.now += 9
        (row,) = watcher.rows()
        assert str(row) == "parity: starting \\x1b[31mtorch, 9 s so far"
        work(0, 4, "epoch 1/4")
        clock.now += 3
        work(1, 4, "epoch 2/4")
        assert str(row) == "parity: epoch 2/4, about 9 s left"
    assert watcher.rows() == []
    assert lines.said == []


def test_a_run_once_more_tells_how_far_it_is() -> None:
    told: list[tuple[float, float, str]] = []
    run = Telling(lambda *each: told.append(each)).begin("a", cell("epochs=4"))
    run.event({"event": "start"})
    run.event({"event": "progress", "epoch": 0, "step": 5, "steps": 10})
    run.event({"event": "epoch", "record": {"epoch": 1}})
    run.end(None)
    assert [(done, total) for done, total, _ in told] == [(0, 0), (0, 4), (0.5, 4), (2, 4)]


def test_parts_and_lines() -> None:
    told: list[tuple[float, float, str]] = []

    def tell(*each: float | str) -> None:
        told.append(each)  # type: ignore[arg-type]

    assert list(progress.counted("ab", progress.part(tell, 0.5, 0.75), "item")) == ["a", "b"]
    assert told == [
        (0.5, 1.0, "item 1 of 2"),
        (0.625, 1.0, "item 2 of 2"),
        (0.75, 1.0, ""),
    ]
    assert progress.read(progress.line(1, 2, "näxt")) == (1.0, 2.0, "näxt")
    for other in ("", "{}", '{"progress": 1}', '{"progress": [1]}', '{"progress": [1, NaN, ""]}',
                  '{"progress": ["a", 2, ""]}', '{"progress": [1, 2'):  # fmt: skip
        assert progress.read(other) is None


def test_who_runs_once_more_is_in_the_forecast() -> None:
    sweep = [cell(f"backend={b}", f"seed={s}") for b in ("torch", "numpy") for s in (0, 1)]
    assert [c.values["backend"]["name"] for c in twins(sweep)] == ["numpy", "numpy"]
    assert twins([cell(f"backend={b}", "parity=false") for b in ("torch", "numpy")]) == []
    assert twins([cell(f"seed={s}") for s in (0, 1)]) == []


def plan(*rows: PlanRow, at_once: int = 1) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(plan_table(rows, at_once))
    return capture.get()


def test_a_plan_says_what_its_estimate_is_taken_from() -> None:
    cost = Cost(epoch=0.1, besides=2.0, epochs=20, runs=3)
    far = Estimate(cost.seconds(10**10), 10**10, cost)
    said = plan(PlanRow(["seed=0"], "new", far, None), PlanRow(["seed=1"], "new", None, None))
    assert "about 32 years" in said
    assert (
        "2 to run. About 32 years, by 3 comparable recorded runs; 1 more without an estimate. "
        "Extrapolated: runs of 10,000,000,000 epochs, and none of more than 20 is recorded." in said
    )
    near = Estimate(cost.seconds(20), 20, cost)
    rows = [PlanRow([f"seed={i}"], "new", near, None) for i in range(4)]
    assert "4 to run. About 16 s, by 3 comparable recorded runs.\n" in plan(*rows)
    assert "About 8 s, 2 at a time, by 3 " in plan(*rows, at_once=2)
    assert "About 4 s, 9 at a time, by 3 " in plan(*rows, at_once=9)
    assert cost.seconds(10**400) < math.inf
    assert "No estimate" in plan(PlanRow(["seed=1"], "new", None, None))
