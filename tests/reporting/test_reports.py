"""Reports: the same figures everywhere, fair pairs alone ranked, hostile names harmless."""

from __future__ import annotations

import dataclasses
import html as escaping
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nnbench.errors import ConfigError
from nnbench.records.flags import Beside, Said
from nnbench.records.folder import read_runs
from nnbench.reporting.comparison.content import build
from nnbench.reporting.comparison.fairness import findings
from nnbench.reporting.comparison.groups import tables
from nnbench.reporting.comparison.rows import seconds_to
from nnbench.reporting.comparison.select import select
from nnbench.reporting.pages.cells import COLUMNS
from nnbench.reporting.pages.html import html
from nnbench.reporting.pages.markdown import escape, markdown
from nnbench.reporting.pages.plots import write_plots
from support.commands import TINY, Nnbench
from support.records import MACHINE, epoch, make_run
from support.reports import in_chromium, some_runs


def test_backends_are_compared_by_seed(tmp_path: Path) -> None:
    runs = [*some_runs(tmp_path, "numpy"), *some_runs(tmp_path, "torch", factor=2.0)]
    report = build(runs)
    (content,) = report.tables
    assert [row.group for row in content.rows] == ["numpy", "torch"]
    (against,) = content.against
    assert against.fair
    assert against.baseline == "numpy"
    assert against.time.ratio.value == pytest.approx(2.0)
    assert str(against).startswith(
        "torch against numpy: 2.00 times as slow (2.00 to 2.00; 5 pairs)"
    )
    assert report.verdicts == (str(against),)
    other = build(runs, baseline="torch").tables[0].against[0]
    assert str(other).startswith("numpy against torch: 2.00 times as fast")


def test_what_else_differs_is_said_before_anything_is_ranked(tmp_path: Path) -> None:
    runs = some_runs(tmp_path, "numpy")
    runs += some_runs(tmp_path, "torch", factor=2.0, shuffle=True, batch_size=32)
    report = build(runs)
    (against,) = report.tables[0].against
    assert not against.fair
    assert "shuffle: False against True" in str(against)
    assert "batch_size: 1 against 32" in str(against)
    assert "1 more pair differs in more than the backend" in report.verdicts[0]
    a, b = report.tables[0].table.groups
    assert findings(a, b).keys() == {"shuffle", "batch_size"}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"semantics": "native"}, "semantics"),
        ({"machine": MACHINE | {"cpu": "another"}}, "machine"),
        ({"machine": MACHINE | {"blas_kernel": "Haswell"}}, "BLAS kernel"),
        ({"machine": MACHINE | {"cores": {"physical": 2, "usable": 1}}}, "cores"),
        ({"machine": MACHINE | {"threads": {"in_use": 2}}}, "threads in use"),
        ({"flags": (Beside(2),)}, "flags"),
        ({"data": {"name": "digits", "digests": {"payload": "x"}}}, "data"),
    ],
)
def test_what_cannot_be_ranked_is_kept_apart(
    tmp_path: Path, changed: dict[str, Any], word: str
) -> None:
    runs = some_runs(tmp_path, "numpy")
    runs += [dataclasses.replace(run, **changed) for run in some_runs(tmp_path, "torch", 3)]
    report = build(runs)
    assert len(report.tables) == 2
    assert word in report.apart[0]
    assert report.tables[0].against == ()


def test_seeds_that_are_missing_repeated_or_diverged_are_told(tmp_path: Path) -> None:
    runs = some_runs(tmp_path, "numpy")
    torch = some_runs(tmp_path, "torch", factor=2.0)
    again = dataclasses.replace(torch[1], run_id="again", created="2027-01-01T00:00:00+00:00")
    broken = dataclasses.replace(torch[0], status="diverged")
    report = build([*runs, broken, *torch[1:], again])
    notes = " ".join(report.tables[0].notes)
    assert "torch: diverged with seed 0" in notes
    assert "torch: no finished run with seed 0" in notes
    assert "torch: 1 earlier runs of these seeds left out" in notes
    assert report.tables[0].rows[1].seeds == 4
    assert report.tables[0].against[0].time.pairs == 4


def test_too_few_seeds_have_no_verdict(tmp_path: Path) -> None:
    report = build([*some_runs(tmp_path, "numpy", 2), *some_runs(tmp_path, "torch", 2, 3.0)])
    assert "too few seeds to tell" in report.verdicts[0]
    assert any("3 are needed" in note for note in report.tables[0].notes)


def test_time_to_target(tmp_path: Path) -> None:
    epochs = tuple(epoch(i, train_seconds=2.0, test_accuracy=0.1 * i) for i in range(9))
    run = make_run(tmp_path / "r1", epochs=epochs)
    assert seconds_to(run, 0.45) == 12.0
    assert seconds_to(run, 0.95) is None


