"""Every command and every piece of Python in the documents runs as it is written."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnbench
from nnbench import extend
from nnbench.config import catalogue
from nnbench.records.folder import read_runs
from nnbench.records.run import SCHEMA_VERSION
from support import ROOT
from support.commands import Nnbench

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")]

# Shortened so that the command's meaning stays: fewer epochs and samples.
SHORTER = ["epochs=1", "tracking=local", "data.train_samples=64"]
WITHOUT_RUN = {
    "completion",
    "--help",
    "ls",
    "report",
    "claims",
    "explain",
    "sync",
    "doctor",
    "ui",
    "data",
    "study",
    "check",
    "arch",
    "parity",
    "trace",
    "profile",
    "ops",
}
LONG = (
    "nnbench -m backend=numpy,torch seed=0,1 epochs=20 --fresh",
    "nnbench -m backend=numpy,torch seed=0,1 batch_size=32",
    "nnbench -m backend=numpy,torch seed=0,1,2 batch_size=32",
    "nnbench -m search.trials=6 'schedule.lr=tag(log,interval(0.001,1))' "
    "'arch.hidden=choice([32],[64])' schedule=constant data.val_fraction=0.2 batch_size=32",
    "nnbench report",
    "nnbench explain",
    """nnbench report --fail-if "'torch against numpy'.time_ratio.low > 100" """
    '--fail-if "numpy.accuracy.high < 1%"',
    "nnbench report --json verdicts.json --junit verdicts.xml --summary summary.md",
    'nnbench explain "loss=bce" "loss=mse backend=torch" epochs=3',
    'nnbench explain "loss=bce" "loss=mse backend=torch" seed=0,1,2',
    "nnbench explain backend=keras backend=torch semantics=native input=resident init=glorot "
    "shuffle=false optimizer=sgd optimizer.momentum=0.9 schedule=step schedule.every=1 "
    "schedule.factor=0.1 schedule.lr=0.1 arch=mlp 'arch.hidden=[32]' loss=cross_entropy "
    "data.train_samples=1000 epochs=4 batch_size=32 seed=0,1,2",
    "nnbench ops --size 200 --rounds 2",
    "nnbench -m 'seed=range(0,3)' 'init.scale=choice(0.01,0.1)' batch_size=32 --fresh",
    "nnbench claims --out docs/results/claims.md",
    "nnbench check backend=numpy",
    "nnbench check backend=torch",
    "nnbench claims --recorded",
    "nnbench parity",
    "nnbench parity backend=numpy,torch epochs=1",
    "nnbench claims numpy_vs_pytorch_analysis",
    "nnbench explain 'numpy b32 s0' 'torch b32 s0'",
    "nnbench explain create_nn_from_numpy/published_numpy_b1 "
    "create_nn_from_numpy/published_torch_b1",
    "nnbench study create_nn_from_numpy",
)

# A command that starts PyTorch, or asks every package what it can, takes seconds. What they do has
# fast tests in its room.
SLOW = (
    "backend=torch",
    "numpy,torch",
    "--baseline torch",
    "doctor",
    "launcher=parallel",
    "compiled",
)


def is_slow(command: str) -> bool:
    dear = any(word in command for word in SLOW) and "--plan" not in command
    return command in LONG or dear


# Read from top to bottom: their blocks belong together and have a test of their own.
TOGETHER = [
    ROOT / "docs" / f"{name}.md" for name in ("backends", "backpropagation", "mistakes", "textbook")
]


def blocks(language: str, pages: list[Path]) -> list[str]:
    pattern = rf"```{language}\n(.*?)```"
    return [b for page in pages for b in re.findall(pattern, page.read_text(), flags=re.DOTALL)]


def apart() -> list[Path]:
    return [page for page in PAGES if page not in TOGETHER]


def commands() -> list[str]:
    found = blocks("bash", apart())
    lines = [line.split("  #")[0].strip() for block in found for line in block.split("\n")]
    inline = re.findall(r"`(nnbench [^`]+)`", "\n".join(page.read_text() for page in apart()))
    return sorted({line for line in [*lines, *inline] if line.startswith("nnbench")})


def test_the_documents_have_commands() -> None:
    assert len(commands()) >= 8
    assert set(LONG) <= set(commands())


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs that a documented report needs."""
    folder = tmp_path_factory.mktemp("recorded")
    sweep = ["-m", "backend=numpy,torch", "batch_size=32", "seed=0,1,2", *SHORTER]
    done = subprocess.run(
        [sys.executable, "-m", "nnbench", *sweep],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for run in read_runs(folder / "results"):
        dataclasses.replace(run, flags=()).write()  # where the machine was busy
    return folder / "results"


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[pytest.mark.slow] * is_slow(c)) for c in commands()],
)
def test_a_documented_command_runs(
    nnbench: Nnbench, tmp_path: Path, request: pytest.FixtureRequest, command: str
) -> None:
    words = shlex.split(command)[1:]
    if any(word.isupper() or word == "backend=NAME" for word in words):
        pytest.skip("capitals stand for something")
    if words[:1] == ["diagnose"]:
        pytest.skip("two files: tests/reporting/test_diagnose_page.py writes them and runs it")
    if words and words[0] == "ui":
        pytest.skip("a server: tests/cli/test_ui.py starts it")
    if words[:2] == ["data", "fetch"]:
        if "NNBENCH_DATA" not in os.environ:
            pytest.skip("needs the network or NNBENCH_DATA")
        assert nnbench(*words).returncode == 0
        return
    names = {"numpy b32 s0", "torch b32 s0"} & set(words)
    if words[:1] == ["report"] or names:
        shutil.copytree(request.getfixturevalue("recorded"), tmp_path / "results")
    if words[:1] == ["claims"] or (words[:1] == ["study"] and words[1:]):
        one = any((ROOT / "experiments" / word).is_dir() for word in words[1:])
        if not one and "NNBENCH_DATA" not in os.environ:
            pytest.skip("needs MNIST's files: one of the studies sets what mnist_5k does not have")
        words += ["data=mnist_5k"] * one
        words += ["data.train_samples=64", "epochs=1", "tracking=local"]
        words += ["--seeds", "1"] * (words[0] == "claims")
    elif words[:1] == ["explain"] and not names:
        words += ["data.train_samples=64", "epochs=1"]
        words += ["data=mnist_5k"] * any("/" in word for word in words)
    elif not words or words[0] not in WITHOUT_RUN:
        words += SHORTER
    done = nnbench(*words)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # test_python.py asks the same of the same functions
