"""What is done for thousands of runs grows as they do: calls are counted, nothing is timed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.records.folder import Folder
from nnbench.sweeps.forecast import Costs, Forecast, Waiting
from nnbench.sweeps.launchers.pool import run_in_places
from nnbench.sweeps.plan import Planner, arrange
from nnbench.sweeps.session import ANYWHERE
from support.records import epoch, make_run

SIZES = (40, 80, 160)
Work = Callable[[int], Callable[[], Any]]


def calls(action: Callable[[], Any]) -> int:
    """Return how many functions are called, or gone on with, built-in ones included."""
    count = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def growth(work: Work) -> float:
    """Return by what the second doubling adds more calls than the first: 2 is linear, 4 square."""
    few, some, many = (calls(work(size)) for size in SIZES)
    return (many - some) / max(1, some - few)


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    one = compose(["backend=numpy", "data=digits", "tracking=local"])
    found = [Cell(one.values | {"seed": seed}) for seed in range(2 * SIZES[-1])]
    for cell in found:
        assert cell.config.seed == cell.values["seed"]
    return found


@pytest.fixture
def folders(cells: list[Cell], tmp_path: Path) -> Callable[[int], Path]:
    """Return what makes a results folder of so many finished runs, one of them stopped."""

    def make(size: int) -> Path:
        for i, cell in enumerate(cells[:size]):
            values = {"config": cell.values, "fingerprint": f"{i:064}", "status": "finished"}
            values |= {"status": "killed"} if i == 0 else {}
            make_run(tmp_path / str(size) / "runs" / f"r{i:012}", **values).write()
        return tmp_path / str(size)

    return make


def test_the_checker_tells_square_from_linear() -> None:
    def square(size: int) -> Callable[[], Any]:
        return lambda: [abs(i) for i in range(size) for _ in range(size)]

    assert growth(square) == pytest.approx(4, abs=0.1)
    assert growth(lambda size: lambda: [abs(i) for i in range(size)]) == pytest.approx(2, abs=0.1)


def test_the_time_left_of_a_sweep(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", epochs=(epoch(0), epoch(1)))

    def left(size: int) -> Callable[[], Any]:
        costs = Costs()
        for i in range(size):
            costs.learn(f"kind {i % 2}", run)
        return Forecast([Waiting(f"kind {i % 2}", 9) for i in range(size)], costs).left

    few, many = (calls(left(size)) for size in (SIZES[0], SIZES[-1]))
    assert many == few  # it is asked for several times a second, beside the training


@pytest.mark.slow
def test_a_plan_of_new_cells_among_many_runs(
    cells: list[Cell], folders: Callable[[int], Path]
) -> None:
    def plan(size: int) -> Callable[[], Any]:
        planner = Planner(folders(size))
        planner.where(cells[0].config)
        Planner(Path(size * "-")).plan(cells[:1])  # reads the data
        return lambda: planner.plan([*cells[1:size], *cells[-size:]])

    assert growth(plan) < 2.4
    steps = plan(SIZES[0])()
    assert {step.state for step in steps} == {"new"}
    finished = "not the finished one of the same settings"
    assert sum((step.reason or "").startswith(finished) for step in steps) == SIZES[0] - 1
    assert len(steps) == 2 * SIZES[0] - 1


def test_one_more_run_in_a_folder_of_many(folders: Callable[[int], Path]) -> None:
    def look(size: int) -> Callable[[], Any]:
        results = folders(size)
        known = Folder(results)
        known.look()
        run = dataclasses.replace(known.runs()[-1], run_id="new", directory=results / "runs" / "n")
        make_run(results / "runs" / "n", **{"fingerprint": "f" * 64, "config": run.config}).write()
        assert len(known.runs()) == size + 1
        new = make_run(results / "runs" / "m", config=run.config, fingerprint="e" * 64)
        new.write()
        return known.look

    few, many = (calls(look(size)) for size in (SIZES[0], SIZES[-1]))
    assert many - few < 3 * (SIZES[-1] - SIZES[0])  # the names alone are gone through


def test_the_order_and_the_dispatch(cells: list[Cell]) -> None:
    assert growth(lambda size: lambda: arrange(cells[:size])) < 2.4
    done: list[Cell] = []

    def dispatch(size: int) -> Callable[[], Any]:
        def do(cell: Cell, place: object) -> None:
            done.append(cell)

        return lambda: run_in_places(cells[:size], [ANYWHERE], do, lambda: False)

    assert growth(dispatch) < 2.4
    assert done[-SIZES[-1] :] == cells[: SIZES[-1]]
