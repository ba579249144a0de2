"""What a shell completes: by the entry point that its script asks, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnbench.cli import COMMANDS
from nnbench.cli.completion import SCRIPTS
from nnbench.config import catalogue
from support import SOURCE
from support.commands import PATIENCE, Nnbench, here
from support.records import make_run


def completed(nnbench: Nnbench, line: str) -> list[str]:
    done = nnbench("completion", "--line", line)
    assert (done.returncode, done.stderr) == (0, "")
    return [each.partition("\t")[0] for each in done.stdout.splitlines()]


def test_commands_groups_options_and_flags(nnbench: Nnbench) -> None:
    first = completed(nnbench, "nnbench ")
    assert {*COMMANDS, "backend=", "epochs=", "schedule.lr="} <= set(first)
    assert completed(nnbench, "nnbench sh") == ["show", "shuffle="]
    options = [f"optimizer={name}" for name in catalogue.options("optimizer")]
    assert completed(nnbench, "nnbench epochs=3 optimizer=") == options
    assert completed(nnbench, "nnbench -m backend=torch,nump") == [
        f"backend=torch,{name}" for name in catalogue.options("backend") if name.startswith("nump")
    ]
    assert completed(nnbench, "nnbench --pl") == ["--plan"]
    assert completed(nnbench, "nnbench report --fail") == ["--fail-if"]
    assert completed(nnbench, "nnbench data ") == ["list", "fetch"]
    assert completed(nnbench, "nnbench ls --status fin") == ["finished"]
    assert completed(nnbench, "nnbench study numpy_v") == ["numpy_vs_pytorch_analysis"]
    assert completed(nnbench, "nnbench completion z") == ["zsh"]
    assert completed(nnbench, "nnbench experiment=create_nn_from_numpy/published_t") != []
    assert completed(nnbench, "nnbench nothing=") == []
    assert completed(nnbench, "nnbench name='a b") == []


def test_runs(nnbench: Nnbench, tmp_path: Path) -> None:
    assert completed(nnbench, "nnbench show ") == []
    for number in (1, 2):
        folder = tmp_path / "mine" / "runs" / f"r{number}"
        make_run(folder, run_id=f"abcdef0{number}99", created=f"2026-01-0{number}T03:04:05+00:00")
    assert completed(nnbench, "nnbench show results=mine ") == ["@last", "abcdef02", "abcdef01"]
    assert completed(nnbench, "nnbench rm results=mine abcdef01") == ["abcdef01"]
    done = nnbench("completion", "--line", "nnbench explain results=mine ")
    assert "abcdef02\tnumpy r2" in done.stdout


def test_options_of_a_folder(
    nnbench: Nnbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnbench.config.sources._typed", [])
    (tmp_path / "own" / "schedule").mkdir(parents=True)
    (tmp_path / "own" / "schedule" / "stairs.yaml").write_text("# Down\nname: step\nlr: 1\n")
    typed = f"nnbench --config-dir {tmp_path}/own schedule=st"
    assert completed(nnbench, typed) == ["schedule=stairs", "schedule=step"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed_and_is_one(shell: str, tmp_path: Path) -> None:
    done = here(["completion", shell])
    assert done.returncode == 0
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(done.stdout)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True, timeout=PATIENCE)


def test_no_shell_is_a_mistake() -> None:
    assert here(["completion"]).returncode == 2
    assert (
        "invalid" in here(["completion", "tcsh"]).stderr.lower()
        or "tcsh" in here(["completion", "tcsh"]).stderr
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nnbench sho", ["show"]),
        ("nnbench epochs=3 optimizer=ada", ["adagrad", "adam", "adamw"]),
        ("nnbench -m backend=torch,minit", ["torch,minitorch"]),
        ("nnbench checkpoint.ev", ["checkpoint.every="]),
    ],
)
def test_in_bash(line: str, words: list[str], tmp_path: Path) -> None:
    """Its function is called as bash calls it, with the line so far."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nnbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nnbench "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(nnbench completion bash)"; compopt() { :; }; COMP_LINE="$1"; '
        'COMP_POINT=${#1}; _nnbench; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        ["bash", "-c", script, "-", line],
        cwd=tmp_path,
        env=os.environ | path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.split() == words
