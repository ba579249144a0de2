"""Studies: published comparisons as data, a study.yaml each, and the cases they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnbench.config.sources import experiments_folders


def studies() -> dict[str, Path]:
    """Return every study: its name, which is its folder's, and its study.yaml."""
    found: dict[str, Path] = {}
    for folder in experiments_folders():
        for path in sorted(folder.glob("*/study.yaml")):
            found.setdefault(path.parent.name, path)
    return found


def experiments() -> dict[str, Path]:
    """Return every case of the studies as `STUDY/CASE`."""
    return {
        f"{name}/{path.stem}": path
        for name, study in studies().items()
        for path in sorted(study.parent.glob("*.yaml"))
        if path.name != "study.yaml"
    }


def read_study(name: str) -> dict[str, Any]:
    """Return what the study.yaml of the study `name` says."""
    import yaml

    values: dict[str, Any] = yaml.safe_load(studies()[name].read_text(encoding="utf-8"))
    return values
