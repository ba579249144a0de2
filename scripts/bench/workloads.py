"""What is timed: nets, data, contenders, and the ratios that nnbench has to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: `nnbench OVERRIDES`, or a loop of bare.py with the same task."""

    label: str
    overrides: tuple[str, ...] = ()
    bare: str | None = None


@dataclass(frozen=True)
class Goal:
    """`slow` must take at least `ratio` times as long as `fast`; in (H), with slowed kernels."""

    fast: str
    slow: str
    ratio: float
    ratio_h: float | None = None


@dataclass(frozen=True)
class Limit:
    """`of` may take at most `ratio` times as long as `against`.

    `noisy`: it is met where the lower end of the interval is, for limits finer than the noise.
    """

    of: str
    against: str
    ratio: float
    noisy: bool = False


@dataclass(frozen=True)
class Workload:
    """A task, trained for `epochs`, the first of which is not counted."""

    name: str
    what: str
    overrides: tuple[str, ...]
    epochs: int
    contenders: tuple[Contender, ...]
    goals: tuple[Goal | Limit, ...] = ()


NUMPY = Contender("numpy", ("backend=numpy",))
REFERENCE = Contender("numpy reference", ("backend=numpy_reference",))
TORCH = Contender("torch", ("backend=torch",))
COMPILED = Contender("numpy compiled", ("backend=numpy_compiled",))
TEXTBOOK = Contender("numpy textbook", ("backend=numpy_textbook",))
TORCH_COMPILE = Contender("torch compile", ("backend=torch_compile",))
LOADER = Contender("torch, DataLoader", ("backend=torch", "input=native"))
XLA = Contender("keras xla", ("backend=keras", "backend.execution=xla"))
GRAPH = Contender("keras graph", ("backend=keras_graph",))
FORGENN = Contender("forgeNN", ("backend=forgenn",))
FIT = Contender("keras fit", ("backend=keras_fit",))
C_LOOP = Contender("C loop", bare="c")
BARE_NUMPY = Contender("bare NumPy", bare="numpy")
BARE_TORCH = Contender("bare torch", bare="torch")
BARE_XLA = Contender("bare XLA", bare="xla")
CHANNELS_LAST = Contender("bare torch, channels last", bare="torch_channels_last")

CONSTANT = ("schedule=constant", "schedule.lr=0.005")
SIGMOID = ("arch=784-128-10", "arch.bias=true", "loss=mse", "init=torch_default", *CONSTANT)
RECTIFIED = ("loss=cross_entropy", "init=he", "schedule=constant", "schedule.lr=0.01")
MOMENTUM = (*RECTIFIED, "optimizer.momentum=0.9", "batch_size=32")
OVERHEAD = 1.02


def sizes() -> tuple[Workload, ...]:
    """Return W5, the five model sizes; fewer samples the larger the net."""
    counts = {"109k": 12_800, "701k": 6_400, "3m": 3_200, "11m": 640, "45m": 320}
    return tuple(
        Workload(
            f"W5 {size}",
            f"two hidden layers, {size} parameters, momentum, batch 32",
            (*MOMENTUM, f"arch=mlp_{size}", f"data.train_samples={n}", "data.test_samples=500"),
            5,
            (COMPILED, NUMPY, TORCH, FORGENN),
            (Goal("numpy compiled", "torch", 1.8, 1.3), Goal("numpy", "torch", 1.6, 1.15)),
        )
        for size, n in counts.items()
    )


WORKLOADS = (
    Workload(
        "W1",
        "784-128-10 sigmoid, SGD, batch 1, 1,000 samples",
        (*SIGMOID, "batch_size=1", "data.train_samples=1000", "data.test_samples=1000"),
        12,
        (
            COMPILED,
            NUMPY,
            REFERENCE,
            TEXTBOOK,
            TORCH,
            XLA,
            GRAPH,
            FIT,
            LOADER,
            C_LOOP,
            BARE_NUMPY,
            BARE_TORCH,
            BARE_XLA,
        ),
        (
            Goal("numpy compiled", "torch", 25.0, 40.0),
            Goal("numpy compiled", "bare XLA", 1.6, 1.8),
            Limit("numpy compiled", "C loop", 0.8),
            Goal("numpy", "torch", 14.0, 12.0),
            Limit("keras xla", "bare XLA", 1.2),
            Limit("torch", "bare torch", OVERHEAD, noisy=True),
            Limit("numpy", "bare NumPy", OVERHEAD, noisy=True),
        ),
    ),
    Workload(
        "W2",
        "784-128-10 sigmoid, SGD, batch 32",
        (*SIGMOID, "batch_size=32", "data.train_samples=12800", "data.test_samples=1000"),
        8,
        (COMPILED, NUMPY, REFERENCE, TEXTBOOK, TORCH, TORCH_COMPILE, XLA),
        (
            Goal("numpy compiled", "torch", 4.0, 3.5),
            Goal("numpy compiled", "keras xla", 1.0),
            Goal("numpy", "torch", 3.5, 2.5),
        ),
    ),
    Workload(
        "W3",
        "784-128-64-10 ReLU, cross-entropy, momentum, batch 32, 60,000 samples",
        (*MOMENTUM, "arch=784-128-64-10"),
        5,
        (
            *(COMPILED, NUMPY, REFERENCE, TEXTBOOK, TORCH, XLA, LOADER, FORGENN),
            *(BARE_NUMPY, BARE_TORCH, BARE_XLA),
        ),
        (
            Goal("numpy compiled", "torch", 4.0, 3.2),
            Goal("numpy compiled", "forgeNN", 4.0, 3.2),
            Goal("numpy compiled", "keras xla", 1.0),
            Goal("numpy", "torch", 3.3, 2.3),
            Goal("numpy", "forgeNN", 3.3, 2.3),
            Limit("keras xla", "bare XLA", 1.2),
            Limit("torch", "bare torch", OVERHEAD, noisy=True),
            Limit("numpy", "bare NumPy", OVERHEAD, noisy=True),
        ),
    ),
    Workload(
        "W4",
        "784-10-10 ReLU, one full batch of 9,000",
        (*RECTIFIED, "arch=784-10-10", "batch_size=9000", "data.train_samples=9000"),
        25,
        (COMPILED, NUMPY, REFERENCE, TORCH, XLA),
        (
            Goal("numpy compiled", "torch", 3.3, 1.6),
            Goal("numpy compiled", "keras xla", 2.0, 1.4),
            Goal("numpy", "torch", 3.0, 1.4),
        ),
    ),
    *sizes(),
    Workload(
        "W6",
        "conv3x3x8-pool-conv3x3x16-pool-dense, batch 64",
        (
            *RECTIFIED,
            "arch=small_cnn",
            "batch_size=64",
            "data.train_samples=6400",
            "data.test_samples=1000",
        ),
        4,
        (NUMPY, TORCH, CHANNELS_LAST, GRAPH, XLA),
        (
            Goal("numpy", "torch", 1.45, 1.15),
            Goal("numpy", "bare torch, channels last", 1.6, 1.1),
        ),
    ),
)
QUICK = {
    "W1": ("numpy compiled", "numpy", "torch", "keras xla"),
    "W3": ("numpy compiled", "numpy", "torch"),
    "W6": ("numpy", "torch"),
}
