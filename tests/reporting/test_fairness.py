"""Everything that a record holds is compared: told, apart or harmless, as one list says.

Each leaf of a real record is edited in turn, in one run and in a whole group. The table of what
happens is docs/results/fairness.md; with PYTHONPATH=$PWD/tests, this file writes it anew.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnbench.errors import ResultsError
from nnbench.records import run as records
from nnbench.records.flags import Crowded, Steered
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.content import Report, build
from nnbench.reporting.comparison.fairness import findings
from nnbench.reporting.comparison.treatment import RULES, UNKNOWN, rule
from nnbench.reporting.pages.html import html
from nnbench.reporting.pages.markdown import escape, markdown
from support import TESTS
from support.commands import fresh
from support.records import MACHINE, make_run

PAGE = TESTS.parent / "docs" / "results" / "fairness.md"
SWEEP = [
    "-m", "backend=numpy,numpy_reference", "seed=0,1,2", "data=digits", "data.train_samples=200",
    "epochs=2", "batch_size=32", "tracking=local",
]  # fmt: skip
ODD = "numpy reference"  # the group that is edited
Path_ = tuple[str | int, ...]


def real_runs(folder: Path) -> list[RunResult]:
    """Return the runs of a real sweep in `folder`, as a machine leaves them that is not busy."""
    done = fresh(folder, SWEEP, {"OPENBLAS_L2_SIZE": "1024"})
    assert done.returncode == 0, done.stderr
    for run in read_runs(folder / "results"):
        dataclasses.replace(run, flags=()).write()  # where the machine was busy
    return read_runs(folder / "results")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[RunResult]:
    return real_runs(tmp_path_factory.mktemp("fairness"))


@pytest.fixture(scope="module")
def one_edited(recorded: list[RunResult]) -> dict[str, set[str]]:
    return happened(recorded, whole=False)


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield where the leaves of JSON are; an empty list or object is one."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from leaves(item, (*path, name))
    else:
        yield path


def edits(value: Any) -> list[Any]:
    """Return other values for a leaf, the likeliest first; another is for a reader with types."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        return [f"x{value}"]
    if isinstance(value, list):
        return [["edited"], [1]]
    if isinstance(value, dict):
        return [{"edited": "x"}]
    return ["edited", 1, 1.5, {"edited": "x"}, ["edited"]]


def edited(run: RunResult, path: Path_, choice: int) -> RunResult | None:
    """Return `run` with a leaf of its run.json edited, None where it can no longer be read."""
    assert run.directory is not None
    file = run.directory / "run.json"
    original = file.read_text()
    values = json.loads(original)
    place = values
    for name in path[:-1]:
        place = place[name]
    others = edits(place[path[-1]])
    place[path[-1]] = others[choice % len(others)]
    values["digest"] = ""
    text = json.dumps(values, indent=1)
    before, key, after = text.encode().rpartition(b'"digest": "')
    try:
        file.write_bytes(b"%b%b%b%b" % (before, key, records.digest(before), after))
        return dataclasses.replace(RunResult.read(run.directory), directory=None)
    except ResultsError:
        return None
    finally:
        file.write_text(original)


def key_of(path: Path_) -> str:
    """Return the dotted key of a leaf: plain lists are one fact, epochs count together."""
    names = [str(name) for name in path if not (path[0] == "epochs" and isinstance(name, int))]
    return ".".join(names)


def said(report: Report) -> set[str]:
    """Return in what a report says that its runs differ."""
    found = {group.label for content in report.tables for group in content.table.groups}
    for content in report.tables:
        for against in content.against:
            found |= {*against.differences, *(c.key for c in against.cautions)}
            for caution in against.cautions:
                assert str(caution) in str(against)
        found |= {caution.key for caution in content.cautions}
        for caution in content.cautions:
            assert any(str(caution) in note for note in content.notes)
    return found


def outcome(runs: list[RunResult], changed: dict[str, RunResult], before: Report) -> str:
    report = build([changed.get(run.run_id, run) for run in runs])
    if len(report.tables) > 1:
        where = [
            {run.run_id for group in content.table.groups for run in group.runs}
            for content in report.tables
        ]
        assert changed.keys() in where or set(changed) < where[1]
        assert report.apart
        return "apart"
    if said(report) - said(before):
        assert report.caution or report.tables[0].against
        return "told"
    return "harmless"


