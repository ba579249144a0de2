"""What there is to choose from: config groups, their options and the shipped experiments.

`conf/` and `experiments/` lie beside `src/` in a checkout and inside the package in a wheel.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from nnbench.errors import ConfigError


@cache
def root() -> Path:
    """Return the folder that holds `conf/` and `experiments/`."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package, package.parents[1]):
        if (folder / "conf" / "config.yaml").is_file():
            return folder
    raise ConfigError(f"No conf/config.yaml beside {package}; install nnbench again.")


def options(group: str) -> dict[str, str]:
    """Return the options of a config group with the first comment of each file."""
    found = {}
    for path in sorted((root() / "conf" / group).glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = [n[2:] for n in lines if n.startswith("# ") and not n.startswith("# @package")]
        found[path.stem] = comments[0] if comments else ""
    return found


def groups() -> list[str]:
    """Return the names of the config groups, in the order of the main defaults list."""
    text = (root() / "conf" / "config.yaml").read_text(encoding="utf-8")
    names = re.findall(r"^  - (\w+): \S+$", text, flags=re.MULTILINE)
    return [name for name in names if (root() / "conf" / name).is_dir()]


def experiments() -> dict[str, Path]:
    """Return every case of the shipped studies as `STUDY/CASE`."""
    base = root() / "experiments"
    return {
        f"{path.parent.name}/{path.stem}": path
        for path in sorted(base.glob("*/*.yaml"))
        if path.name != "study.yaml"
    }


def studies() -> dict[str, Path]:
    """Return every shipped study: its name and its study.yaml."""
    return {p.parent.name: p for p in sorted((root() / "experiments").glob("*/study.yaml"))}


def read_study(name: str) -> dict[str, Any]:
    """Return what the study.yaml of the study `name` says."""
    import yaml

    values: dict[str, Any] = yaml.safe_load(studies()[name].read_text(encoding="utf-8"))
    return values
