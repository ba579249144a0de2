"""A user's program in a process of its own: imported, read, and its reading proved.

Reads a job as JSON from standard input, writes `{"event": "built"}` and then its answer as JSON
lines. What the program prints goes nowhere. Ends when its parent does.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nnbench import data
from nnbench.backends.program import About, room_of, sample_size
from nnbench.backends.proof import Material, proof_data, prove
from nnbench.data.config import DataConfig
from nnbench.errors import ConfigError, NNBenchError
from nnbench.model.reading import Reading
from nnbench.records.files import write_arrays
from nnbench.records.weights import save_weights
from nnbench.schema import convert, to_data
from nnbench.training.own_program import OwnProgram, framework

MOST_MEMORY = 8 * 2**30
OWN_DATA = "data.npz"


def main() -> int:
    """Do the job on standard input; return 0, 2 for an error of the user's, 1 for ours."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    line = _job()
    _apart()

    def say(said: dict[str, Any]) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    try:
        say(answer(json.loads(line), lambda: say({"event": "built"})))
    except NNBenchError as error:
        say({"kind": type(error).__name__, "error": str(error)})
        return 2
    except Exception as error:
        traceback.print_exc()
        say({"kind": "RunFailed", "error": f"{type(error).__name__}: {error}".partition("\n")[0]})
        return 1
    return 0


def answer(job: dict[str, Any], built: Any) -> dict[str, Any]:
    """Read `file`, `function` on the data of `data`; keep its weights for `seeds` in `folder`."""
    folder = Path(job["folder"])
    with _limited_memory():
        program = OwnProgram.load(Path(job["file"]), job["function"], job["seeds"][0])
        own = program.build()
    name = framework(own, program.function, program.shown)
    values, kind = own_data(program, folder, job)
    built()
    config = convert(DataConfig, values, "data")
    dataset = data.load(config, kind=kind, seed=job["seeds"][0])
    material = material_of(dataset, job)
    room = room_of(name)
    about = about_of(dataset, kind, material, str(program.path))
    reading = named(program.shown, lambda: room.read(own, about))
    found = {"framework": name, "reading": reading.as_data(), "data": values, "task": kind}
    kept = {}
    for seed in job["seeds"] if reading.layers and not _incomplete(reading) else ():
        path = folder / f"initial-{seed}.safetensors"
        save_weights(path, room.weights(program.build(seed), reading), program.shown)
        kept[str(seed)] = str(path)
    proof = None
    if reading.understood and job["prove"]:
        proof = named(program.shown, lambda: prove(program.build, room, reading, material))
    return found | {"weights": kept, "proof": proof_data(proof) if proof else None}


def _incomplete(reading: Reading) -> bool:
    return any(unknown.part in ("layers", "input") for unknown in reading.unknown)


def named(file: str, do: Any) -> Any:
    """Return what `do()` does; its ConfigError says which file it is about."""
    try:
        return do()
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def material_of(dataset: data.Dataset, job: dict[str, Any]) -> Material:
    """Return what is trained on, as both sides of a proof take it."""
    split = dataset.splits["train"]
    course = {name: job[name] for name in ("batch_size", "epochs", "shuffle")}
    return Material(split, dataset.inputs, dataset.targets, seed=job["seeds"][0], **course)


def about_of(dataset: data.Dataset, kind: Any, material: Material, file: str | None) -> About:
    """Return what a program is told of the data."""
    few = np.arange(min(sample_size(dataset.outputs), len(material.split)))
    sample = material.rows(few, "float64")
    course = (material.epochs, material.epoch_steps)
    return About(kind, dataset.inputs, sample, dataset.outputs, *course, file)


def own_data(program: OwnProgram, folder: Path, job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the settings of the data and the task: what `data()` beside it returns, or the job's.

    Raises ConfigError where it returns no arrays.
    """
    found = program.data() if not job["data_given"] else None
    if found is None:
        return job["data"], job["task"]
    arrays = _arrays(found, program.shown)
    path = folder / OWN_DATA
    write_arrays(path, arrays)
    regression = next(a for n, a in arrays.items() if n.startswith("y")).dtype.kind == "f"
    one_hot = regression and all(
        a.ndim == 2 and np.isin(a, (0, 1)).all() and (a.sum(axis=1) == 1).all()
        for n, a in arrays.items() if n.startswith("y")
    )  # fmt: skip
    values = to_data(convert(DataConfig, {"name": "npz", "path": str(path)}, "data"))
    return values | {
        "normalize": "none"
    }, "regression" if regression and not one_hot else "classification"


def _arrays(found: Any, file: str) -> dict[str, np.ndarray]:
    """Return arrays by the names that an archive has, from `(x, y)` or four, flat or in pairs."""
    flat: list[Any] = []
    for part in found if isinstance(found, tuple | list) else [found]:
        flat += part if isinstance(part, tuple | list) else [part]
    names = {2: ("x", "y"), 4: ("x_train", "y_train", "x_test", "y_test")}.get(len(flat))
    if names is None:
        raise ConfigError(
            f"{file}: data() returned {len(flat)} things; it must return (x, y) or (x_train, "
            "y_train, x_test, y_test), arrays."
        )
    arrays = {name: np.asarray(each) for name, each in zip(names, flat, strict=True)}
    if bad := [name for name, array in arrays.items() if array.dtype.kind not in "biuf"]:
        raise ConfigError(f"{file}: data() returned {bad[0]} of no numbers; return arrays.")
    return arrays


def _job() -> bytes:
    """Read the job, a line; from then on end when the parent does."""
    read = b""
    while b"\n" not in read and (more := os.read(0, 65536)):
        read += more
    parent = os.dup(0)

    def obey() -> None:
        while os.read(parent, 4096):
            pass
        os._exit(3)

    threading.Thread(target=obey, daemon=True).start()
    return read.partition(b"\n")[0]


def _apart() -> None:
    """Give the program nothing to read, and nowhere to write to."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Have memory refused, within the block, before the machine is out of it."""
    try:
        import resource
    except ImportError:  # not on Windows
        yield
        return
    kind = resource.RLIMIT_DATA
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (MOST_MEMORY if hard == resource.RLIM_INFINITY else hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    code = main()
    os._exit(code)  # threads and exit handlers of the program have nothing to say
