"""Checkpoints and records: whole or not used, whatever happens to their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.protocol import TrainStats
from nnbench.config.run import CheckpointConfig
from nnbench.errors import ResultsError
from nnbench.model.network import ParamKey
from nnbench.records.run import RECORD_NAME, RunResult
from nnbench.training import checkpoint
from nnbench.training.checkpoint import Checkpoint, Pace
from nnbench.training.effort import Effort
from support.records import make_run

KEY = ParamKey(0, "kernel")


def make(epoch: int = 3, step: int = 7) -> Checkpoint:
    rng = np.random.default_rng(epoch)
    weights = rng.normal(size=(5, 4)).astype(np.float32)
    return Checkpoint(
        epoch,
        step,
        TrainStats(0.1 + 0.2, 70),
        1.5,
        Effort(1.25, 0.5, 3),
        0.25,
        {"0.kernel": weights, "steps": np.array(41), "shuffler": rng.bytes(9) and np.arange(9)},
        [{KEY: rng.normal(size=20)} for _ in range(epoch)],
        (1, {KEY: weights + 1}),
    )


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Tell whether two checkpoints are equal, bit for bit."""
    arrays = [a.state, b.state], [dict(enumerate(a.visited)), dict(enumerate(b.visited))]
    for first, second in arrays:
        assert first.keys() == second.keys()
    assert a.best is not None
    assert b.best is not None
    pairs = [(a.state[k], b.state[k]) for k in a.state]
    pairs += [(x[KEY], y[KEY]) for x, y in zip(a.visited, b.visited, strict=True)]
    pairs.append((a.best[1][KEY], b.best[1][KEY]))
    facts = [(c.position, c.best and c.best[0]) for c in (a, b)]
    return facts[0] == facts[1] and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs
    )


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    make().save(tmp_path, keep=1)
    found, damaged = checkpoint.latest(tmp_path)
    assert found is not None
    assert same(found, make())
    assert damaged == []


def test_the_newest_are_kept(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) == (None, [])
    for epoch, step in ((1, 0), (2, 500), (2, 1500), (10, 0)):
        make(epoch, step).save(tmp_path, keep=2)
    names = sorted(path.name for path in (tmp_path / checkpoint.FOLDER_NAME).iterdir())
    assert names == ["0000002-000001500.safetensors", "0000010-000000000.safetensors"]
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.epoch == 10
    checkpoint.remove(tmp_path)
    assert checkpoint.latest(tmp_path) == (None, [])


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_damage_is_seen_and_the_one_before_serves(tmp_path: Path, kind: str) -> None:
    """A hundred flipped bits and a hundred cut-off ends, anywhere in the file."""
    make(2).save(tmp_path, keep=2)
    make(3).save(tmp_path, keep=2)
    newest = max((tmp_path / checkpoint.FOLDER_NAME).iterdir())
    whole = newest.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(100):
        place = int(rng.integers(len(whole)))
        flipped = bytes([whole[place] ^ (1 << int(rng.integers(8)))])
        newest.write_bytes(
            whole[:place] + flipped + whole[place + 1 :] if kind == "flip" else whole[:place]
        )
        found, damaged = checkpoint.latest(tmp_path)
        assert found is not None
        if damaged:
            assert damaged == [newest]
            assert same(found, make(2))
        else:  # blanks that pad the header may change
            assert same(found, make(3))


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_a_damaged_record_is_seen(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path / "r1")
    path = tmp_path / "r1" / RECORD_NAME
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    seen = 0
    for _ in range(100):
        place = int(rng.integers(len(whole) - 1))
        flipped = bytes([whole[place] ^ (1 << int(rng.integers(8)))])
        path.write_bytes(
            whole[:place] + flipped + whole[place + 1 :] if kind == "flip" else whole[:place]
        )
        said = reading(tmp_path / "r1", run)
        if said is not None:
            assert str(path) in said
            assert "\n" not in said
            seen += 1
    assert seen > 50


def reading(directory: Path, run: RunResult) -> str | None:
    """Return what is wrong with a record; None where it equals `run` (blanks may change)."""
    try:
        found = RunResult.read(directory)
    except ResultsError as error:
        return str(error)
    assert found == run
    return None


def test_pace() -> None:
    by_epochs = Pace(CheckpointConfig(every=3, unit="epochs"))
    assert [by_epochs.due(n) for n in (1, 2, 3, None, 6)] == [False, False, True, False, True]
    assert not Pace(CheckpointConfig(every=None)).due(3)
    by_seconds = Pace(CheckpointConfig(every=1))
    assert not by_seconds.due(1)
    by_seconds._last -= 1.0
    assert by_seconds.due(None)
    by_seconds.saved()
    assert not by_seconds.due(None)
