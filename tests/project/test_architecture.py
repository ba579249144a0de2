"""What the documents say of the source is true: rooms, their order, files, who reads the clock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from support import ROOT, SOURCE

PACKAGE = SOURCE / "nnbench"
PAGE = ROOT / "docs" / "architecture.md"
# Files are named from the root of the project or, in the architecture, from that of the package.
PAGES = {PAGE: (PACKAGE, ROOT), ROOT / "CONTRIBUTING.md": (ROOT,)}
ENDINGS = (".py", ".md", ".yaml", ".toml")


def files_named(text: str) -> set[str]:
    """Return what stands in backticks, or in a command, and is the path of a file or folder."""
    words = re.findall(r"`([^`\s]+)`", text) + re.findall(r"(?<=\s)[\w./]+\.py", text)
    shaped = {word for word in words if re.fullmatch(r"[\w./-]+", word)}
    paths = {word for word in shaped if word.endswith(("/", *ENDINGS)) or word.count("/") > 1}
    return {path for path in paths if "NAME" not in path and path != "run.json"}


def missing(text: str, roots: tuple[Path, ...]) -> list[str]:
    """Return the files that `text` names and that are not there."""
    return sorted(n for n in files_named(text) if not any((root / n).exists() for root in roots))


def packages() -> set[str]:
    """Return the packages below nnbench as the room map writes them, `training/`."""
    found = (path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
    return {f"{path.relative_to(PACKAGE).as_posix()}/" for path in found}


def section(title: str) -> str:
    """Return a section of the architecture."""
    return PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    assert len(files_named(text)) > 20
    assert missing(text, PAGES[page]) == []


def test_every_name_in_the_recipes_is_in_the_source() -> None:
    recipes = (ROOT / "CONTRIBUTING.md").read_text().split("## Add a layer")[1]
    names = set(re.findall(r"`([A-Za-z_]\w*)`", recipes.split("## Conventions")[0]))
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert len(names) > 10
    assert names - set(re.findall(r"\w+", source)) == set()


def test_a_file_that_is_gone_is_caught() -> None:
    text = (
        "see `model/layers.py`, `model/gone.py` or\n    pytest tests/gone.py; not `a + b` or `data`"
    )
    assert missing(text, (PACKAGE, ROOT)) == ["model/gone.py", "tests/gone.py"]


def test_the_room_map_names_every_package_and_module_of_the_root() -> None:
    named = set(re.findall(r"`([\w./]+)`", section("Rooms")))
    hidden = {"cli/doctor/"}  # named with its room
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert (packages() | modules) - hidden - named == set()


def test_the_order_of_rooms_is_the_one_that_is_enforced() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c["type"] == "layers"]
    shown = section("Rooms").split("```text\n")[1].split("```")[0]
    assert shown.splitlines() == layers


def test_whoever_measures_is_named() -> None:
    measuring = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "perf_counter" in path.read_text()
        or ("training" in path.parts and "import time" in path.read_text())
    }
    assert "training/epochs.py" in measuring
    assert measuring - set(re.findall(r"`([\w./]+)`", section("The clock"))) == set()
