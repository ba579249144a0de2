"""`nnbench new`: each skeleton works as it is, and overwrites nothing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nnbench.cli.new import FILES, NEXT
from support import ROOT
from support.commands import Nnbench, fresh


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arch", "backend", "study"])
def test_it_works_as_it_is(kind: str, nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("new", kind, "very_own", "--to", "a folder")
    assert (done.returncode, done.stderr) == (0, "")
    typed = [line.strip() for line in done.stdout.split("Try:\n")[1].splitlines()]
    assert len(typed) == len(NEXT[kind])
    for place, line in enumerate(typed):
        # Its backend is no part of this process: what a plug-in brings would stay.
        did = fresh(tmp_path, [*shlex.split(line)[1:], *["results=there"] * (place > 0)])
        assert (did.returncode, did.stderr) == (0, ""), did
        if place == 0:
            assert "very_own" in did.stdout or kind == "arch"


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_overwritten(kind: str, nnbench: Nnbench, tmp_path: Path) -> None:
    assert nnbench("new", kind, "mine9").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = nnbench("new", kind, "mine9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is there: choose another name" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["backend", "torch"], "there is backend=torch: choose another. Try: nnbench new backend"),
        (["backend", "json"], "there is a Python module json"),
        (["arch", "mlp"], "there is arch=mlp"),
        (["study", "create_nn_from_numpy"], "there is a study create_nn_from_numpy"),
        (["backend", "My Net"], "Try: nnbench new backend my_net"),
        (["arch", "../up"], "must be small letters"),
        (["arch", "class"], "must be small letters"),
        (["model", "x"], "'arch', 'study'"),
        (["arch", "x", "--to", "/proc/there"], "Cannot write --to /proc/there"),
    ],
)
def test_names_that_cannot_be(
    typed: list[str], said: str, nnbench: Nnbench, tmp_path: Path
) -> None:
    done = nnbench("new", *typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_skeleton_of_a_backend_is_the_documented_one() -> None:
    page = (ROOT / "docs" / "backends.md").read_text()
    shown = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", page, flags=re.DOTALL))
    folder = ROOT / "src" / "nnbench" / "cli" / "skeletons"
    assert (folder / "backend.py.txt").read_text() == shown["own/mine.py"]
    assert (folder / "backend.yaml.txt").read_text() == shown["own/backend/mine.yaml"]
    code = shown["own/mine.py"]
    imported = re.findall(r"^(?:from|import) (\S+)", code, flags=re.MULTILINE)
    assert set(imported) == {"numpy", "nnbench.extend"}
