"""Records, studies and names of others are data: no code, no markup, no terminal commands."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from nnbench import writing
from nnbench.config.composition import compose, of_record
from nnbench.errors import ConfigError, ResultsError
from nnbench.formatting import NAME_CHARACTERS, printable
from nnbench.records.deletion import delete
from nnbench.records.folder import read_runs
from nnbench.records.locks import Claim, locked
from nnbench.records.run import RunResult
from nnbench.reporting.pages.screen import Screen
from support.commands import PATIENCE, TINY, begin, here, kill_group, started, wait_for
from support.records import CONFIG, make_run

SOURCES = Path(__file__).resolve().parents[2] / "src" / "nnbench"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return Path("results")


NAMES = ("[/]", "[red]x[/red] :smile:")


@pytest.mark.parametrize("name", NAMES)
def test_markup_in_a_name_is_shown_as_it_is(results: Path, name: str) -> None:
    done = here([f'name="{name}"', "results=results", *TINY])
    assert done.returncode == 0, done.stderr
    assert f"{name}: finished" in done.stdout
    run = read_runs(results)[0]
    for words in (["show", run.run_id], ["ls"], ["rm", run.run_id, "--yes"]):
        done = here(words)
        assert done.returncode == 0, done
        assert name in done.stdout


def test_every_command_prints_on_a_screen() -> None:
    """A Console of rich's own reads markup; escaping it here and there is what was forgotten."""
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        if path.name != "screen.py":
            assert "Console(" not in text, path
            assert "rich.markup" not in text, path
            assert "click.echo" not in text, path


def test_escape_sequences_stay_text(results: Path) -> None:
    evil = "a\x1b[31m\x1b]0;title\x07\x9b2J\u202eb"
    config = CONFIG | {"case": None, "name": None}
    make_run(results / "runs" / "r1", name=evil, run_id="r1", config=config)
    for words in (["ls"], ["show", "r1"], ["sync", "--experiment", "x"], ["rm", "r1", "--yes"]):
        done = here(words)
        said = done.stdout + done.stderr
        for character in "\x1b\x07\x9b\u202e":
            assert character not in said, (words, said)
        assert "Traceback" not in said
    assert printable(evil) == r"a\x1b[31m\x1b]0;title\x07\x9b2J\u202eb"
    assert printable("日本 é\n\tx") == "日本 é\n\tx"


def test_a_screen_shows_text_and_nothing_else() -> None:
    out = io.StringIO()
    screen = Screen(file=out, width=200, force_terminal=True, highlight=False)
    screen.print("\x1b[2J[red]a[/red]", style="bold")
    assert "\x1b[2J" not in out.getvalue()
    assert r"\x1b[2J[red]a[/red]" in out.getvalue()


def test_long_names_are_refused_when_typed_and_cut_when_shown(results: Path) -> None:
    done = here([f"name={'x' * 5000}", *TINY])
    assert done.returncode == 2
    assert "at most 120 characters" in done.stderr
    assert len(done.stderr) < 400
    make_run(results / "runs" / "r1", name="x" * 5000, run_id="r1")
    for words in (["ls"], ["show", "r1"]):
        done = here(words)
        assert done.returncode == 0
        assert "x" * (NAME_CHARACTERS + 1) not in done.stdout


WIDE = ("99999999999999999999999", "9223372036854775808", "-1")
KEYS = ("seed", "data.split_seed", "epochs", "batch_size")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, marks=[pytest.mark.slow] * (i % len(WIDE) != j))
        for i, key in enumerate(KEYS)
        for j, value in enumerate(WIDE)
    ],
)
def test_whole_numbers_have_64_bits(results: Path, key: str, value: str) -> None:
    done = here([f"{key}={value}", *[w for w in TINY if not w.startswith(f"{key}=")]])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"Received {key}={value}; must be" in line
    assert not (results / "runs").exists()


def test_the_backend_of_a_foreign_record_is_the_one_installed_here(tmp_path: Path) -> None:
    values = compose(["backend=keras_fit"]).values
    evil = values["backend"] | {
        "_target_": "os.system", "env": ["PYTHONPATH=/evil"], "packages": ["evil.module"],
    }  # fmt: skip
    assert of_record(values | {"backend": evil}) == values
    for name, wrong in (("name", "evil"), ("execution", "fit ++x=1"), ("engine", "${oc.env:HOME}")):
        with pytest.raises(ConfigError):
            of_record(values | {"backend": evil | {name: wrong}})


