"""Everything typed wrong costs one line, exit code 2, and nothing else; its remedy runs."""

from __future__ import annotations

import itertools
import random
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.commands import fresh, here
from support.mistakes import RUNS, SMALL, WRONG_ARGUMENTS, wrong_commands, wrong_runs
from support.records import make_run

SEED = 18
TRY = " Try: "


class Started(Exception):  # noqa: N818
    """A run was about to start."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two runs on record, in which no run may start."""
    for number, name in (("1", "numpy one"), ("2", "numpy two")):
        directory = tmp_path / "results" / "runs" / f"r{number}"
        make_run(directory, name=name, created=f"2026-01-0{number}T03:04:05+00:00")
    return unmoved(tmp_path, monkeypatch)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with runs that were trained, of which everything can be asked."""
    for seed, name in enumerate(("numpy one", "numpy two")):
        done = fresh(tmp_path, [*SMALL, f"seed={seed}", f"name={name}", "epochs=1"])
        assert done.returncode == 0, done
    return unmoved(tmp_path, monkeypatch)


def unmoved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder in which no run may start from here on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NNBENCH_NOPE", raising=False)

    def started(*_: object, **__: object) -> None:
        raise Started

    monkeypatch.setattr("nnbench.sweeps.session.Session.run", started)
    return tmp_path


def refused(typed: Sequence[str], folder: Path) -> str:
    """Type a command that is wrong; return what is said."""
    before = sorted(folder.rglob("*"))
    shown = shlex.join(["nnbench", *typed])
    try:
        done = here(typed)
    except Started:
        pytest.fail(f"{shown}: a run starts")
    assert done.returncode == 2, f"{shown}: {done}"
    assert done.stdout == "", shown
    lines = done.stderr.splitlines()
    assert len(lines) == 1, f"{shown}: {done.stderr}"
    assert lines[0].startswith("nnbench: "), shown
    assert "OmegaConf" not in lines[0], shown
    assert "hydra.cc" not in lines[0], shown
    assert sorted(folder.rglob("*")) == before, shown
    return lines[0]


def starts(said: str) -> bool:
    """Paste the remedy of a message; tell whether what it says is begun or answered."""
    typed = shlex.split(said.partition(TRY)[2])
    assert typed[0] == "nnbench", said
    try:
        done = here(typed[1:])
    except Started:
        return True
    # A published study needs MNIST, which may not be at hand.
    return done.returncode == 0 or "data=mnist: no files in" in done.stderr


@pytest.mark.parametrize("kind", RUNS, ids=[kind.__name__ for kind in RUNS])
def test_each_kind_of_mistake_in_a_run(
    kind: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each, without the search for its remedy; the slow test has five hundred."""
    monkeypatch.setattr("nnbench.cli.nearest.nearest", lambda *_: None)
    refused(wrong_runs(len(RUNS), SEED)[RUNS.index(kind)], folder)  # type: ignore[arg-type]


# What a command is to do, in each spelling: two of them are one too many.
TO_DO = (
    *(("-m", "--multirun"), ("--cfg=job", "-c=all"), ("--info", "-i=config")),
    *(("--run", "-r"), ("--hydra-help",)),
)


