"""What catches a planted fault: the kit, a sweep beside NumPy, `nnbench parity`.

In one process, with the product's own parts: a run, its perturbed twin and the planted backend's,
the figures recomputed from its weights, the certificate; and both backends side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from nnbench import data
from nnbench.backends.numpy import NumpyTrainer
from nnbench.config.composition import compose
from nnbench.model.init import initial_params
from nnbench.records.certifying import certify
from nnbench.records.flags import Early
from nnbench.records.run import RunResult
from nnbench.records.standing import OUT
from nnbench.testing import all_checks, result
from nnbench.training.assembly import all_splits, make_task
from nnbench.training.recompute import Figuring
from nnbench.training.side_by_side import Sides, certificates
from support.plants import PLANTS
from support.running import SMALL, run_here

COMMON = (
    *("backend=numpy_reference", "dtype=float64", "epochs=4", "data.samples=1610", "data.noise=2"),
    *("data.val_fraction=0.1", "data.outputs=4", "eval.train_samples=7", "loss=cross_entropy"),
    *("schedule=constant", "schedule.lr=0.03", "init=uniform", "init.low=-0.3", "init.high=0.3"),
    *("shuffle=true", "arch=layers"),
)
SGD = ("optimizer=sgd", "optimizer.momentum=0.9", "optimizer.weight_decay=0.01")
DENSE = "{name: dense, units: 8}"
HELD = "{name: dense, units: 8, trainable: false}"
IMAGE = ("data.features=64", "arch.input_shape=[8,8,1]")
CONV = "{name: conv2d, filters: 3}"
# By the first word of the check that must catch a plant: the net and what else a sweep trains.
SWEEPS: dict[str, tuple[str, ...]] = {
    "": (f"arch.layers=[{DENSE}, tanh]", *SGD),
    "relu": (f"arch.layers=[{DENSE}, relu, {DENSE}, relu]", *SGD),
    "gelu": (f"arch.layers=[{DENSE}, gelu]", *SGD),
    "sigmoid": (f"arch.layers=[{DENSE}, sigmoid, {DENSE}, sigmoid]", *SGD),
    "softmax": (f"arch.layers=[{DENSE}, softmax]", *SGD),
    "dropout": (f"arch.layers=[{DENSE}, tanh, {{name: dropout, rate: 0.4}}]", *SGD),
    "batch_norm": (f"arch.layers=[{DENSE}, batch_norm, relu, {DENSE}, batch_norm, tanh]", *SGD),
    "dropout in evaluation": (
        f"arch.layers=[{DENSE}, tanh, {{name: dropout, rate: 0.4, in_evaluation: true}}]",
        *SGD,
    ),
    "dense held still": (f"arch.layers=[{HELD}, tanh, {DENSE}, tanh]", *SGD),
    "dense held still, between": (
        f"arch.layers=[{DENSE}, tanh, {HELD}, tanh]",
        *("optimizer=adam", "optimizer.clip_norm=0.2"),
    ),
    "conv2d held still": (
        *IMAGE,
        "arch.layers=[{name: conv2d, filters: 3, trainable: false}, tanh, flatten]",
        *SGD,
    ),
    "batch_norm held still": (
        f"arch.layers=[{DENSE}, {{name: batch_norm, trainable: false}}, tanh]",
        *SGD,
    ),
    "layer_norm": (f"arch.layers=[{DENSE}, layer_norm, tanh]", *SGD),
    "conv2d": (*IMAGE, f"arch.layers=[{CONV}, tanh, flatten]", *SGD),
    "conv2d same": (
        *IMAGE,
        "arch.layers=[{name: conv2d, filters: 3, stride: 2, padding: same}, tanh, flatten]",
        *SGD,
    ),
    "max_pool2d": (*IMAGE, f"arch.layers=[{CONV}, max_pool2d, relu, flatten]", *SGD),
    "first": (*IMAGE, f"arch.layers=[{CONV}, relu, max_pool2d, flatten]", *SGD),
    "avg_pool2d": (*IMAGE, f"arch.layers=[{CONV}, tanh, avg_pool2d, flatten]", *SGD),
    "flatten": (*IMAGE, f"arch.layers=[{CONV}, tanh, flatten]", *SGD),
    "augment": (*IMAGE, f"arch.layers=[{CONV}, tanh, flatten]", "augment.shift=2", *SGD),
    "embedding": (
        *("data=sequences", "arch.layers=[{name: embedding, vocabulary: 32, units: 3}, flatten]"),
        *SGD,
    ),
    "mse": (f"arch.layers=[{DENSE}, tanh]", "loss=mse", *SGD),
    "bce": (f"arch.layers=[{DENSE}, tanh]", "loss=bce", *SGD),
    "saturated": ("arch.layers=[]", "loss=bce", "init.low=-9", "init.high=9", *SGD),
    "float32:": (f"arch.layers=[{DENSE}, tanh]", "dtype=float32", *SGD),
    "two": (f"arch.layers=[{DENSE}, tanh]", "data.outputs=2", *SGD),
    "batches": (f"arch.layers=[{DENSE}, tanh]", "batch_size=1", "schedule.lr=0.001", *SGD),
    "sgd": (f"arch.layers=[{DENSE}, tanh]", *SGD, "optimizer.nesterov=true"),
    "sgd clip_norm": (f"arch.layers=[{DENSE}, tanh]", *SGD, "optimizer.clip_norm=0.2"),
    "sgd momentum": (f"arch.layers=[{DENSE}, tanh]", *SGD, "schedule=cosine", "schedule.lr=0.05"),
    "adam": (f"arch.layers=[{DENSE}, tanh]", "optimizer=adam"),
    "adam clip_norm": (f"arch.layers=[{DENSE}, tanh]", "optimizer=adam", "optimizer.clip_norm=0.2"),
    "adamw": (f"arch.layers=[{DENSE}, tanh]", "optimizer=adamw", "optimizer.weight_decay=0.05"),
    "rmsprop": (f"arch.layers=[{DENSE}, tanh]", "optimizer=rmsprop", "schedule.lr=0.003"),
    "adagrad": (f"arch.layers=[{DENSE}, tanh]", "optimizer=adagrad", "optimizer.initial=0.1"),
    "rate": (f"arch.layers=[{DENSE}, tanh]", *SGD, "schedule=cosine", "schedule.lr=0.05"),
}
FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
ROUNDING = 1e-6  # relative; what changes a figure by less changes none that is shown


@dataclass(frozen=True)
class Trial:
    """What came of a plant; `changes`: it changed a figure or a time that the sweep reports."""

    plant: str
    check: str
    checked: bool
    changes: bool
    sweep: str
    parity: str

    @property
    def caught_by_sweep(self) -> bool:
        """Tell whether the sweep keeps the run out of its ranking, or apart from others' times."""
        return self.sweep.startswith((*OUT, "apart", "refused"))

    @property
    def caught_by_parity(self) -> bool:
        """Tell whether parity says that the backends do not agree."""
        return self.parity.startswith((*OUT, "not proven", "refused"))