def test_every_format_shows_the_same_figures(tmp_path: Path) -> None:
    runs = [*some_runs(tmp_path, "numpy"), *some_runs(tmp_path, "torch", factor=1.7)]
    report = build(runs)
    page, text = html(report, "t", {}), markdown(report, "t")
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall("<td .*?</td>", page)]
    for row in report.tables[0].rows:
        for column in COLUMNS:
            shown = column.text(row)
            assert escaping.escape(shown) in cells
            assert f" {escape(shown)} |" in text
    for verdict in report.verdicts:
        assert escaping.escape(verdict) in page.replace("&#39;", "&#x27;")
        assert escape(verdict) in text


HOSTILE = '<script>alert(1)</script> {{ 7*7 }} "><img src=x onerror=alert(1)> ${x} `x` |'


def test_hostile_names_are_text(tmp_path: Path) -> None:
    runs = [
        dataclasses.replace(
            run, name=HOSTILE, message=HOSTILE, flags=(Said(HOSTILE),), sweep=HOSTILE
        )
        for run in some_runs(tmp_path, "numpy")
    ]
    report = build(runs)
    page, text = html(report, HOSTILE, {}), markdown(report, HOSTILE)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "{{ 7*7 }}" in page
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]
    assert "<script>" not in text
    assert "\\<script\\>" in text


def test_choosing_runs(tmp_path: Path) -> None:
    runs = [*some_runs(tmp_path, "numpy", 2), *some_runs(tmp_path, "torch", 2)]
    assert len(select(runs, ["backend=torch"], None, None)) == 2
    assert len(select(runs, ["backend=torch", "seed=1"], None, None)) == 1
    assert len(select(runs, ["s1"], "nnbench", "2026")) == 2
    with pytest.raises(ConfigError, match=r"no run matches \(4 recorded\)") as caught:
        select(runs, ["backend=keras"], "nnbench", None)
    assert "there is backend=numpy, backend=torch" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="did you mean 'nnbench'") as caught:
        select(runs, ["backend=torch"], "nbench", None)
    assert "\n" not in str(caught.value)


def test_one_table_for_runs_that_differ_in_two_settings(tmp_path: Path) -> None:
    runs = [
        run
        for backend in ("numpy", "torch")
        for size in (1, 32)
        for run in some_runs(tmp_path, backend, 3, 1.0 + size, batch_size=size)
    ]
    (table,) = tables(runs)
    assert table.varying == ("backend", "batch_size")
    assert [g.label for g in table.groups] == [
        "numpy batch_size=1", "numpy batch_size=32", "torch batch_size=1", "torch batch_size=32",
    ]  # fmt: skip


def test_cases_go_by_their_names_and_many_settings_by_few(tmp_path: Path) -> None:
    cases = [*some_runs(tmp_path, "numpy", 1), *some_runs(tmp_path, "torch", 1)]
    named = [
        dataclasses.replace(run, config=run.config | {"case": f"study/{name}"})
        for run, name in zip(cases, ("one", "two"), strict=True)
    ]
    assert [group.label for group in tables(named)[0].groups] == ["one", "two"]
    many = {"shuffle": True, "epochs": 7, "dtype": "float64", "batch_size": 32, "nothing": None}
    runs = [*some_runs(tmp_path, "numpy", 1), *some_runs(tmp_path, "torch", 1, **many)]
    (table,) = tables([*runs, *some_runs(tmp_path, "torch", 1, **many | {"epochs": 9})])
    assert len(table.varying) > 4
    assert [group.label for group in table.groups] == [
        "numpy", "torch epochs=7", "torch epochs=9",
    ]  # fmt: skip


def test_plots_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    single = {"dtype": "float32"}
    alone = some_runs(tmp_path, "numpy", 2, **single)
    assert "effects" not in write_plots(build(alone), tmp_path / "one")
    sizes = [*alone, *some_runs(tmp_path, "numpy", 2, batch_size=32, **single)]
    assert "effects" in write_plots(build(sizes), tmp_path / "two")  # of one backend
    drift = {"outcome": "pass", "reference": "numpy", "text": "t", "difference": [0.0, 1e-7]}
    drift |= {"envelope": [1e-6, 1e-5]}
    torch = some_runs(tmp_path, "torch", 2, **single)
    torch = [dataclasses.replace(run, parity=drift) for run in torch]
    names = write_plots(build([*sizes, *torch]), tmp_path / "three", ("png",))
    assert {"parity_drift", "time_ratios", "test_accuracy"} <= set(names)
    for name in names:
        assert (tmp_path / "three" / f"{name}.png").stat().st_size > 1000


