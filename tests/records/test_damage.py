"""Damaged and foreign files: one line each, their run alone; the sound ones go on."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.cli import COMMANDS
from nnbench.cli.ui import _experiments
from nnbench.config.run import SearchConfig
from nnbench.config.space import Interval, Space
from nnbench.data import cifar10, mnist_5k
from nnbench.data.mnist import MNIST
from nnbench.errors import NNBenchError, ResultsError
from nnbench.records import recomputed, trajectory
from nnbench.records.folder import Folder, read_runs
from nnbench.records.run import RunResult
from nnbench.records.weights import load_predictions, load_weights
from nnbench.reporting import asking
from nnbench.schema import archives, files
from nnbench.sweeps.plan import Planner
from nnbench.sweeps.trials import Search
from nnbench.training import checkpoint
from support import SOURCE, TESTS, damage
from support.commands import PATIENCE, here
from support.records import make_run, memory
from support.small_mnist import lay, small

__all__ = ["small"]

RUN = [
    "data=digits", "loss=cross_entropy", "schedule=constant", "schedule.lr=0.1", "epochs=2",
    "batch_size=32", "tracking=local",
]  # fmt: skip
DIGITS_SUM = 131_267_102  # of the pixels of mnist_5k
MOST_EXTRA_BYTES = 500 * 2**20
TIMED = b"""title: x
question: y
measured: [numpy, numpy_reference]
size: 64
claims:
  - id: t-1
    statement: slower
    unit: times
    claimed: ">= 2"
    measure: {published: numpy_reference.dense / numpy.dense}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with three sound runs and one that is damaged again and again."""
    before = Path.cwd()
    place = tmp_path_factory.mktemp("damage")
    os.chdir(place)
    try:
        done = here(["-m", "backend=numpy,numpy_reference", "seed=0,1", *RUN])
        assert done.returncode == 0, done.stderr
        yield place
    finally:
        os.chdir(before)


def victim() -> RunResult:
    return max(read_runs(Path("results")), key=lambda run: run.name)


def commands(kind: str, run: RunResult) -> list[list[str]]:
    """Return the commands that read a file of this kind."""
    if kind == "run.json":
        assert run.directory is not None
        return [
            ["ls", "--last", "0"], ["show", run.run_id], ["show", str(run.directory)], ["sync"],
            ["export", run.run_id, "--format", "torch"], ["rm", str(run.directory)],
        ]  # fmt: skip
    return [["export", run.run_id, "--format", "torch"]] if kind.startswith("weights") else []


def widely(run: RunResult, others: RunResult) -> list[list[str]]:
    """Return commands that take longer and read many files of a run."""
    asked = ["-m", "backend=numpy,numpy_reference", "seed=0,1", *RUN, "--plan"]
    return [
        ["ls"], ["show", run.run_id], ["report"], ["report", "--baseline", "numpy"], asked,
        ["claims", "--recorded", "create_nn_from_numpy"], ["sync"], ["rm", run.run_id],
        ["export", run.run_id, "--format", "torch"], ["show", others.run_id],
        ["arch", "init=from_run", f"init.run={run.run_id}"],
        ["explain", run.run_id, others.run_id],
    ]  # fmt: skip


def restore(path: Path, content: bytes) -> None:
    """Put a sound file where whatever is in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content)


def check(words: list[str], sound: set[str]) -> None:
    """Run a command over damage: a line or two at most, the sound runs all listed."""
    done = here(words)
    assert done.returncode in (0, 1, 2, 130), (words, done)
    assert len(done.stderr.splitlines()) <= 3, (words, done.stderr)
    assert "\x1b" not in done.stdout + done.stderr, words
    assert words[0] != "ls" or all(run_id[:8] in done.stdout for run_id in sound), done


def over_nodes(picks: range, each: int = 2) -> int:
    """Put something else in the place of a file, and run `each` commands; return how many."""
    run = victim()
    assert run.directory is not None
    others = [each for each in read_runs(Path("results")) if each.run_id != run.run_id]
    sound = {each.run_id for each in others}
    names = [kind for kind in damage.KINDS if kind != "checkpoint"]
    files_of = {name: run.directory / name for name in (*names, ".lock", "worker.log")}
    count = 0
    for pick in picks:
        rng = random.Random(pick)
        name = rng.choice(list(files_of))
        content = files_of[name].read_bytes()
        node = damage.NODES[pick % len(damage.NODES)]
        node(files_of[name], files_of[rng.choice([other for other in names if other != name])])
        try:
            for words in rng.sample(widely(run, others[0]), each):
                check(words, sound)
                count += 1
        finally:
            restore(files_of[name], content)
    return count


