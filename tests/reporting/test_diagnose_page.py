"""docs/diagnose.md: three questions from beginning to end, their answers as the command gives them.

The programs are tests/support/pairs. Where an answer has changed in anything but its numbers, the
page is written anew and the test fails.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from nnbench.reporting.diagnosis.asking import ask
from nnbench.reporting.diagnosis.diagnosis import Diagnosis
from nnbench.reporting.diagnosis.plain import main_gap
from nnbench.reporting.pages.diagnosis import screen
from nnbench.reporting.pages.screen import Screen
from nnbench.sweeps.observer import Observer

pytest.importorskip("torch")
pytest.importorskip("keras")
pytest.importorskip("tensorflow")

ROOT = Path(__file__).parents[2]
PAGE, PAIRS = ROOT / "docs" / "diagnose.md", ROOT / "tests" / "support" / "pairs"
END = "<!-- end -->"
WIDTH = 110
QUESTIONS = {  # the settings that are named
    "softmax": ["softmax before a cross-entropy on logits"],
    "decay": ["adam epsilon and its place", "weight decay coupled against decoupled"],
    "images": [],
}


def begin(name: str) -> str:
    return f"<!-- written by a test: {name} -->"


def answered(name: str, folder: Path) -> Diagnosis:
    """Return the diagnosis of a pair, its runs below `folder`."""
    a, b = (str(PAIRS / f"{name}_{side}.py") for side in ("torch", "keras"))
    return ask(f"{a}:build", f"{b}:build", (), 3, folder / "results", folder / name, Observer())


def shown(found: Diagnosis, name: str) -> str:
    """Return what the page has of a question: the programs, and the screen without times."""
    parts = []
    for side in ("torch", "keras"):
        source = (PAIRS / f"{name}_{side}.py").read_text(encoding="utf-8")
        parts.append(f"`{name}_{side}.py`:\n\n```py\n{source}```\n")
    console = Screen(file=io.StringIO(), width=WIDTH, color_system=None)
    console.print(screen(found))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue().replace(f"{PAIRS}/", "")
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("time per epoch")]
    command = f"$ nnbench diagnose {name}_torch.py:build {name}_keras.py:build"
    return "\n".join([*parts, "```text", command, *lines, "```"])


def words(text: str) -> list[str]:
    """Return the words, sorted: where a number has another width, cells wrap at other places."""
    return sorted(re.sub(r"─+", " ", re.sub(r"[-+]?\d[\d.,e+-]*", "#", text)).split())


def checked(name: str, expected: list[str], tmp_path: Path) -> Diagnosis:
    """Return the diagnosis of a pair: what is named explains the gap; mended it is one model."""
    found = answered(name, tmp_path)
    assert found.understood
    assert [each.name for each in found.differences] == expected
    gap = main_gap(found)
    assert gap is not None
    if not (gap.is_noise or gap.is_small):
        named = sum(gap.share(e) for e in gap.effects if e.name != "backend")
        assert named > 0.85
    files = found.write_mended(tmp_path / "mended")
    certificates = [file for file in files if file.suffix == ".json"]
    assert certificates
    for file in certificates:
        assert '"one_model": true' in file.read_text(encoding="utf-8"), file.read_text()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected", "share"),
    [
        ("held", ["dense 1 does not learn", "batch_norm running variance",
                  "batch_norm 2 does not learn"], "dense 1 does not learn"),
        ("drops", ["dropout in evaluation"], "dropout in evaluation"),
    ],
)  # fmt: skip
def test_what_does_not_learn_or_goes_on_dropping_is_explained(
    name: str, expected: list[str], share: str, tmp_path: Path
) -> None:
    gap = main_gap(checked(name, expected, tmp_path))
    assert gap is not None
    assert not gap.is_noise
    assert next(gap.share(each) for each in gap.effects if each.name == share) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_as_the_page_has_it(name: str, tmp_path: Path) -> None:
    found = checked(name, QUESTIONS[name], tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(begin(name))
    old, _, after = rest.partition(END)
    new = shown(found, name)
    if words(old) != words(new):
        PAGE.write_text(f"{before}{begin(name)}\n{new}\n{END}{after}", encoding="utf-8")
    assert words(old) == words(new), f"{PAGE} was written again"