def happened(runs: list[RunResult], whole: bool) -> dict[str, set[str]]:
    """Edit every leaf of one run, or of all runs of its group; return what happens, by key."""
    group = [run for run in runs if run.config["backend"]["execution"] == "reference"]
    chosen = group if whole else group[1:2]
    runs = [run if run in group else dataclasses.replace(run, directory=None) for run in runs]
    plain = [dataclasses.replace(run, directory=None) for run in runs]
    before = build(plain)
    assert len(before.tables) == 1
    assert before.caution is None
    found: dict[str, set[str]] = {}
    assert chosen[0].directory is not None
    for path in leaves(json.loads((chosen[0].directory / "run.json").read_text())):
        if path == ("digest",):
            continue  # of the others: an edit of it alone is damage
        for choice in range(5):
            changed = {run.run_id: edited(run, path, choice) for run in chosen}
            if all(changed.values()):
                what = outcome(plain, {k: v for k, v in changed.items() if v}, before)
                found.setdefault(key_of(path), set()).add(what)
                break
        else:
            found.setdefault(key_of(path), set()).add("refused")
    return found


def expected(key: str, whole: bool) -> str:
    how = rule(key)
    if whole and key in ("config.backend.name", "config.backend.execution"):
        return "told"  # by the label
    if whole and key == "config.case":
        return "harmless"  # a name
    return "harmless" if whole and how.among == "backend" else how.what


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(False, id="one seed"),
        pytest.param(True, id="a whole group", marks=pytest.mark.slow),
    ],
)
def test_every_leaf_is_told_apart_or_harmless_as_listed(
    recorded: list[RunResult], one_edited: dict[str, set[str]], whole: bool
) -> None:
    found = happened(recorded, whole) if whole else dict(one_edited)
    assert len(found) > 130
    if whole:
        assert found.pop("config.seed") == {"told"}  # runs of one seed have other samples then
    wrong = {
        key: (what, expected(key, whole))
        for key, what in found.items()
        if what - {"refused"} - {expected(key, whole)}
    }
    assert wrong == {}


def table(found: Mapping[str, set[str]]) -> str:
    """Return the page: what each leaf is, and why."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for key in sorted(found):
        how = rule(key)
        what = how.what
        name = re.sub(r"\.\d+(?=\.|$)", "", key)
        if how.key in ("machine.environment", "machine.versions", "choices", "parity"):
            name = f"{how.key}.*"
        setting = key.startswith("config.") and not how.key
        why = "settings make groups; named with their effect" if setting else how.why
        names = rows.setdefault((what, why, how.among, how.key), [])
        if name not in names:
            names.append(name)
    order = ("apart", "told", "harmless")
    lines = [
        f"| {what} | {', '.join(f'`{n}`' for n in names)} | {why} | {AMONG[among]} |"
        for (what, why, among, _), names in sorted(
            rows.items(), key=lambda row: (order.index(row[0][0]), row[1])
        )
    ]
    return HEAD + "\n".join(lines) + "\n"


AMONG = {
    "all": "any two runs",
    "seed": "runs of one seed",
    "pair": "runs that a verdict pairs",
    "backend": "runs of one backend",
    "both": "runs that both have it",
}
HEAD = """# What is compared, fact by fact

Every leaf of a real `run.json`, edited in turn in one run of six: what the report then does.
Written by `PYTHONPATH=$PWD/tests python tests/reporting/test_fairness.py` from
`src/nnbench/reporting/comparison/treatment.py`; the test fails where it is not current.

- **apart**: the runs are in tables of their own and never ranked against each other.
- **told**: they are ranked, with the fact, its values and what is known of its effect beside the
  verdict, and named in the first line of the report. What no rule names is told.
- **harmless**: nothing is said, for the reason given.

A fact that a record lacks counts as "not recorded": it is told, and keeps nothing apart. Variables
of the environment that a backend's own `env` sets are part of the backend.

