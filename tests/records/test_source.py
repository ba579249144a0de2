"""Which source decides a run: an edit of it makes the run another, any other edit does not."""

from __future__ import annotations

import fnmatch
import json
import os
import random
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nnbench.records import identity, source

OWN = {
    name: f"nnbench.backends.{name}.Trainer"
    for name in ("numpy", "torch", "keras", "forgenn", "textbook")
}


def digests(package: Path) -> dict[str, Any]:
    own = {name: source.backend_source(target, package)["digest"] for name, target in OWN.items()}
    return {"all": source.training_digest(package)} | own


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("model/layers.py", {"all"}),
        ("data/prepare.py", {"all"}),
        ("training/epochs.py", {"all"}),
        ("schema/__init__.py", {"all"}),
        ("config/run.py", {"all"}),
        ("records/weights.py", {"all"}),
        ("backends/parity.py", {"all"}),
        ("backends/torch/layers.py", {"torch"}),
        ("backends/numpy/fused/steps.py", {"numpy"}),
        ("backends/keras/xla.py", {"keras"}),
        ("backends/textbook/trainer.py", {"textbook"}),
        ("cli/__init__.py", set()),
        ("reporting/statistics/times.py", set()),
        ("reporting/comparison/fairness.py", set()),
        ("tracking/mlflow.py", set()),
        ("sweeps/loop.py", set()),
        ("records/run.py", set()),
        ("formatting.py", set()),
    ],
)
def test_only_what_trains_counts(tmp_path: Path, edited: str, changes: set[str]) -> None:
    package = tmp_path / "nnbench"
    shutil.copytree(source.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = digests(package)
    assert digests(package) == before
    path = package / edited
    path.write_text(path.read_text() + "\nEDITED = True\n")
    after = digests(package)
    assert {name for name, value in after.items() if value != before[name]} == changes


@pytest.mark.parametrize("backend", ["numpy", "forgenn", "textbook"])
def test_whatever_a_worker_loads_is_digested_or_left_out_with_a_reason(backend: str) -> None:
    """A module that is moved or added cannot fall out of the digest without a word."""
    code = (
        "import json, sys; import nnbench.training.worker, nnbench.training.runner;"
        f"import nnbench.backends.{backend};"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith('nnbench')]))"
    )
    if backend == "forgenn":
        pytest.importorskip("forgeNN")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(source.PACKAGE.parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {Path(name).relative_to(source.PACKAGE) for name in json.loads(done.stdout)}
    digested = {
        path.relative_to(source.PACKAGE)
        for pattern in (*source.TRAINS, f"backends/{backend}/**/*.py")
        for path in source.PACKAGE.glob(pattern)
    }
    left = {str(path) for path in loaded - digested}
    for name in sorted(left):
        known = [key for key in source.LEFT_OUT if fnmatch.fnmatch(name, f"{key}*")]
        assert known, f"{name} is loaded by a worker and is neither in TRAINS nor in LEFT_OUT"
    assert len(loaded & digested) > 30
    assert all(source.LEFT_OUT.values())


def third_party(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    package = folder / "theirs"
    (package / "conf" / "backend").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text("import sibling\nfrom nnbench.backends.numpy import layers\n")
    (package / "constants.json").write_text("1")
    (package / "conf" / "backend" / "mine.yaml").write_text("name: mine\n")
    (folder / "sibling.py").write_text("import deeper, scipy\n")
    (folder / "deeper.py").write_text("X = 1\n")
    (folder / "bystander.py").write_text("X = 1\n")
    (folder / "alone.py").write_text("from sibling import *\n")
    return package


@pytest.mark.parametrize(
    ("edited", "package", "module"),
    [
        ("theirs/mine.py", True, False),
        ("theirs/new.py", True, False),
        ("theirs/constants.json", True, False),
        ("theirs/conf/backend/mine.yaml", False, False),
        ("theirs/__pycache__/mine.pyc", False, False),
        ("alone.py", False, True),
        ("sibling.py", True, True),
        ("deeper.py", True, True),
        ("bystander.py", False, False),
    ],
)
def test_a_third_partys_source_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str, package: bool, module: bool
) -> None:
    third_party(tmp_path, monkeypatch)
    targets = ("theirs.mine.Mine", "alone.Mine")
    before = [source.backend_source(target) for target in targets]
    assert all(found["digest"] for found in before)
    assert before[0]["imports"].keys() == {"scipy"}
    path = tmp_path / edited
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    after = [source.backend_source(target) for target in targets]
    assert [a != b for a, b in zip(before, after, strict=True)] == [package, module]


def test_what_a_third_party_takes_from_our_backends_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third_party(tmp_path, monkeypatch)
    package = tmp_path / "nnbench"
    shutil.copytree(source.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = source.backend_source("theirs.mine.Mine", package)
    for name, changes in (("torch/layers.py", False), ("numpy/layers.py", True)):
        (package / "backends" / name).write_text("")
        assert (source.backend_source("theirs.mine.Mine", package) != before) == changes


def test_without_source_there_is_no_digest() -> None:
    found = source.backend_source("no_such_package.Mine")
    assert found == {"package": "no_such_package", "version": None, "digest": None, "imports": {}}


def test_a_package_has_the_version_of_the_distribution_that_brings_it() -> None:
    known = metadata.packages_distributions()
    assert {"yaml", "sklearn", "scipy"} <= known.keys()  # two are called otherwise
    some = random.Random(0).sample(sorted(known), 12)
    for top in (*some, "yaml", "sklearn", "_no_such_package"):
        bringing = {each.name for each in metadata.distributions() if source._brings(each, top)}
        assert bringing == set(known.get(top, ())), top
    assert source._version("sklearn") == metadata.version("scikit-learn")


def test_a_changed_source_or_version_is_another_run_and_is_told() -> None:
    config = {"seed": 0, "backend": {"_target_": "theirs.mine.Mine"}}
    mine = {"package": "theirs", "version": "1.0", "digest": "a", "imports": {"scipy": "1.17"}}
    where = {"source_digest": "s", "versions": {"numpy": "2"}, "backend_source": mine}
    for changed, said in (
        (mine | {"digest": "b"}, ["another source of theirs"]),
        (mine | {"version": "1.1"}, ["another version of theirs (1.1, was 1.0)"]),
        (mine | {"imports": {"scipy": "1.18"}}, ["another version of scipy (1.18, was 1.17)"]),
        (mine | {"imports": {}}, ["another version of scipy (None, was 1.17)"]),
        (None, []),  # a record of an older version: its source_digest differs anyway
    ):
        other = where | {"backend_source": changed}
        assert identity.differing(config, where, config, other) == said
        prints = {identity.fingerprint(config, each, "p", None) for each in (where, other)}
        assert len(prints) == 2
    ours = {"package": "nnbench", "version": "1", "digest": "a", "imports": {}}
    one, two = (where | {"backend_source": ours | {"digest": d}} for d in "ab")
    assert identity.differing(config, one, config, two) == ["another source of nnbench"]


def test_a_digest_follows_contents_and_names(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    first = source.digest(tmp_path, tmp_path.rglob("*.py"))
    (tmp_path / "a.py").write_text("x = 2\n")
    second = source.digest(tmp_path, tmp_path.rglob("*.py"))
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    third = source.digest(tmp_path, tmp_path.rglob("*.py"))
    assert len({first, second, third}) == 3
    assert len(first) == 64
