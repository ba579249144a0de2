"""What is timed: nets, data, contenders, and the ratios that nnbench has to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: `nnbench OVERRIDES`, or a loop of bare.py with the same task.

    It needs `packages`. `kind` is whose it is: ours, another framework run by nnbench, or a loop
    written by hand for the comparison.
    """

    label: str
    overrides: tuple[str, ...] = ()
    bare: str | None = None
    packages: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return `ours`, `framework` or `by hand`."""
        if self.bare is not None:
            return "by hand"
        return "ours" if self.label.startswith("numpy") else "framework"


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
class Evaluation:
    """`of` may take at most `ratio` times as long as `against` for evaluating."""

    of: str
    against: str
    ratio: float


@dataclass(frozen=True)
class Gain:
    """`two` threads are never slower than 1/`least` of `one`; 1.4 times as fast where `peer`'s are.

    `peers` are another's with one thread and with two.
    """

    one: str
    two: str
    peers: tuple[str, str]
    ratio: float = 1.4
    least: float = 0.9


Demand = Goal | Limit | Evaluation | Gain


@dataclass(frozen=True)
class Workload:
    """A task, trained for `epochs`, the first of which is not counted.

    `more` are the contenders that no goal asks for, left out unless all are wanted.
    """

    name: str
    what: str
    overrides: tuple[str, ...]
    epochs: int
    contenders: tuple[Contender, ...]
    goals: tuple[Demand, ...] = ()
    more: tuple[Contender, ...] = ()


NUMPY = Contender("numpy", ("backend=numpy",))
REFERENCE = Contender("numpy reference", ("backend=numpy_reference",))
TORCH = Contender("torch", ("backend=torch",), packages=("torch",))
COMPILED = Contender("numpy compiled", ("backend=numpy_compiled",), packages=("numba",))
TEXTBOOK = Contender("numpy textbook", ("backend=numpy_textbook",))
TORCH_COMPILE = Contender("torch compile", ("backend=torch_compile",), packages=("torch",))
LOADER = Contender("torch, DataLoader", ("backend=torch", "input=native"), packages=("torch",))
XLA = Contender(
    "keras xla", ("backend=keras", "backend.execution=xla"), packages=("keras", "tensorflow")
)
GRAPH = Contender("keras graph", ("backend=keras_graph",), packages=("keras", "tensorflow"))
FORGENN = Contender("forgeNN", ("backend=forgenn",), packages=("forgeNN",))
FIT = Contender("keras fit", ("backend=keras_fit",), packages=("keras", "tensorflow"))
TWO = Contender("numpy, 2 threads", ("backend=numpy", "threads=2"))
TORCH_TWO = Contender("torch, 2 threads", ("backend=torch", "threads=2"), packages=("torch",))
C_LOOP = Contender("C loop", bare="c")
BARE_NUMPY = Contender("bare NumPy", bare="numpy")
BARE_TORCH = Contender("bare torch", bare="torch", packages=("torch",))
BARE_XLA = Contender("bare XLA", bare="xla", packages=("tensorflow",))
BARE_JAX = Contender("bare JAX", bare="jax", packages=("jax",))
PRODUCTS = Contender("its products alone", bare="products")
SKLEARN = Contender("scikit-learn", bare="sklearn", packages=("sklearn",))
CHANNELS_LAST = Contender(
    "bare torch, channels last", bare="torch_channels_last", packages=("torch",)
)
THREADS = (TWO, TORCH_TWO)
TWICE = Gain("numpy", "numpy, 2 threads", ("torch", "torch, 2 threads"))

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
            (COMPILED, NUMPY, TORCH, FORGENN, PRODUCTS),
            (Goal("numpy compiled", "torch", 1.8, 1.3), Goal("numpy", "torch", 1.6, 1.15), TWICE),
            THREADS,
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
            *(COMPILED, NUMPY, TEXTBOOK, TORCH, XLA),
            *(C_LOOP, BARE_NUMPY, BARE_TORCH, BARE_XLA, BARE_JAX, SKLEARN),
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
        (REFERENCE, GRAPH, FIT, LOADER),
    ),
    Workload(
        "W2",
        "784-128-10 sigmoid, SGD, batch 32",
        (*SIGMOID, "batch_size=32", "data.train_samples=12800", "data.test_samples=1000"),
        8,
        (COMPILED, NUMPY, TEXTBOOK, TORCH, XLA, PRODUCTS),
        (
            Goal("numpy compiled", "torch", 4.0, 3.5),
            Goal("numpy compiled", "keras xla", 1.0),
            Goal("numpy", "torch", 3.5, 2.5),
        ),
        (REFERENCE, TORCH_COMPILE, SKLEARN),
    ),
    Workload(
        "W3",
        "784-128-64-10 ReLU, cross-entropy, momentum, batch 32, 60,000 samples",
        (*MOMENTUM, "arch=784-128-64-10"),
        5,
        (
            *(COMPILED, NUMPY, TEXTBOOK, TORCH, XLA, FORGENN, *THREADS),
            *(BARE_NUMPY, BARE_TORCH, BARE_XLA, BARE_JAX, SKLEARN, PRODUCTS),
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
            Evaluation("numpy compiled", "torch", 0.5),
            TWICE,
        ),
        (REFERENCE, LOADER),
    ),
    Workload(
        "W4",
        "784-10-10 ReLU, one full batch of 9,000",
        (*RECTIFIED, "arch=784-10-10", "batch_size=9000", "data.train_samples=9000"),
        25,
        (COMPILED, NUMPY, TORCH, XLA, PRODUCTS),
        (
            Goal("numpy compiled", "torch", 3.3, 1.6),
            Goal("numpy compiled", "keras xla", 2.0, 1.4),
            Goal("numpy", "torch", 3.0, 1.4),
            TWICE,
        ),
        (REFERENCE, *THREADS),
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
        (NUMPY, TORCH, CHANNELS_LAST, PRODUCTS, *THREADS),
        (
            Goal("numpy", "torch", 1.45, 1.15),
            Goal("numpy", "bare torch, channels last", 1.6, 1.1),
            TWICE,
        ),
        (GRAPH, XLA),
    ),
)
QUICK = {
    "W1": ("numpy compiled", "numpy", "torch", "keras xla"),
    "W3": ("numpy compiled", "numpy", "torch"),
    "W6": ("numpy", "torch"),
}
