"""run.json: a round trip, damage, newer versions, refused writes."""

from __future__ import annotations

import dataclasses
import json
import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.errors import DataError, ResultsError
from nnbench.model.architectures import MLP
from nnbench.model.init import Normal, initial_params
from nnbench.model.network import ParamKey
from nnbench.records.files import write_atomically as write
from nnbench.records.flags import Beside, Crowded, Steered
from nnbench.records.folder import read_runs
from nnbench.records.identity import fingerprint
from nnbench.records.run import SCHEMA_VERSION, EpochRecord, Phases, RunResult
from nnbench.records.weights import largest_difference, load_weights, save_weights

BACKEND = {"name": "numpy", "execution": "fused", "executions": ["fused"]}
EPOCH = EpochRecord(0, 0.1, 2.0, 1.5, 0.5, 1.75, 0.25, 0.25, 0.01, 0.002)


def make(directory: Path, **changes: object) -> RunResult:
    directory.mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "run_id": "r1",
        "name": "numpy b1 s0",
        "status": "finished",
        "semantics": "matched",
        "fingerprint": "f",
        "created": "2026-01-01T00:00:00.000+00:00",
        "config": {"seed": 0, "backend": BACKEND},
        "architecture": "784-128-10",
        "parameters": 101_770,
        "data": {},
        "machine": {},
        "phases": Phases(train_seconds=1.0, wall_seconds=1.5),
        "epochs": (EPOCH,),
        "kept_epoch": 0,
        "directory": directory,
    }
    return RunResult(**(values | changes))  # type: ignore[arg-type]


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.write()
    assert RunResult.read(tmp_path) == run
    assert run.kept == EPOCH
    assert run.phases.unattributed_seconds == 0.5
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_figures_that_are_not_finite_become_null(tmp_path: Path) -> None:
    epoch = EpochRecord(0, 0.1, float("nan"), float("inf"), 0.5, 1.0, 0.5, 0.0, 0.01, 0.002)
    make(tmp_path, epochs=(epoch,)).write()
    read = json.loads((tmp_path / "run.json").read_text())["epochs"][0]
    assert read["running_loss"] is None
    assert read["train_loss"] is None
    assert read["test_loss"] == 1.0


def test_a_newer_record_says_so(tmp_path: Path) -> None:
    make(tmp_path, schema_version=SCHEMA_VERSION + 1).write()
    with pytest.raises(ResultsError, match="Use the newer nnbench"):
        RunResult.read(tmp_path)


def test_damaged_records_are_reported_and_left_out_of_listings(tmp_path: Path) -> None:
    good = make(tmp_path / "runs" / "a")
    good.write()
    bad = make(tmp_path / "runs" / "b")
    bad.write()
    path = tmp_path / "runs" / "b" / "run.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ResultsError, match="damaged"):
        RunResult.read(tmp_path / "runs" / "b")
    assert list(read_runs(tmp_path)) == [good]


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    """The limit on file size stands in for the disk: the same error path, without root."""
    path = tmp_path / "run.json"
    write(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ResultsError, match=r"Cannot write .*run\.json: .*results=DIR"):
            write(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_weights_survive_the_file_bit_for_bit(tmp_path: Path) -> None:
    net = MLP(hidden=(5,), output_activation="sigmoid").build((4,), 3)
    params = initial_params(Normal(), net, 0, "float32")
    save_weights(tmp_path / "weights.safetensors", params, str(net))
    read = load_weights(tmp_path)
    assert list(read) == sorted(params)
    for key, value in params.items():
        assert read[key].dtype == np.float32
        assert (read[key] == value).all()
    read[ParamKey(0, "kernel")][2, 1] += 0.5
    assert largest_difference(params, read) == pytest.approx(0.5, abs=1e-7)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 200])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a weights file") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def test_keys_that_layers_did_not_have_make_no_other_run() -> None:
    def of(*layers: object) -> str:
        return fingerprint({"arch": {"name": "layers", "layers": layers}}, {}, "d", None)

    dense, dropout = {"name": "dense", "units": 3}, {"name": "dropout", "rate": 0.5}
    old = of(dense, "relu", dropout)
    assert of(dense | {"trainable": True}, "relu", dropout | {"in_evaluation": False}) == old
    assert of(dense | {"trainable": False}, "relu", dropout) != old
    assert of(dense, "relu", dropout | {"in_evaluation": True}) != old