def test_the_command(nnbench: Nnbench, tmp_path: Path, tables: Path) -> None:
    """A real sweep, its report from the folder and from MLflow, and conditions."""
    (tmp_path / "results").mkdir()
    shutil.copy(tables, tmp_path / "results")
    sweep = ["-m", "backend=numpy,numpy_reference", "seed=0,1", *TINY[:-1], "epochs=3"]
    assert nnbench(*sweep).returncode == 0
    done = nnbench("report", "--fail-if", "numpy.accuracy < 0")
    assert done.returncode == 0, done.stderr
    assert "numpy reference against numpy:" in done.stdout
    folder = tmp_path / "results" / "report"
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "nothing is fetched"
    assert len(page) < 3_000_000
    for name in ("groups.csv", "runs.csv", "epochs.parquet", "plots/test_accuracy.svg"):
        assert (folder / name).stat().st_size
    groups = pd.read_csv(folder / "groups.csv")
    runs = read_runs(tmp_path / "results")
    mine = [r.kept.test_accuracy for r in runs if r.kept and "reference" not in r.name]
    assert groups.test_accuracy[0] == pytest.approx(sum(map(float, mine)) / 2, rel=1e-15)  # type: ignore[arg-type]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    table = pd.read_csv(folder / "runs.csv").set_index("run_id")
    for run in runs:
        metrics = client.get_run(run.tracking["mlflow_run_id"]).data.metrics
        assert metrics["final/test_accuracy"] == table.test_accuracy[run.run_id]
        assert metrics["final/test_loss"] == table.test_loss[run.run_id]
    store = f"sqlite:///{tmp_path}/results/mlflow.db"
    fetched = nnbench("report", "--uri", store, "--out", "other", "--fail-if", "numpy.accuracy > 0")
    assert fetched.returncode == 1, fetched.stderr
    assert "condition met: numpy.accuracy > 0" in fetched.stderr
    other = pd.read_csv(tmp_path / "other" / "groups.csv")
    pd.testing.assert_frame_equal(other, groups)
    for words, said in (
        (["backend=keras"], "no run matches (4 recorded)"),
        (["--runs", "backend=keras"], "no run matches (4 recorded)"),
        (["--baseline", "nunpy"], "there is numpy, numpy reference; did you mean 'numpy'?"),
        (["--results", "nowhere"], "No runs recorded in nowhere"),
        (["--uri", "http://127.0.0.1:9"], "Cannot read http://127.0.0.1:9"),
        (["--fail-if", "numpi.time > 0"], "did you mean 'numpy'"),
    ):
        wrong = nnbench("report", *words)
        assert wrong.returncode == 2
        assert said in wrong.stderr
        assert wrong.stderr.count("\n") == 1


def test_a_group_is_compared_to_its_counterpart(tmp_path: Path) -> None:
    """Of four groups the two at each batch size, and nothing across."""
    runs = [
        run
        for backend, factor in (("numpy", 1.0), ("torch", 2.0))
        for size in (1, 32)
        for run in some_runs(tmp_path, backend, 3, factor * (1 + size), batch_size=size)
    ]
    report = build(runs)
    pairs = [(a.baseline, a.group, a.fair) for a in report.tables[0].against]
    assert pairs == [
        ("numpy batch_size=1", "torch batch_size=1", True),
        ("numpy batch_size=32", "torch batch_size=32", True),
    ]
    assert all(a.time.ratio.value == pytest.approx(2.0) for a in report.tables[0].against)
    assert "times as slow" in report.verdicts[1]


def test_without_backends_the_first_group_is_the_baseline(tmp_path: Path) -> None:
    runs = some_runs(tmp_path, "numpy", 3) + some_runs(tmp_path, "numpy", 3, 3.0, batch_size=32)
    (against,) = build(runs).tables[0].against
    assert (against.baseline, against.group) == ("batch_size=1", "batch_size=32")
    assert not against.fair


CLICKS = """
<script>
const table = document.getElementById("t1"), shown = () => [...table.tBodies[0].rows]
  .filter(row => !row.hidden).map(row => row.cells[0].textContent).join(",");
const heads = [...table.tHead.rows[0].cells], found = [shown()];
const epoch = heads.find(head => head.textContent === "epoch").querySelector("button");
epoch.click(); found.push(shown());
epoch.click(); found.push(shown());
const input = document.querySelector("input[data-filter]");
input.value = "TORCH"; input.dispatchEvent(new Event("input")); found.push(shown());
document.title = found.join(";");
</script>
"""


def test_a_browser_sorts_and_filters_without_complaint(tmp_path: Path) -> None:
    runs = [
        *some_runs(tmp_path, "torch", 3, factor=2.0),
        *some_runs(tmp_path, "numpy", 3, factor=1.0),
        *some_runs(tmp_path, "keras", 3, factor=11.0),
    ]
    page = tmp_path / "report.html"
    page.write_text(html(build(runs), "t", {}).replace("</body>", CLICKS + "</body>"))
    done = in_chromium(page)
    (title,) = re.findall("<title>(.*?)</title>", done.stdout)
    assert title == "torch,numpy,keras;numpy,torch,keras;keras,torch,numpy;torch"
    assert "CONSOLE" not in done.stderr
    # A page that fetched something or was wrong would be seen:
    broken = page.read_text().replace("</body>", "<img src='http://x.test/y.png'></body>")
    page.write_text(broken)
    assert "CONSOLE" in in_chromium(page).stderr