def tried(kind: str, run: RunResult, sound: set[str]) -> int:
    """Run everything that reads a damaged file; return how much that was.

    A traceback is an exception here and fails the test.
    """
    count = 0
    assert run.directory is not None
    for words in commands(kind, run):
        done = here(words)
        assert done.returncode in (0, 1, 2, 130), (words, done)  # 130: rm asks nobody
        assert len(done.stderr.splitlines()) <= 2, (words, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr
        if words[0] == "ls":
            assert all(run_id[:8] in done.stdout for run_id in sound), done
        count += 1
    try:
        found = asking.report([], Path("results"))
        found.markdown()
        assert len(found.frames["runs"]) >= len(sound)
        assert sound <= {each.run_id for each in found.content.runs}
    except NNBenchError as error:
        pytest.fail(f"the report of sound runs failed: {error}")
    for read in (
        lambda: load_weights(run.directory), lambda: load_predictions(run.directory),
        lambda: trajectory.load(run.directory), lambda: recomputed.load(run.directory),
        lambda: checkpoint.latest(run.directory), Planner(Path("results")).folder.runs,
    ):  # fmt: skip
        said = ""
        try:
            read()
        except NNBenchError as error:
            said = str(error)
        assert len(said.splitlines()) <= 1
        assert len(said) < 1500
        count += 1
    return count + 1


def fuzz(seeds: range) -> int:
    run = victim()
    assert run.directory is not None
    sound = {each.run_id for each in read_runs(Path("results"))} - {run.run_id}
    assert len(sound) == 3
    tried("run.json", run, sound)
    before, count = memory(), 0
    for kind in damage.KINDS:
        path = run.directory / kind
        if kind == "checkpoint":
            path = run.directory / "checkpoints" / "0000001-000000000.safetensors"
            path.parent.mkdir(exist_ok=True)
            shutil.copy(run.directory / "weights.safetensors", path)
        content = path.read_bytes()
        for seed in seeds:
            path.write_bytes(damage.damaged(kind, content, seed))
            count += tried(kind, run, sound)
        path.write_bytes(content)
    shutil.rmtree(run.directory / "checkpoints")
    assert memory() - before < MOST_EXTRA_BYTES
    return count


SEARCH = SearchConfig(trials=3, name="mine")
SPACE: Space = {"schedule.lr": Interval(0.01, 1.0)}


def search(results: Path) -> None:
    """Go on with a search as far as there is no run to make."""
    found = Search(SEARCH, SPACE, [], "train_loss", results)
    try:
        assert found.done == len(found.trials())
        trial, _ = found.ask()
        found.tell(trial, [])
    finally:
        found.close()


def elsewhere(kind: str, path: Path, rng: random.Random) -> None:
    """Read a damaged file that is none of a run's: done without, or refused in one line.

    Raises NNBenchError for what is refused.
    """
    match kind:
        case "study.yaml":
            words = (["claims", "--recorded", "mine"], ["experiment=mine/a", *RUN, "--plan"])
            check(rng.choice(words), set())
        case "operations.json":
            check(["claims", "--recorded", "timed"], set())
        case "search.db":
            search(path.parent)
        case "mlflow.db":
            _experiments(path.parent)
        case "mnist_5k.npz":
            assert mnist_5k.read().parts["all"].inputs.sum() == DIGITS_SUM
        case "mnist.gz":
            MNIST.load(MNIST.find(None) or {})
        case "cifar10":
            cifar10.load(path)


def over_others(seeds: range, kinds: Sequence[str], store: Path) -> int:
    """Damage files that are none of a run's, again and again; return how many."""
    contents = sound_others(store)
    before, count = memory(), 0
    for kind in kinds:
        path, content = contents[kind]
        for seed in seeds:
            path.write_bytes(damage.damaged(kind, content, seed))
            said = ""
            try:
                elsewhere(kind, path, random.Random(seed))
            except NNBenchError as error:
                said = str(error)
            assert len(said.splitlines()) <= 1, (kind, seed, said)
            assert len(said) < 1500, (kind, seed, said)
            for left in path.parent.glob(f"{path.name}-*"):
                left.unlink()
            count += 1
        path.write_bytes(content)
    assert memory() - before < MOST_EXTRA_BYTES
    assert not list(Path.cwd().rglob("pickle_was_run"))
    return count


def sound_others(store: Path) -> dict[str, tuple[Path, bytes]]:
    """Make one of each; return where it is and what it holds."""
    results, cache = Path("results"), Path(os.environ["NNBENCH_CACHE"])
    search(results)
    mnist_5k.fetch()
    study, timed = (Path("experiments", name, "study.yaml") for name in ("mine", "timed"))
    for path, content in ((study, damage.STUDY), (timed, TIMED)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seconds = {name: {"dense": [0.1, 0.2]} for name in ("numpy", "numpy_reference")}
    times = results / "operations" / "timed.json"
    times.parent.mkdir(exist_ok=True)
    times.write_text(json.dumps({"what": {}, "seconds": seconds}))
    (cache / "cifar10").mkdir(exist_ok=True)
    archive = cache / "cifar10" / cifar10.ARCHIVE
    archive.write_bytes(gzip.compress(bytes(3000)))
    shutil.copy(store, results)
    places = {
        "study.yaml": study, "operations.json": times, "search.db": results / "search.db",
        "mlflow.db": results / "mlflow.db", "mnist_5k.npz": mnist_5k.cached(), "cifar10": archive,
        "mnist.gz": cache / "mnist" / "t10k-labels-idx1-ubyte.gz",
    }  # fmt: skip
    assert places.keys() == damage.OTHERS.keys()
    return {kind: (path, path.read_bytes()) for kind, path in places.items()}


@pytest.fixture
def cached(folder: Path, small: dict[str, bytes]) -> dict[str, bytes]:
    """A cache with a small MNIST in it, beside the folder."""
    lay(small, mnist_5k.cached().parent / "mnist")
    return small


QUICK = [kind for kind in damage.OTHERS if kind != "mlflow.db"]  # MLflow takes its time


@pytest.mark.slow
def test_damage_of_files_that_are_no_run_s(
    folder: Path, cached: dict[str, bytes], tables: Path
) -> None:
    assert over_others(range(2), QUICK, tables) == 2 * len(QUICK)


@pytest.mark.slow
def test_hundreds_of_damaged_files_that_are_no_run_s(
    folder: Path, cached: dict[str, bytes], tables: Path
) -> None:
    over_others(range(100, 200), QUICK, tables)
    over_others(range(100, 130), ["mlflow.db"], tables)


def test_damage_of_every_kind(folder: Path) -> None:
    assert fuzz(range(9)) > 400


@pytest.mark.parametrize(
    "others", [(None, [1, 2]), pytest.param(damage.WRONG, marks=pytest.mark.slow)]
)
def test_anything_in_any_place_of_a_record(folder: Path, others: tuple[Any, ...]) -> None:
    run = victim()
    assert run.directory is not None
    path = run.directory / "run.json"
    before, read = path.read_bytes(), 0
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(path.write_bytes, before)
        for what, content in damage.with_each(before, others):
            path.write_bytes(content)
            with contextlib.suppress(ResultsError):
                RunResult.read(run.directory)
                read += 1
                try:
                    asking.report([], Path("results")).markdown()
                except Exception as error:
                    raise AssertionError(what) from error
                if others is damage.WRONG:
                    check(["show", run.run_id], set())
    assert read > 100, "most of what is recorded is free text and figures of the machine"


@pytest.mark.slow
def test_two_thousand_damaged_files(folder: Path) -> None:
    assert len(damage.KINDS) * 290 > 2000
    fuzz(range(1000, 1290))


def test_something_else_in_the_place_of_a_file(folder: Path) -> None:
    """A folder, a pipe, a device, a loop, nothing, zeros without end, another of the files."""
    before = memory()
    assert over_nodes(range(len(damage.NODES)), each=1) == len(damage.NODES)
    assert memory() - before < MOST_EXTRA_BYTES


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_something_else_in_the_place_of_any_file(folder: Path) -> None:
    before = memory()
    assert over_nodes(range(len(damage.NODES))) == 2 * len(damage.NODES)
    over_nodes(range(100, 500))
    assert memory() - before < MOST_EXTRA_BYTES


@pytest.mark.slow
def test_a_study_that_is_no_file(folder: Path) -> None:
    """Studies, options of others, data and kept times are read by the same reader."""
    study = folder / "experiments" / "mine"
    study.mkdir(parents=True, exist_ok=True)  # other tests of the folder have one too
    (study / "study.yaml").write_text("title: x\n")
    weights = next(folder.glob("results/runs/*/weights.safetensors"))
    for node in damage.NODES:
        node(study / "study.yaml", weights)
        for words in (["claims", "mine"], ["experiment=mine/a", *RUN]):
            done = here(words)
            assert done.returncode == 2, (node, words, done)
            assert len(done.stderr.splitlines()) == 1, (node, words, done.stderr)
        restore(study / "study.yaml", b"title: x\n")
    shutil.rmtree(folder / "experiments")
    os.mkfifo(folder / "data.npz")
    for words in (["data=npz", "data.path=data.npz"], ["data=csv", "data.path=data.npz"]):
        done = here([*words, *(word for word in RUN if word != "data=digits")])
        assert done.returncode == 2
        assert "it is no plain file" in done.stderr


def test_what_claims_too_much_takes_no_memory(folder: Path, tmp_path: Path) -> None:
    """100 GiB in the header of an array, a bomb, a record and weights of gigabytes, a pipe."""
    run = victim()
    assert run.directory is not None
    before = memory()
    archive = tmp_path / "predictions.npz"
    for content in (damage.claiming((100 * 2**27,)), damage.bomb()):
        archive.write_bytes(content)
        with pytest.raises(files.Damage, match="claims"):
            archives.arrays(archive)
    for name in ("run.json", "weights.safetensors"):
        kept = (run.directory / name).read_bytes()
        damage.sparse(run.directory / name, 3 * 2**30)
        tried(name, run, {each.run_id for each in read_runs(Path("results"))} - {run.run_id})
        (run.directory / name).unlink()
        os.mkfifo(run.directory / name)
        tried(name, run, {each.run_id for each in read_runs(Path("results"))} - {run.run_id})
        (run.directory / name).unlink()
        (run.directory / name).write_bytes(kept)
    assert memory() - before < MOST_EXTRA_BYTES


@pytest.mark.slow
def test_small_files_take_little_memory_and_time() -> None:
    """In a process of their own: what others have had is no measure."""
    done = subprocess.run(
        [sys.executable, "-m", "support.bombs"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{SOURCE}:{TESTS}"},
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_damaged_record_is_one_line_with_file_and_remedy(folder: Path) -> None:
    run = victim()
    assert run.directory is not None
    path = run.directory / "run.json"
    content = path.read_bytes()
    for bad in (content[:-40], b"[" * 200_000, b"\xff", content.replace(b"run_id", b"run_di")):
        path.write_bytes(bad)
        for words in (["ls"], ["report"], ["sync"]):
            if words == ["report"]:
                (line,) = asking.report([], Path("results")).left_out
            else:
                (line,) = here(words).stderr.splitlines()
            assert str(path) in line
            assert "Delete its folder" in line
    path.write_bytes(content)
    assert here(["ls"]).stderr == ""


def test_damaged_predictions_are_told_by_the_report(folder: Path) -> None:
    run = victim()
    assert run.directory is not None
    path = run.directory / "predictions.npz"
    content = path.read_bytes()
    told = 0
    for seed in range(40):  # other values of sane size are no damage that a reader could see
        path.write_bytes(damage.rearranged(content, random.Random(seed)))
        lines = asking.report([], Path("results")).left_out
        told += len([line for line in lines if str(path) in line])
    path.write_bytes(content)
    assert 25 <= told <= 40
    assert asking.report([], Path("results")).left_out == ()


def test_every_array_that_is_written_is_read_back(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.ones((3, 2), np.float32)),
        "c": np.zeros(0, np.int64), "d": np.array([True, False]), "e": np.array(3, ">i4"),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "x.npz", allow_pickle=False, **arrays)
    found = archives.arrays(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        assert np.array_equal(found[name], value)
        assert found[name].dtype.kind == value.dtype.kind
        assert found[name].flags.writeable


def test_a_folder_of_nothing_but_damage_says_so(tmp_path: Path) -> None:
    for i in range(3):
        make_run(tmp_path / "runs" / f"r{i}")
        (tmp_path / "runs" / f"r{i}" / "run.json").write_bytes(b"{")
    known = Folder(tmp_path)
    assert known.runs() == []
    assert len(known.problems) == 3
    assert {"ls", "report"} <= COMMANDS.keys()