@pytest.mark.parametrize(("some", "others"), [*itertools.permutations(TO_DO, 2)])
def test_two_things_to_do_are_told(
    some: Sequence[str], others: Sequence[str], folder: Path
) -> None:
    for typed in itertools.product(some, others):
        said = refused([*typed, "epochs=1"], folder)
        for flag in typed:
            assert flag in said
        left = shlex.split(said.partition(TRY)[2])[1:]
        assert left in ([typed[0], "epochs=1"], [typed[1], "epochs=1"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_wrong_runs(trained: Path) -> None:
    messages = [refused(typed, trained) for typed in wrong_runs(500, SEED)]
    remedies = [said for said in messages if TRY in said]
    assert len(remedies) > 400
    pasted = random.Random(SEED).sample(remedies, 100)
    assert [said for said in pasted if not starts(said)] == []


def test_some_wrong_arguments_of_commands(folder: Path) -> None:
    cheap = ("ls", "show", "rm", "data", "study", "export", "arch")
    for name in cheap:
        for words in WRONG_ARGUMENTS[name][:2]:
            refused([name, *("numpy one" if word == "RUN" else word for word in words)], folder)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_wrong_arguments_of_every_command(trained: Path) -> None:
    every = wrong_commands(400, SEED, "numpy one")
    assert len(every) >= 150
    remedies = [said for typed in every if TRY in (said := refused(typed, trained))]
    assert len(remedies) > 40
    pasted = [said for said in remedies if not re.search("nnbench (report|parity)", said)]
    assert [said for said in pasted if not starts(said)] == []


# What is typed, and what was meant; a search for it takes a third of a second.
MEANT = (
    (["epocsh=3", *SMALL], ["epochs=3", *SMALL]),
    (["batch_size=abc"], ["batch_size=1"]),
    (["batch_size=1e1"], ["batch_size=10"]),
    (["shuffle=yes"], ["shuffle=true"]),
    (["name=r\u00e9sum\u00e9"], ['name="r\u00e9sum\u00e9"']),
    (["arch=mlp", "arch.hidden=64,32"], ["arch=mlp", "arch.hidden=[64,32]"]),
    (["seed=1,2"], ["-m", "seed=1,2"]),
    (["results=a,b"], ['results="a,b"']),
    (["backend=[numpy,numpy_reference]"], ["-m", "backend=numpy,numpy_reference"]),
    (["launcher.n_jobs=2"], ["launcher=parallel", "launcher.n_jobs=2"]),
    (["data=my.csv", "epochs=3"], ["data=csv", "data.path=my.csv", "epochs=3"]),
    (["dataset=a/my.npz"], ["data=npz", "data.path=a/my.npz"]),
    (
        ["data=csv", "data.path=my.csv", "data.target=age"],
        ["data=csv", "data.path=my.csv", "data.label=age"],
    ),
    (["optimizer.lr=0.1"], ["schedule=constant", "schedule.lr=0.1"]),
    (["BACKEND=NumPy"], ["backend=numpy"]),
    (["+backend=numpy"], ["backend=numpy"]),
    (["~epochs"], []),
    (["--plann", "epochs=1"], ["--plan", "epochs=1"]),
    (["--batch-size=3"], ["batch_size=3"]),
    (["optimizer.momentum.x=0.5"], ["optimizer.momentum=0.5"]),
    (["arch", "arch.bais=true"], ["arch", "arch.bias=true"]),
    (["numpy"], ["backend=numpy"]),
    (["loss=mse", "loss.label_smoothing=0.1"], ["loss=mse"]),
    (["epochs:3"], ["epochs=3"]),
    (["show", "nunpy one"], ["show", "numpy one"]),
    (["ls", "epochs=x=3"], ["ls"]),
    (["ls", "bakend=numpy"], ["ls", "backend=numpy"]),
    (["ls", "bakend=torch"], ["ls"]),  # there is no such run
    (["shwo", "numpy one"], ["show", "numpy one"]),
)
QUICK = 14  # of them in make test


@pytest.mark.parametrize(
    ("typed", "meant"),
    [pytest.param(*m, marks=[pytest.mark.slow] * (i >= QUICK)) for i, m in enumerate(MEANT)],
)
def test_the_remedy_is_the_nearest_command_that_can_be(
    typed: list[str], meant: list[str], folder: Path
) -> None:
    assert refused(typed, folder).endswith(TRY + shlex.join(["nnbench", *meant]))


def test_a_remedy_shows_no_password(folder: Path) -> None:
    said = refused(["tracking.uri=http://bob:secret@127.0.0.1:1", "epocsh=3"], folder)
    assert "secret" not in said
    assert TRY not in said
