"""Whoever writes a file may be killed while it does: the old or the new is there, and no litter."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from nnbench.records.run import RunResult
from nnbench.schema import archives
from nnbench.writing import _LEFT
from support import SOURCE, TESTS
from support.commands import PATIENCE

RUN = [
    "backend=numpy", "data=synthetic", "data.samples=200", "batch_size=32", "epochs=2",
    "tracking=local",
]  # fmt: skip
BOTH = ["-m", *RUN[1:], "backend=numpy,numpy_reference"]
MOMENTS = ("0", "300", "whole")
UMASKS = (0o027, 0o077)


class Writer(NamedTuple):
    """A command that writes a file, by a pattern of its name; `{run}` is a run on record."""

    name: str
    words: Sequence[str]
    pattern: str
    moments: Sequence[str] = MOMENTS


SIDES = ("a.py:build", "b.py:build")
DIAGNOSE = ("diagnose", *SIDES, "--seeds", "1", "--out", "said")
PROGRAM = """import torch
from torch import nn
torch.manual_seed(0)
def build():
    net = nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
    return net, torch.optim.SGD(net.parameters(), lr=RATE), nn.CrossEntropyLoss()
"""
EVERY_EPOCH = ("checkpoint.every=1", "checkpoint.unit=epochs")
WRITERS = (
    Writer("record", [*RUN, "seed=5"], r"run\.json"),
    Writer("configuration", [*RUN, "seed=5"], r"config\.yaml"),
    Writer("weights", [*RUN, "seed=5"], r"weights\.safetensors"),
    Writer("predictions", [*RUN, "seed=5"], r"predictions\.npz"),
    Writer("trajectory", [*RUN, "seed=5"], r"trajectory\.npz"),
    Writer("checkpoint", [*RUN, "seed=5", *EVERY_EPOCH], r"\d{7}-\d{9}\.safetensors"),
    Writer("recomputed", [*BOTH, "seed=5"], r"recomputed\.npz"),
    Writer("store", [*RUN[:-1], "seed=5"], r"^mlflow\.db$", ("whole",)),
    Writer("sync", ["sync", "--all"], r"run\.json"),
    Writer("report", ["report"], r"report\.html"),
    Writer("report's text", ["report"], r"report\.md"),
    Writer("report's plots", ["report"], r"\.svg"),
    Writer("report's data", ["report"], r"runs\.(csv|parquet)", ("whole",)),  # by Arrow
    Writer("explanation", ["explain", "{run}", "{other}"], r"explain\.md"),
    Writer("claims", ["claims", "--recorded", "create_nn_from_numpy", "--out", "out.md"], "out"),
    Writer("export to torch", ["export", "{run}", "--format", "torch"], r"model\.pt"),
    Writer("export's code", ["export", "{run}", "--format", "torch"], r"model\.py"),
    Writer("export to Keras", ["export", "{run}", "--format", "keras"], r"model\.keras"),
    Writer("times", ["ops", "backend=numpy", "--size", "8", "--rounds", "1", "--out", "o.json"],
           r"o\.json", ("0", "30", "whole")),
    Writer("trace", ["trace", "backend=numpy", *RUN[1:], "--out", "step.npz"], r"step\.npz"),
    Writer("parity", ["parity", *BOTH[1:]], r"parity\.json"),
    Writer("profile", ["profile", *RUN, "--plot", "p.svg"], r"p\.svg"),
    Writer("arch", ["new", "arch", "another"], r"another\.yaml"),
    Writer("backend", ["new", "backend", "another"], r"another\.(py|yaml)"),
    Writer("diagnosis", DIAGNOSE, r"diagnosis\.(html|json)"),
    Writer("program", [*DIAGNOSE, "--write", "mended"], r"b_.*\.py"),
    Writer("certificate", [*DIAGNOSE, "--write", "mended"],
           r"certificate\.json"),
    Writer("import", ["import", SIDES[0], "--as", "another"], r"another\.yaml"),
    Writer("cache", ["data", "fetch", "mnist_5k"], r"mnist_5k\.npz"),
)  # fmt: skip


def command(folder: Path, words: Sequence[str], umask: int, kill: str = "") -> tuple[int, str]:
    """Run `nnbench WORDS`; a process that writes the file to `kill` dies. Return how it ended."""
    paths = [str(SOURCE), str(TESTS / "support" / "killing")]
    places = {"CACHE": folder / "cache", "KILLED": folder.parent / "killed"}
    env = os.environ | {f"NNBENCH_{name}": str(place) for name, place in places.items()}
    env |= {"PYTHONPATH": os.pathsep.join(paths), "NNBENCH_KILL": kill}
    env |= {"MPLCONFIGDIR": str(folder.parent / "matplotlib")}
    done = subprocess.run(
        [sys.executable, "-m", "nnbench", *words], cwd=folder, env=env, umask=umask,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what is in files that have their place."""
    found = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in found if not any(map(_LEFT.fullmatch, path.parts)))
    return {path: path.read_bytes() for path in kept}


def left(folder: Path) -> list[Path]:
    """Return what killed processes left behind."""
    return [path for path in folder.rglob("*") if _LEFT.fullmatch(path.name)]


