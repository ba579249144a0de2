"""A net that has hardly learnt is told so, with settings that were measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import nnbench
from nnbench.reporting.comparison.learning import hint, recommended
from support.commands import Nnbench

SHORT = ("backend=numpy", "tracking=local", "data=digits", "batch_size=32")


def test_a_net_at_chance_is_told_and_the_remedy_learns(nnbench: Nnbench, tmp_path: Path) -> None:
    still = nnbench(*SHORT, "arch=mlp", "schedule=constant", "schedule.lr=1e-6", "epochs=3")
    text = " ".join(still.stdout.split())
    words = " ".join(recommended(32))
    assert "it has hardly learnt: test accuracy " in text
    assert f"chance is 10.00%. Try {words}" in text
    many = nnbench("-m", *SHORT, "arch=mlp", "schedule=constant", "schedule.lr=1e-6", "epochs=3",
                   "seed=0,1", "parity=false")  # fmt: skip
    assert "2 of 2 runs have hardly learnt (numpy b32 s0" in " ".join(many.stdout.split())
    report = nnbench("report", "--out", "page")
    assert "have hardly learnt" in " ".join(report.stdout.split())
    page = (tmp_path / "page" / "report.md").read_text()
    html = (tmp_path / "page" / "report.html").read_text()
    assert "have hardly learnt" in html
    assert "more than one table" not in html
    assert "time to" not in page.lower()  # what is reached by chance is no target
    better = nnbench(*SHORT, "arch=mlp", "epochs=10", *words.split())
    assert better.returncode == 0
    assert "hardly learnt" not in " ".join(better.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["784-128-10", "784-128-64-10", "mlp", "mlp_109k", "small_cnn"])
@pytest.mark.parametrize("batch_size", [1, 8, 32, 128])
def test_what_is_recommended_learns(arch: str, batch_size: int, tmp_path: Path) -> None:
    words = ["backend=numpy", "tracking=local", f"arch={arch}", f"batch_size={batch_size}"]
    run = nnbench.run([*words, "epochs=30", f"results={tmp_path}", *recommended(batch_size)])
    assert run.kept is not None
    assert (run.kept.test_accuracy or 0.0) > 0.85
    assert hint(run) is None