def test_the_fingerprint_ignores_where_results_go_and_nothing_else() -> None:
    init = {"name": "from_run", "run": "here"}
    config = {
        "init": init,
        "seed": 0,
        "results": "a",
        "tracking": {"name": "local"},
        "name": None,
        "threads": 1,
    }
    machine = {"cpu": "x", "versions": {"numpy": "2"}, "source_digest": "s", "hostname": "h"}
    base = fingerprint(config, machine, "d", None)
    elsewhere = config | {"results": "b", "tracking": {"name": "mlflow"}, "name": "n"}
    assert fingerprint(elsewhere, machine | {"hostname": "i"}, "d", None) == base
    taken = fingerprint(config, machine, "d", "w")
    moved = config | {"init": init | {"run": "there"}}
    assert fingerprint(moved, machine, "d", "w") == taken
    changed = [
        fingerprint(config | {"seed": 1}, machine, "d", None),
        fingerprint(config | {"threads": 2}, machine, "d", None),
        fingerprint(config, machine | {"cpu": "y"}, "d", None),
        fingerprint(config, machine | {"versions": {"numpy": "3"}}, "d", None),
        fingerprint(config, machine | {"source_digest": "t"}, "d", None),
        fingerprint(config, machine, {"train": "e"}, None),
        fingerprint(config, machine, "d", "w"),
    ]
    assert len({base, *changed}) == 8


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_is_named_and_never_loaded(tmp_path: Path, kind: str) -> None:
    """Loading this one would leave a file behind."""
    path, trap = tmp_path / "weights.bin", tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(trap), "w"))

    if kind == "pickle":
        path.write_bytes(pickle.dumps({"0.kernel": Trap()}))
    else:
        pytest.importorskip("torch").save({"0.kernel": Trap()}, path)
    with pytest.raises(DataError, match="is a pickle or a PyTorch file, which nnbench never loads"):
        load_weights(path)
    assert not trap.exists()


def slow_start(*seconds: float) -> tuple[EpochRecord, ...]:
    return tuple(
        dataclasses.replace(EPOCH, epoch=i, train_seconds=s) for i, s in enumerate(seconds)
    )


def test_the_first_epoch_is_not_counted(tmp_path: Path) -> None:
    assert make(tmp_path, epochs=slow_start(9.0, 2.0, 1.0, 4.0)).epoch_seconds == 2.0
    assert make(tmp_path, epochs=slow_start(9.0, 2.0)).epoch_seconds == 2.0
    assert make(tmp_path, epochs=slow_start(9.0)).epoch_seconds == 9.0
    assert make(tmp_path, epochs=()).epoch_seconds is None


def test_flags_of_older_records_are_sentences(tmp_path: Path) -> None:
    """Version 3 has no digest; whatever is written again has the newest version."""
    make(tmp_path, flags=(Crowded(4, 2), Beside(3), Steered(("a", "b"), "test_loss"))).write()
    path = tmp_path / "run.json"
    values = json.loads(path.read_text())
    assert values["flags"][0] == {"threads": 4, "cores": 2, "name": "crowded"}
    assert RunResult.read(tmp_path).flags[2] == Steered(("a", "b"), "test_loss")
    values |= {"schema_version": 3, "flags": ["timed beside other runs"]}
    for digest in ({}, {"digest": "written by a sync of version 0.1"}):
        path.write_text(json.dumps({k: v for k, v in values.items() if k != "digest"} | digest))
        run = RunResult.read(tmp_path)
        assert [str(flag) for flag in run.flags] == ["timed beside other runs"]
    run.write()
    assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION
    again = RunResult.read(tmp_path)
    assert again.flags == run.flags


@pytest.mark.parametrize("flag", [5, {"name": "nothing"}, {"name": "beside", "runs": "many"}, []])
def test_flags_of_no_kind_are_damage(tmp_path: Path, flag: object) -> None:
    make(tmp_path).write()
    path = tmp_path / "run.json"
    values = json.loads(path.read_text()) | {"flags": [flag], "schema_version": 3}
    path.write_text(json.dumps(values))
    with pytest.raises(ResultsError, match="is damaged"):
        RunResult.read(tmp_path)


def test_a_header_of_any_length_is_no_pickle(tmp_path: Path) -> None:
    """The length of a header is the first thing in a safetensors file: 640 begins as a pickle."""
    params = {ParamKey(0, "kernel"): np.ones((2, 2), np.float32)}
    path = tmp_path / "weights.safetensors"
    lengths = set()
    for size in range(0, 700, 8):
        save_weights(path, params, "x" * size)
        lengths.add(path.read_bytes()[0])
        assert load_weights(path).keys() == params.keys()
    assert 0x80 in lengths
