"""A run is named in one way everywhere; of several of one name none is guessed. Filters, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnbench.errors import ResultsError
from nnbench.records.folder import read_runs
from nnbench.records.lookup import recorded
from support.commands import TINY, Nnbench
from support.records import CONFIG, make_run

RESULTS = Path("results")


@pytest.fixture
def three(nnbench: Nnbench, tmp_path: Path) -> Nnbench:
    """Three runs, two of one name that differ in the seed."""
    for number, (run_id, name) in enumerate(
        [("aaaa1111", "same"), ("aabb2222", "same"), ("cccc3333", "other b32")], 1
    ):
        make_run(
            tmp_path / "results" / "runs" / f"folder-{number}",
            run_id=run_id,
            name=name,
            created=f"2026-01-0{number}T03:04:05+00:00",
            config=CONFIG | {"seed": number, "case": None},
        )
    return nnbench


@pytest.mark.parametrize(
    ("word", "run_id"),
    [
        ("@last", "cccc3333"), ("@1", "cccc3333"), ("@2", "aabb2222"), ("@3", "aaaa1111"),
        ("cccc3333", "cccc3333"), ("c", "cccc3333"), ("other", "cccc3333"), ("aab", "aabb2222"),
        ("folder-2", "aabb2222"), ("results/runs/folder-1", "aaaa1111"), ("other b32", "cccc3333"),
    ],
)  # fmt: skip
def test_a_run_is_found(three: Nnbench, word: str, run_id: str) -> None:
    assert recorded(word, RESULTS).run_id == run_id
    assert run_id in three("ls", word).stdout or "=" in word or not word.startswith("@")
    assert "Run it again" in three("show", word).stdout


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("same", "that names 2 runs: aabb2222 (01-02 03:04, finished, seed=2); aaaa1111 "),
        ("aa", "that names 2 runs: aabb2222 (same, 01-02 03:04, finished, seed=2); aaaa1111 "),
        ("folder", "that names 3 runs: cccc3333 (other b32, "),
        ("@4", "results has 3, @3 is the oldest"),
        ("@0", "@last is the latest run, @2 the one before"),
        ("@", "@last is the latest run"),
        ("@first", "@last is the latest run"),
        ("othre b32", "did you mean 'other b32'?"),
        ("", "Received no name; results has no run of that name"),
        ("nothing", "results has no run of that name, id or folder"),
    ],
)
def test_none_is_guessed(three: Nnbench, word: str, said: str) -> None:
    with pytest.raises(ResultsError) as caught:
        recorded(word, RESULTS)
    assert said in str(caught.value)
    for typed in (
        ["show", word],
        ["rm", word, "--yes"],
        ["sync", word],
        ["export", word, "--format", "torch"],
        ["explain", word, "cccc3333"],
        ["explain", "cccc3333", word],
        ["trace", word],
        ["parity", word],
        ["arch", word],
        ["arch", "init=from_run", f"init.run='{word}'", *TINY],
    ):
        done = three(*typed)
        if typed[0] == "arch" and "=" in typed[1]:
            continue
        assert (done.returncode, done.stdout) == (2, ""), typed
        assert said in done.stderr, typed
        assert len(done.stderr.splitlines()) == 1
    assert len(read_runs(RESULTS)) == 3


def test_the_remedy_of_an_ambiguous_name_is_the_latest(three: Nnbench) -> None:
    assert three("show", "same").stderr.rstrip().endswith("Try: nnbench show aabb2222")


def test_weights_are_named_as_runs_are(three: Nnbench) -> None:
    done = three(*TINY, "init=from_run", "init.run=same")
    assert done.returncode == 2
    assert "Received init.run=same; that names 2 runs: aabb2222" in done.stderr


def test_a_recorded_run_stands_for_its_settings(nnbench: Nnbench) -> None:
    assert nnbench(*TINY, "arch=mlp", "arch.hidden=[7]").returncode == 0
    assert "7" in nnbench("arch", "@last").stdout
    assert "9" in nnbench("arch", "@last", "arch.hidden=[9]").stdout
    done = nnbench("trace", "@1", "backend=numpy,numpy_reference")
    assert done.returncode == 0, done.stderr
    assert "numpy reference" in done.stdout


def test_runs_of_a_sweep_with_one_name_are_told_apart(nnbench: Nnbench) -> None:
    sweep = ["-m", "init.scale=0.1,0.2", *TINY, "parity=false"]
    assert nnbench(*sweep, "name=mine").returncode == 0
    assert nnbench("-m", *TINY, "parity=false", "name=alone").returncode == 0
    names = [run.name for run in read_runs(RESULTS)]
    backend = names[0].removeprefix("mine ").removesuffix(" scale=0.1")
    assert names == [f"mine {backend} scale=0.1", f"mine {backend} scale=0.2", "alone"]
    for word in ("name=mine", "mine"):
        listed = nnbench("ls", word).stdout
        assert ("mine" in listed, "alone" in listed) == (True, False)
    assert "there is name=mine" in nnbench("ls", "name=min").stderr
    with pytest.raises(ResultsError, match="that names 2 runs"):
        recorded("mine", RESULTS)


def test_ls_and_report_choose_alike(three: Nnbench) -> None:
    from nnbench.reporting.comparison.select import select

    runs = read_runs(RESULTS)
    for words in (["seed=2"], ["backend=numpy", "same"], ["@2"], ["@last", "seed=3"]):
        chosen = {run.run_id for run in select(runs, words, None, None)}
        shown = three("ls", *words).stdout
        assert {run.run_id for run in runs if run.run_id in shown} == chosen, words
    assert three("ls", "--last", "1", "same").stdout.count("2222") == 1
    for words in (["seed=2.0"], ["seed=2e0"]):  # the same number
        assert three("ls", *words).returncode == 0, words


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("backned=numpy", "no run has a setting 'backned'; did you mean 'backend'?"),
        ("seed=1,2", "no run matches (3 recorded); there is seed=1, seed=2, seed=3. Try: nnbench"),
        ("backend=torch", "there is backend=numpy. Try: nnbench"),
        ("=3", "no run has a setting ''"),
    ],
)
def test_filters_are_checked_first(three: Nnbench, word: str, said: str) -> None:
    for typed in (["ls", word], ["report", word], ["report", "--fail-if", "a.time > 1", word]):
        done = three(*typed)
        assert (done.returncode, done.stdout) == (2, ""), typed
        assert said in done.stderr
    assert not (RESULTS / "report").exists()


def test_a_typo_in_a_filter_is_told_where_nothing_is_recorded(nnbench: Nnbench) -> None:
    for name in ("ls", "report"):
        assert "did you mean 'backend'?" in nnbench(name, "backned=torch").stderr


@pytest.mark.parametrize("condition", ["", "x", "1 +", "a.tme > 1", "a.time", "a.time > b.speed"])
def test_conditions_are_checked_first(
    three: Nnbench, condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnbench.reporting.asking.report", None)  # it is not asked
    done = three("report", "--fail-if", condition)
    assert done.returncode == 2
    assert f"Received --fail-if {condition!r}" in done.stderr


def test_names_in_conditions_are_checked_before_anything_is_drawn(three: Nnbench) -> None:
    done = three("report", "--fail-if", "tensor.time > 1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no group tensor, but" in done.stderr
    assert not (RESULTS / "report").exists()


def test_a_store_that_is_not_there_is_not_made(three: Nnbench, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for name, uri in (
        ("report", f"sqlite:///{tmp_path}/none/x.db"),
        ("report", "sqlite:///none.db"),
        ("sync", f"sqlite:///{tmp_path}/none/x.db"),
        ("sync", "ftp://there"),
        ("report", "nonsense"),
    ):
        done = three(name, "--uri", uri)
        assert (done.returncode, done.stdout) == (2, ""), (name, uri)
        assert f"Received --uri {uri}" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_ls_in_a_narrow_terminal_keeps_the_names(
    three: Nnbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("60", "79", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = three("ls").stdout
        assert shown.count("same") == 2
        assert "other b32" in shown
        assert max(map(len, shown.splitlines())) <= int(columns)


def test_where_runs_are_kept_is_one_line(nnbench: Nnbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of output that is piped; what is cut in two cannot be pasted."""
    deep = "a-long-name-of-a-folder/" * 4 + "results"
    monkeypatch.setenv("COLUMNS", "60")
    done = nnbench(*TINY, f"results={deep}")
    (run,) = read_runs(Path(deep))
    assert run.directory is not None
    assert f"{deep}/runs/{run.directory.name}" in done.stdout
    assert f"{deep}/runs/{run.directory.name}" in nnbench("show", "@last", f"results={deep}").stdout
