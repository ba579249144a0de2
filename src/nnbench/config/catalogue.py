"""What there is to choose from: config groups, their options and the folders of studies.

`conf/` and `experiments/` lie beside `src/` in a checkout and inside the package in a wheel.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

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


def experiments_folders() -> list[Path]:
    """Return the folders of studies, `STUDY/study.yaml` each; of one name the first counts."""
    return [root() / "experiments"]