| what | facts | effect or reason | compared among |
|---|---|---|---|
"""


def test_the_page_is_current(one_edited: dict[str, set[str]]) -> None:
    assert PAGE.read_text() == table(one_edited), (
        "run PYTHONPATH=tests python tests/reporting/test_fairness.py"
    )


def test_what_each_backend_is_stands_in_the_environment(recorded: list[RunResult]) -> None:
    """Facts that a backend brings are not held against another one; they can be read there."""
    group = [run for run in recorded if run.config["backend"]["execution"] == "reference"]
    assert group[0].directory is not None
    before = build(recorded).environment
    record = json.loads((group[0].directory / "run.json").read_text())
    for path in leaves(record):
        seen = ("_target_", "env", "num_threads", "library", "digest", *record["choices"])
        if rule(key_of(path)).among == "backend" and path[-1] in seen:
            changed = {run.run_id: edited(run, path, 0) for run in group}
            after = build([changed.get(run.run_id) or run for run in recorded]).environment
            assert after != before, key_of(path)


def some(folder: Path, backend: str, seeds: int = 3, **changed: Any) -> list[RunResult]:
    """Return a run for each seed; `changed` are facts of the machine."""
    found = []
    for seed in range(seeds):
        base = make_run(folder / f"{backend}{seed}{len(changed)}", machine=MACHINE | changed)
        config = base.config | {"seed": seed, "case": None}
        config["backend"] = config["backend"] | {"name": backend}
        found.append(dataclasses.replace(base, config=config))
    return found


def with_fact(run: RunResult, **changed: Any) -> RunResult:
    return dataclasses.replace(run, machine=run.machine | changed)


def test_one_odd_seed_is_named(tmp_path: Path) -> None:
    numpy, torch = some(tmp_path, "numpy"), some(tmp_path, "torch")
    versions = MACHINE["versions"] | {"numpy": "2.3.0"}
    torch[1] = with_fact(torch[1], versions=versions, hostname="other")
    report = build([*numpy, *torch])
    (against,) = report.tables[0].against
    assert "hostname: vm, but other in torch seed 1 (machines of one kind" in str(against)
    assert "versions.numpy: 2.4.6, but 2.3.0 in torch seed 1 (another version" in str(against)
    first = "Caution: runs compared here differ besides their settings in hostname, versions.numpy."
    assert report.caution == first
    assert report.verdicts == (str(against),)
    assert first in html(report, "t", {})
    assert escape(first) in markdown(report, "t")


def test_two_groups_that_differ_throughout_are_told_once(tmp_path: Path) -> None:
    report = build([*some(tmp_path, "numpy"), *some(tmp_path, "torch", python="3.12.1")])
    (against,) = report.tables[0].against
    assert [str(caution) for caution in against.cautions] == [
        "python: 3.11.7 against 3.12.1 (another interpreter has other costs per call)"
    ]


def test_what_nobody_ranked_is_told_beside_its_table(tmp_path: Path) -> None:
    """Two groups of the baseline's backend are in one table and in no verdict together."""
    numpy, torch = some(tmp_path, "numpy"), some(tmp_path, "torch")
    other = [
        with_fact(dataclasses.replace(run, config=run.config | {"batch_size": 9}), hostname="b")
        for run in some(tmp_path, "numpy", 3, commit="f" * 40)
    ]
    report = build([*numpy, *torch, *other])
    (content,) = report.tables
    assert "Caution: hostname: vm, but b in numpy batch_size=9" in " ".join(content.notes)
    assert report.caution


def test_data_drawn_for_each_seed_is_told_by_seed(tmp_path: Path) -> None:
    runs = [*some(tmp_path, "numpy"), *some(tmp_path, "torch")]
    drawn = [
        dataclasses.replace(
            run,
            data={"name": "synthetic", "digests": {"payload": f"{run.config['seed']}"}},
        )
        for run in runs
    ]
    assert build(drawn).caution is None
    odd = dataclasses.replace(
        drawn[4], data={"name": "synthetic", "digests": {"payload": "another"}}
    )
    report = build([*drawn[:4], odd, drawn[5]])
    assert "data.digests.payload: 1 against another with seed 1 (other data" in report.verdicts[0]


def test_older_records_are_ranked_with_the_words_not_recorded(tmp_path: Path) -> None:
    old = ("cpu", "cores", "threads", "blas_kernel", "hostname", "backend_source", "environment")
    numpy = some(tmp_path, "numpy")
    torch = [
        dataclasses.replace(run, machine={k: v for k, v in MACHINE.items() if k not in old})
        for run in some(tmp_path, "torch")
    ]
    report = build([*numpy, *torch])
    (content,) = report.tables
    (against,) = content.against
    for name in ("cpu", "cores.usable", "threads.in_use", "blas_kernel", "hostname"):
        assert re.search(rf"{name}: \S.* against not recorded", str(against)), name
    assert "not recorded for 3 of 6 runs" in " ".join(content.notes)
    only = build(torch)
    assert "not recorded for 3 of 3 runs" in " ".join(only.tables[0].notes)