@pytest.mark.parametrize("code", blocks("python", apart()))
def test_documented_python_runs(code: str, tmp_path: Path, tables: Path) -> None:
    (tmp_path / "results").mkdir()
    shutil.copy(tables, tmp_path / "results")  # which MLflow takes a second to make
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(read_runs(tmp_path / "results"))


@pytest.mark.slow
def test_the_page_on_backpropagation_is_true(nnbench: Nnbench, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    page = [ROOT / "docs" / "backpropagation.md"]
    (command,) = blocks("bash", page)
    done = nnbench(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    code = "\n".join(blocks("python", page))
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "(4, 64) (4, 3) (4, 3) (4, 10)" in ran.stdout
    shown = blocks("text", page)[0].split("...")[0].strip()
    assert shown.splitlines()[0] in done.stdout


@pytest.mark.slow  # test_plugins.py has the same backend pass it as a package
def test_the_backend_of_the_documents_passes_the_kit(nnbench: Nnbench, tmp_path: Path) -> None:
    page = ROOT / "docs" / "backends.md"
    for name, content in re.findall(
        r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", page.read_text(), flags=re.DOTALL
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    check, run, parity = blocks("bash", [page])[0].strip().splitlines()
    done = nnbench(*shlex.split(check)[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass  sigmoid: " in done.stdout
    assert "  -   gelu: Received layer gelu; backend=mine has dense nets." in done.stdout
    assert nnbench(*shlex.split(run)[1:], "tracking=local").returncode == 0
    done = nnbench(*shlex.split(parity)[1:])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" agrees ") == 2


def test_backends_need_nothing_but_the_module_for_their_authors() -> None:
    page = (ROOT / "docs" / "backends.md").read_text()
    imported = set(re.findall(r"^\s*(?:from|import) (nnbench[\w.]*)", page, flags=re.MULTILINE))
    assert imported == {"nnbench.extend"}
    for name in set(re.findall(r"`nnbench\.extend\.(\w+)`", page)):
        assert name in extend.__all__


def test_make_targets_in_the_documents_exist() -> None:
    text = "\n".join(page.read_text() for page in [*PAGES, *ROOT.glob(".github/**/*.*")])
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|^|run: )make ([a-z][a-z-]+)\b", text, flags=re.MULTILINE))
    assert {"setup", "demo", "test", "bench", "docs"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_table_of_groups_is_complete() -> None:
    text = (ROOT / "docs" / "settings.md").read_text().split("## Values")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE))
    assert set(rows) == set(catalogue.groups())
    for group, row in rows.items():
        for option in catalogue.options(group):
            assert f"`{option}`" in row, f"{group}={option}"


def test_the_front_page_is_short() -> None:
    """A hurried reader reads all of it, output and tables included."""
    assert len((ROOT / "README.md").read_text().split()) < 850


def anchors(page: Path) -> set[str]:
    """Return the fragments that GitHub gives the headings of `page`."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """Return the relative links of `page` that lead to no file, or to no heading of it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    dead = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            dead.append(link)
    return dead


def test_links_lead_somewhere() -> None:
    assert {
        str(page.relative_to(ROOT)): dead for page in LINKING if (dead := dead_links(page))
    } == {}


def test_a_dead_link_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A b\n[a](#a-b) [b](#c) [c](gone.md) [d](page.md#gone) [e](https://x.org/y)\n"
    )
    assert dead_links(page) == ["#c", "gone.md", "page.md#gone"]


def test_versions_agree() -> None:
    version = re.escape(nnbench.__version__)
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == nnbench.__version__
    assert f"| {SCHEMA_VERSION} | " in (ROOT / "CHANGELOG.md").read_text()