def test_explain_runs_no_code_of_a_foreign_record(results: Path, tmp_path: Path) -> None:
    trap = tmp_path / "evil"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (trap / "module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    values = compose(["backend=numpy", *TINY, "results=results"]).values
    backend = values["backend"] | {
        "_target_": "module.Trainer", "env": [f"PYTHONPATH={trap}"], "packages": ["module"],
    }  # fmt: skip
    make_run(results / "runs" / "r1", run_id="r1", config=values | {"backend": backend})
    sys.path.insert(0, str(trap))
    try:
        done = here(["explain", "r1", f"backend=numpy {' '.join(TINY)} seed=1"])
    finally:
        sys.path.remove(str(trap))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "setting",
    ["PYTHONPATH=x", "LD_PRELOAD=x", "PATH=x", "KERAS_BACKEND", "XLA_FLAGS=--a", "HOME=x"],
)
def test_a_backend_sets_named_variables_alone(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"Received backend.env\[0\]=.*must be VARIABLE=VALUE"):
        compose(["backend=numpy", f"backend.env=['{setting}']"])
    assert compose(["backend=numpy", "backend.env=['KERAS_BACKEND=torch']"]).config.backend.env


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a ${hydra:job.name}"])
def test_a_study_of_others_takes_nothing_from_the_environment(
    results: Path, value: str, tmp_path: Path
) -> None:
    study = tmp_path / "experiments" / "theirs"
    study.mkdir(parents=True)
    (study / "study.yaml").write_text(
        f"title: t\nquestion: q\ncases:\n  one:\n    backend: numpy\n    name: '{value}'\n"
    )
    done = here(["experiment=theirs/one", *TINY])
    assert done.returncode == 2
    assert "is data alone and takes nothing from elsewhere" in done.stderr


@pytest.mark.parametrize("run_id", ["../../x", "/tmp/x", ".hidden", "a/b", ""])
def test_a_record_names_no_path_outside_its_folder(results: Path, run_id: str) -> None:
    make_run(results / "runs" / "r1", run_id=run_id)
    with pytest.raises(ResultsError, match=r"run_id=.*must be letters"):
        RunResult.read(results / "runs" / "r1")


def test_rm_leaves_a_run_that_went_on(results: Path) -> None:
    run = make_run(results / "runs" / "r1", run_id="r1", status="killed")
    assert run.directory is not None
    with locked(run.directory), pytest.raises(ResultsError, match="went on while you were asked"):
        delete(run, lambda _: [])
    claim = Claim(results, run.fingerprint)
    assert claim.take()
    with pytest.raises(ResultsError, match="went on while you were asked"):
        delete(run, lambda _: [])
    claim.release()
    dataclasses.replace(run, epochs=run.epochs[:2]).write()
    with pytest.raises(ResultsError, match="went on while you were asked"):
        delete(run, lambda _: [])
    run.write()
    assert delete(run, lambda _: ["x"]) == ["x"]
    assert not run.directory.exists()
    with pytest.raises(ResultsError, match=r"Cannot delete .*: it is not there any more"):
        delete(run, lambda _: [])


def test_writers_keep_the_umask_and_what_the_killed_left_goes(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        writing.write(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    writing.write(tmp_path / "b", b"x")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o666 & ~before
    child = os.fork()
    if child == 0:
        with writing.replacing(tmp_path / "c"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 3
    with writing.replacing(tmp_path / "d"):  # ours, and alive
        writing.clear(tmp_path)
        assert len(list(tmp_path.iterdir())) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "d"]
    others = [tmp_path / f".run.json.abcdef-1-{n}{n}{n}{n}{n}{n}.json" for n in range(2)]
    for days, path in enumerate(others):  # of another machine: by its age
        path.touch()
        os.utime(path, times=(path.stat().st_mtime - 3 * 86400 * days,) * 2)
    writing.write(tmp_path / "a", b"x")
    assert [path for path in others if path.exists()] == others[:1]


def test_a_report_is_the_old_or_the_new(tmp_path: Path) -> None:
    writing.write(tmp_path / "page", b"old")
    with contextlib.suppress(KeyboardInterrupt), writing.staged(tmp_path) as new:
        (new / "page").write_text("ne")
        raise KeyboardInterrupt
    assert (tmp_path / "page").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    with writing.staged(tmp_path) as new:
        (new / "plots").mkdir()
        (new / "plots" / "a").write_text("new")
        (new / "page").write_text("new")
    assert (tmp_path / "page").read_text() == (tmp_path / "plots" / "a").read_text() == "new"


LONG = ["data=synthetic", "data.samples=200", "epochs=100000", "batch_size=1", "tracking=local"]


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGHUP, "group"),  # as a terminal that is closed does
        (signal.SIGQUIT, "parent"),
        pytest.param(signal.SIGHUP, "parent", marks=pytest.mark.slow),
        pytest.param(signal.SIGQUIT, "group", marks=pytest.mark.slow),
    ],
)
def test_a_closed_terminal_leaves_a_checkpoint(
    tmp_path: Path, number: signal.Signals, whom: str
) -> None:
    process = begin(tmp_path, LONG)
    try:
        started(process, tmp_path, after=1)
        if whom == "parent":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        kill_group(process)
    assert process.returncode == 128 + number, (out, err)
    (run,) = read_runs(tmp_path / "results")
    assert run.status == "killed"
    assert run.directory is not None
    assert list((run.directory / "checkpoints").glob("*.safetensors"))


def test_threads_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    writing.write(path, b"0" * 1000)
    threads = [
        threading.Thread(target=writing.write, args=(path, str(i).encode() * 1000))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(set(path.read_bytes())) == 1
        time.sleep(0)
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
    assert wait_for(lambda: path)