def overrides(check: str) -> tuple[str, ...]:
    """Return the settings of the sweep for plants that `check` must catch."""
    words = check.split()
    names = [" ".join(words[: len(words) - i]).rstrip(",") for i in range(len(words))]
    own = SWEEPS[next((n for n in names if n in SWEEPS), "")]
    return (*(word for word in COMMON if "data=sequences" not in own or "noise" not in word), *own)


@cache
def right_runs(settings: tuple[str, ...]) -> tuple[RunResult, RunResult]:
    """Return the run of the reference, and its twin one ulp away."""
    folder = Path(mkdtemp())
    twins = (run_here(folder / str(n), settings, NumpyTrainer, nudged=n) for n in (False, True))
    return tuple(twins)  # type: ignore[return-value]


def tried(plant: type[NumpyTrainer], folder: Path) -> Trial:
    """Try a plant by all three."""
    check = PLANTS[plant]
    settings = overrides(check)
    found = result(check, all_checks(plant, "reference")[check])
    reference, twin = right_runs(settings)
    try:
        run = run_here(folder / plant.__name__, settings, plant)
    except ValueError as error:  # as a worker's: the run has failed
        failed = f"refused (failed: {error})"
        return Trial(plant.__name__, check, found.outcome == "failed", True, failed, failed)
    return Trial(
        plant.__name__,
        check,
        found.outcome == "failed",
        changes(reference, run),
        swept(reference, twin, run),
        side_by_side(settings, plant),
    )


def changes(reference: RunResult, run: RunResult) -> bool:
    """Tell whether a run reports another figure than the right one, or came late."""
    pairs = [
        (getattr(a, name), getattr(b, name))
        for a, b in zip(reference.epochs, run.epochs, strict=False)
        for name in (*FIGURES, "running_loss")
    ]
    other = any(a != b and not abs(a - b) <= ROUNDING * abs(a) for a, b in pairs if a is not None)
    return other or len(reference.epochs) != len(run.epochs) or late(run)


def late(run: RunResult) -> bool:
    """Tell whether the run is marked as one whose training returned early."""
    return any(isinstance(flag, Early) for flag in run.flags)


def swept(reference: RunResult, twin: RunResult, run: RunResult) -> str:
    """Return what the certificate of the sweep says, and whether times are kept apart."""
    assert run.directory is not None
    if run.status != "finished":
        return f"refused ({run.status})"
    word = certify(reference, twin, run, Figuring().check(run.directory)).word
    if not late(run):
        return word
    return f"{word}; times apart" if word.startswith(OUT) else f"apart (returned early); {word}"


def side_by_side(settings: tuple[str, ...], plant: type[NumpyTrainer]) -> str:
    """Return what parity says of the plant beside the reference."""
    config = compose([*SMALL, *settings]).config
    dataset = data.load(config.data, kind=config.task, seed=config.seed)
    splits = all_splits(dataset, config.eval.train_samples)
    task = make_task(config, dataset)
    params = initial_params(config.init, task.architecture, task.seed, task.dtype)  # type: ignore[arg-type]
    trainers = {"numpy": NumpyTrainer(task, splits), "planted": plant(task, splits)}
    for trainer in trainers.values():
        trainer.load(params)
    sides = Sides(config, task, trainers, params, dataset, splits)
    return certificates(sides, 2)[0].word