def check_whole(path: Path) -> None:
    """Fail unless a file can be read to its end."""
    content = path.read_bytes()
    match path.suffix:
        case ".npz":
            archives.arrays(path)
        case ".safetensors":
            archives.tensors(path)
        case ".html" | ".svg":
            assert content.rstrip().endswith((b"</html>", b"</svg>")), path
        case ".py":
            ast.parse(content)
        case ".json":
            assert RunResult.read(path.parent) if path.name == "run.json" else json.loads(content)
        case ".pt" | ".keras":
            assert archives.members(path)
        case ".parquet":
            assert content.endswith(b"PAR1"), path
        case ".yaml" | ".csv" | ".md":
            assert content.endswith(b"\n"), path


def killed(folder: Path, writer: Writer, moment: str, umask: int) -> bool:
    """Kill a writer at a moment, and have it go on; tell whether it was killed."""
    runs = sorted((folder / "results" / "runs").iterdir())[:2]
    places = {"run": str(runs[0]), "other": str(runs[1])}
    words = [word.format(**places) for word in writer.words]
    before = contents(folder)
    _, said = command(folder, words, umask, f"{moment}:{writer.pattern}")
    assert "Traceback" not in said, (writer.name, moment, said)
    targets = [
        p for p in contents(folder) if re.search(writer.pattern, p.name) and p.name[0] != "."
    ]
    for path in targets:
        if before.get(path) != path.read_bytes() and not path.name.endswith(".new"):
            check_whole(path)
    dead = (folder.parent / "killed").exists()
    again, said = command(folder, words, umask)
    assert again == 0, (writer.name, moment, said)
    if left(folder):  # a single run looks at no others
        command(folder, ["ls"], umask)
    assert left(folder) == [], (writer.name, moment)
    assert not (folder / "results" / "mlflow.db.new").exists()
    assert [p for p in contents(folder) if re.search(writer.pattern.strip("^$"), p.name)] or (
        writer.name in ("store", "checkpoint")
    ), writer.name
    for path in contents(folder).keys() - before.keys():
        if "mlartifacts" not in path.parts and path.suffix != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask, path
    return dead


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and a cache."""
    folder = tmp_path_factory.mktemp("writers") / "at"
    folder.mkdir()
    for name, rate in (("a", "0.1"), ("b", "0.05")):
        (folder / f"{name}.py").write_text(PROGRAM.replace("RATE", rate))
    code, said = command(folder, BOTH, 0o022)
    assert code == 0, said
    return folder


def tried(recorded: Path, tmp_path: Path, writer: Writer, moment: str, umask: int) -> bool:
    folder = tmp_path / "at"
    shutil.copytree(recorded, folder)
    return killed(folder, writer, moment, umask)


def test_a_writer_that_is_killed(recorded: Path, tmp_path: Path) -> None:
    assert tried(recorded, tmp_path, WRITERS[-1], "300", UMASKS[0])


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)
def test_every_writer_that_is_killed(recorded: Path, tmp_path: Path, writer: Writer) -> None:
    """At its first byte, after some, and when the file is to take its place."""
    for number, moment in enumerate(writer.moments):
        folder = tmp_path / moment
        folder.mkdir()
        umask = UMASKS[number % len(UMASKS)]
        assert tried(recorded, folder, writer, moment, umask), (writer.name, moment)


WRITES = {
    "write_text", "write_bytes", "savez", "savez_compressed", "savefig", "to_parquet", "to_csv",
    "to_json", "save_file", "mkstemp", "NamedTemporaryFile", "copyfile", "copy", "copy2", "move",
    "write_atomically", "write_arrays", "replacing", "staged", "scratch", "write",
}  # fmt: skip
KNOWN = {  # modules that write files, each tried above, or with the reason why not
    "backends/keras/export.py", "backends/torch/export.py", "cli/answering.py", "cli/ops.py",
    "data/cache.py", "data/mnist_5k.py", "records/files.py", "records/recomputed.py",
    "records/run.py", "records/trajectory.py", "records/weights.py", "reporting/asking.py",
    "reporting/explain/asking.py", "reporting/explain/page.py", "reporting/pages/drawn.py",
    "reporting/pages/plots.py", "reporting/pages/profile.py",
    "sweeps/operations.py", "sweeps/session.py", "sweeps/side_by_side.py", "tracking/sync.py",
    "training/checkpoint.py", "training/side_by_side.py", "writing.py",
    "data/download.py",  # tests/data/test_download.py
    "data/idx.py",  # tests/data/test_mnist.py: a copy that is not whole is made anew
    "cli/report.py", "cli/explain.py", "training/epochs.py",  # by `write` of what they have
    "cli/help.py", "testing/__main__.py", "sweeps/importing.py", "sweeps/programs.py",  # to output
    "reporting/diagnosis/diagnosis.py", "cli/diagnose.py", "cli/new.py",
    "training/diagnosing.py",  # into a folder that is removed afterwards
    "cli/trace.py",  # by `writing.write`
    "training/worker.py", "sweeps/process.py", "cli/overrides.py", "cli/__init__.py",  # pipes
}  # fmt: skip


def test_every_place_that_writes_is_known() -> None:
    """So that a new one is not forgotten above."""
    found = set()
    for path in (SOURCE / "nnbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                opens = name == "open" and any(t in ("w", "wb", "a", "ab", "x") for t in texts)
                owner = getattr(getattr(node.func, "value", None), "id", "")
                copies = name in ("copy", "move") and owner != "shutil"
                if opens or (name in WRITES and not copies):
                    found.add(path.relative_to(SOURCE / "nnbench").as_posix())
    assert found <= KNOWN, found - KNOWN
