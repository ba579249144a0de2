"""Every command and every piece of Python in the documents runs as it is written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Nnbench
from nnbench import catalogue
from nnbench.record import read_runs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Shortened so that the command's meaning stays: fewer epochs and samples.
SHORTER = ["epochs=1", "tracking=local", "data.train_samples=64"]
WITHOUT_RUN = {"--help", "runs", "doctor", "ui", "data", "study", "check"}


def blocks(language: str) -> list[str]:
    pattern = rf"```{language}\n(.*?)```"
    return [b for page in PAGES for b in re.findall(pattern, page.read_text(), flags=re.DOTALL)]


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("bash") for line in block.split("\n")]
    inline = re.findall(r"`(nnbench [^`]+)`", "\n".join(page.read_text() for page in PAGES))
    return sorted({line for line in [*lines, *inline] if line.startswith("nnbench")})


def test_the_documents_have_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_runs(nnbench: Nnbench, command: str) -> None:
    words = shlex.split(command)[1:]
    if "backend=NAME" in words:
        pytest.skip("NAME stands for a backend")
    if words and words[0] == "ui":
        pytest.skip("a server: tests/test_ui.py starts it")
    if words[:2] == ["data", "fetch"]:
        if "NNBENCH_DATA" not in os.environ:
            pytest.skip("needs the network or NNBENCH_DATA")
        assert nnbench(*words).returncode == 0
        return
    if words[:1] == ["study"]:
        words += ["data=mnist_5k", "data.train_samples=64", "epochs=1", "tracking=local"]
    elif not words or words[0] not in WITHOUT_RUN:
        words += SHORTER
    done = nnbench(*words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", blocks("python"))
def test_documented_python_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(read_runs(tmp_path / "results"))


def test_make_targets_in_the_documents_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z][a-z-]+)\b", text)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_table_of_groups_is_complete() -> None:
    text = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE))
    assert set(rows) == set(catalogue.groups())
    for group, row in rows.items():
        for option in catalogue.options(group):
            assert f"`{option}`" in row, f"{group}={option}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_gpu_check_runs_where_there_is_no_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.md"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "gpu_check"), "--device", "cpu", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [
        line for line in out.read_text().splitlines() if line.startswith(("| torch", "| keras"))
    ]
    assert len(rows) == 6
    assert not [line for line in rows if "not run" in line]
