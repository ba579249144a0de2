"""`results=DIR` names the results folder, in every command alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnbench.api import report
from nnbench.cli import COMMANDS
from nnbench.cli.results import folder, one_way
from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from support.commands import TINY, Nnbench
from support.records import make_run


def record(folder: Path, name: str = "one") -> None:
    make_run(folder / "runs" / "r1", name=name)


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("a folder", ["results=a folder"]),
        ("rx", ["--results=rx"]),
        ("deep/er", ["--results", "deep/er"]),
    ],
)
def test_reading_commands(nnbench: Nnbench, tmp_path: Path, folder: str, words: list[str]) -> None:
    record(tmp_path / folder)
    assert "one" in nnbench("ls", *words).stdout
    assert "Run it again" in nnbench("show", *words, "one").stdout
    done = nnbench("rm", "one", "--yes", *words)
    assert done.returncode == 0, done.stderr
    assert not read_runs(tmp_path / folder)


def test_the_store_lies_in_the_folder(nnbench: Nnbench, tmp_path: Path) -> None:
    record(tmp_path / "rx")
    assert nnbench("sync", "one", "results=rx").stdout == "one (r1): uploaded\n"
    assert {p.name for p in tmp_path.iterdir()} == {"rx"}


@pytest.mark.slow
def test_runs_and_what_reads_them(nnbench: Nnbench, tmp_path: Path) -> None:
    two = ["-m", "backend=numpy,numpy_reference", *TINY, "batch_size=16", "results=rx"]
    assert nnbench(*two).returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"rx"}
    assert "rx/report/report.html" in nnbench("report", "results=rx", "batch_size=16").stdout
    explained = nnbench("explain", "numpy b16 s0", "numpy reference b16 s0", "results=rx")
    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert "rx/explain/explain.html" in explained.stdout
    assert nnbench("arch", "results=rx", *TINY).returncode == 0
    assert nnbench("trace", "results=rx", *TINY).returncode == 0
    assert (tmp_path / "rx" / "traces").is_dir()
    assert {p.name for p in tmp_path.iterdir()} == {"rx"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ls", "results="], "Received results=; name a folder, as in results=mine."),
        (["results="], "Received results=; name a folder, as in results=mine."),
        (["ls", "results=a", "results=b"], "Received results=a and results=b; name one results"),
        (["ls", "results=a", "--results", "b"], "Received results=a and results=b; name one"),
        (["results=a", "results=b"], "Received results=a and results=b; name one results folder."),
        (["ls", "--results"], "Received --results without a folder; use results=DIR."),
        (["ls", "results=[a]"], "Received results=[a]; must be text."),
        (["data", "list", "results=rx"], "nnbench data uses no results folder: leave it out."),
        (["study", "results=rx"], "Received results=rx without a study; `nnbench study` lists"),
        (
            ["explain", "results=rx seed=1", "seed=2"],
            "both ends share one results folder: nnbench explain A B results=DIR.",
        ),
        (["ui", "results=nowhere"], "No runs recorded in nowhere"),
        (
            ["export", "x", "results=rx", "--format", "torch"],
            "rx has no run of that name, id or folder",
        ),
        (["claims", "nobody", "results=rx"], "nobody"),
    ],
)
def test_wrong_uses(nnbench: Nnbench, words: list[str], said: str) -> None:
    done = nnbench(*words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_command_takes_it_or_says_why_not(nnbench: Nnbench, tmp_path: Path) -> None:
    """`--help` reads no arguments before it, so that no command has to do its work here."""
    for name in COMMANDS:
        done = nnbench(name, "results=rx", "--help")
        assert done.returncode == 0, (name, done.stderr)


def test_the_words_of_a_report_from_python() -> None:
    with pytest.raises(ConfigError, match="name the folder as `results`"):
        report(["results=rx"])


def test_a_folder_is_what_a_run_takes_it_for() -> None:
    assert folder("results=a/b-c.d") == "a/b-c.d"
    assert folder("results='a, b'") == "a, b"
    assert folder("results='null'") == "null"
    assert one_way(["--results", "a, b"]) == ["results='a, b'"]
    assert folder(one_way(["--results", "it's"])[0]) == "it's"
    assert one_way(["x", "--results=null"]) == ["x", "results='null'"]