def test_variables_count_but_those_that_the_backend_sets(tmp_path: Path) -> None:
    keras = []
    for run in some(
        tmp_path, "keras", environment={"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "jax"}
    ):
        backend = run.config["backend"] | {"env": ["KERAS_BACKEND=jax"]}
        keras.append(dataclasses.replace(run, config=run.config | {"backend": backend}))
    numpy = some(tmp_path, "numpy")
    assert build([*numpy, *keras]).caution is None
    numpy = [with_fact(run, environment={"XLA_FLAGS": "--a"}) for run in numpy]
    text = build([*numpy, *keras]).verdicts[0]
    assert "environment.XLA_FLAGS: --a against not set" in text
    assert "environment.OMP_NUM_THREADS: not set against 1" in text


def test_flags_keep_apart_by_their_kind_not_their_figures(tmp_path: Path) -> None:
    numpy, torch = some(tmp_path, "numpy"), some(tmp_path, "torch")
    flagged = [dataclasses.replace(torch[i], flags=(Crowded(4 + i, 2),)) for i in range(3)]
    report = build([*numpy, *flagged])
    assert len(report.tables) == 2
    assert "threads=4 on 2 cores" in report.apart[0]
    steered = [dataclasses.replace(run, flags=(Steered(("x",), "test_loss"),)) for run in torch]
    assert len(build([*numpy, *flagged, *steered]).tables) == 3


@pytest.mark.parametrize("changed", [{"dtype": "float64"}, {"threads": 2}])
def test_dtype_is_told_and_threads_keep_apart(tmp_path: Path, changed: dict[str, Any]) -> None:
    numpy = [
        dataclasses.replace(run, config=run.config | {"dtype": "float32", "threads": 1})
        for run in some(tmp_path, "numpy")
    ]
    torch = [
        dataclasses.replace(run, config=run.config | {"dtype": "float32", "threads": 1} | changed)
        for run in some(tmp_path, "torch")
    ]
    report = build([*numpy, *torch])
    if "threads" in changed:
        assert len(report.tables) == 2
        assert "threads (2 there, 1 in table 1)" in report.apart[0]
    else:
        a, b = report.tables[0].table.groups
        assert findings(a, b).keys() == {"dtype"}
        assert "dtype: float32 against float64" in str(report.tables[0].against[0])


def test_no_two_groups_share_a_label(tmp_path: Path) -> None:
    runs = some(tmp_path, "numpy")
    cases = [
        dataclasses.replace(run, config=run.config | {"case": case})
        for case in ("study/one", "study/two", None)
        for run in runs
    ]
    backends = [
        dataclasses.replace(
            run, config=run.config | {"backend": run.config["backend"] | {"_target_": target}}
        )
        for target in ("a.B", "c.D")
        for run in runs
    ]
    for some_of, labels in (
        (cases, ["numpy", "numpy (one)", "numpy (two)"]),
        (backends, ["numpy (_target_=a.B)", "numpy (_target_=c.D)"]),
    ):
        (content,) = build(some_of).tables
        assert sorted(group.label for group in content.table.groups) == labels
        assert len(content.against) == len(labels) - 1


def test_every_rule_is_worth_having_and_says_why() -> None:
    assert len({each.key for each in RULES}) == len(RULES)
    for each in RULES:
        assert len(each.why) > 4
        assert each.why != UNKNOWN
    assert rule("something.new").what == "told"


OWN = {
    "own/backend/greedy.yaml": """
# NumPy, that takes more threads than it was given
name: greedy
_target_: greedy.Greedy
execution: reference
executions: [reference]
""",
    "own/greedy.py": """
import threadpoolctl
from nnbench.backends.numpy import NumpyTrainer

class Greedy(NumpyTrainer):
    def warm_up(self, n):
        threadpoolctl.threadpool_limits(2, user_api="blas")
        super().warm_up(n)
""",
}


@pytest.mark.slow
def test_real_runs_on_fewer_cores_or_with_other_kernels_and_threads_are_not_ranked(
    recorded: list[RunResult], tmp_path: Path
) -> None:
    """An odd seed, really run so: under taskset, another BLAS kernel, threads that nobody asked."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plain = {"OPENBLAS_L2_SIZE": "1024"}
    single = ["backend=numpy", *SWEEP[3:], "seed=1"]
    others = [run for run in recorded if run.config["seed"] != 1 or "reference" in run.name]
    x86 = "SkylakeX" in str(recorded[0].machine["blas_kernel"])
    tried = {
        "cores": ([*single, "name=cores"], plain, len(os.sched_getaffinity(0)) > 1),
        "BLAS kernel": ([*single, "name=kernel"], plain | {"OPENBLAS_CORETYPE": "Nehalem"}, x86),
        "threads in use": (
            [*single[1:], "backend=greedy", "--config-dir", "own", "name=greedy"], plain, True
        ),
    }  # fmt: skip
    for word, (command, env, possible) in tried.items():
        if not possible:
            continue
        mine = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(mine)} if word == "cores" else mine)
            done = fresh(tmp_path, command, env)
        finally:
            os.sched_setaffinity(0, mine)
        assert done.returncode == 0, done.stderr
        odd = read_runs(tmp_path / "results")[-1]
        report = build([*others, odd])
        assert len(report.tables) == 2, word
        assert [run.run_id for g in report.tables[1].table.groups for run in g.runs] == [odd.run_id]
        assert word in report.apart[0]


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(table(happened(real_runs(Path(place)), whole=False)))
    sys.stdout.write(f"{PAGE}\n")
