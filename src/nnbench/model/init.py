"""Initial weights, drawn once by NumPy in float64 and loaded into every backend.

Kernels follow the chosen distribution; biases start at 0 unless the formula
says otherwise. An embedding looks up one row per token: its fan_in is 1, however large the
vocabulary. Each parameter has its own random stream, so that adding a bias or a layer leaves
the others as they were.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import ConfigError
from nnbench.model.layers import Embedding, Shape, flat_length
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.streams import generator
from nnbench.schema import above
from nnbench.schema.deferred import dataclass

Params = dict[ParamKey, NDArray[np.floating]]
# What normalising layers start with.
NEUTRAL = {"scale": 1.0, "offset": 0.0, "mean": 0.0, "variance": 1.0}
# truncated_normal: nothing beyond two standard deviations of a normal distribution that is the
# wider for it, so that the variance stays (as keras.initializers.HeNormal does).
Distribution = Literal["normal", "uniform", "truncated_normal"]
TRUNCATED_DEVIATION = 0.87962566103423978  # of N(0, 1) cut at -2 and 2


@dataclass(frozen=True)
class Normal:
    """`scale * N(0, 1)`, biases 0."""

    scale: Annotated[float, above(0.0)] = 0.01
    name: Literal["normal"] = "normal"


@dataclass(frozen=True)
class Uniform:
    """`U(low, high)`, biases included, as hand-written code often does."""

    low: float = -0.5
    high: float = 0.5
    name: Literal["uniform"] = "uniform"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(
                f"Received init.low={self.low:g} and init.high={self.high:g}; "
                "init.low must be less than init.high."
            )


@dataclass(frozen=True)
class He:
    """Variance `2 / fan_in`, normal or uniform; biases 0 (He et al. 2015, arXiv 1502.01852)."""

    distribution: Distribution = "normal"
    name: Literal["he"] = "he"


@dataclass(frozen=True)
class Glorot:
    """Variance `2 / (fan_in + fan_out)`, uniform or normal; biases 0 (Glorot & Bengio 2010).

    Uniform is `U(-a, a)` with `a = sqrt(6 / (fan_in + fan_out))`.
    """

    distribution: Distribution = "uniform"
    name: Literal["glorot"] = "glorot"


@dataclass(frozen=True)
class TorchDefault:
    """`U(-a, a)` with `a = 1 / sqrt(fan_in)`, biases too; embeddings `N(0, 1)`.

    What torch.nn.Linear, Conv2d and Embedding do.
    """

    name: Literal["torch_default"] = "torch_default"


@dataclass(frozen=True)
class KerasDefault:
    """What Keras' layers draw: Glorot uniform, biases 0; of embeddings `U(-0.05, 0.05)`."""

    name: Literal["keras_default"] = "keras_default"


@dataclass(frozen=True)
class FromRun:
    """Start from the weights of an earlier run.

    `run` is a run's name or id, a run folder, a weights file, or `case:STUDY/CASE` for the latest
    finished run of that case. Parameters that the source lacks are an error, zeros, or the
    framework's own (`native`).
    """

    run: str
    missing: Literal["error", "zeros", "native"] = "error"
    name: Literal["from_run"] = "from_run"


@dataclass(frozen=True)
class NativeInit:
    """The framework's own initializer; only with `semantics=native`."""

    name: Literal["native"] = "native"


Drawn = Normal | Uniform | He | Glorot | TorchDefault | KerasDefault
# What frameworks draw for embeddings where that is another distribution.
OF_EMBEDDINGS: dict[type, Drawn] = {TorchDefault: Normal(1.0), KerasDefault: Uniform(-0.05, 0.05)}
InitConfig = Drawn | FromRun | NativeInit


def initial_params(init: Drawn, architecture: Architecture, seed: int, dtype: str) -> Params:
    """Draw all weights of `architecture` for `seed`, cast to `dtype`, canonical layout."""
    params: Params = {}
    shapes = architecture.weight_shapes()
    for key, shape in shapes.items():
        if key.role in NEUTRAL:
            params[key] = np.full(shape, NEUTRAL[key.role], dtype)
            continue
        embedding = isinstance(architecture.layers[key.layer], Embedding)
        fan_in = 1 if embedding else flat_length(shapes[ParamKey(key.layer, "kernel")][:-1])
        rng = generator(seed, "init", key.layer, key.role)
        like = OF_EMBEDDINGS.get(type(init), init) if embedding else init
        params[key] = _drawn(like, rng, key.role, shape, fan_in).astype(dtype)
    return params


def _drawn(
    init: Drawn, rng: np.random.Generator, role: str, shape: Shape, fan_in: int
) -> NDArray[np.float64]:
    """Return one parameter of `shape`."""
    match init:
        case Uniform():
            return rng.uniform(init.low, init.high, shape)
        case TorchDefault():
            return rng.uniform(-1.0 / math.sqrt(fan_in), 1.0 / math.sqrt(fan_in), shape)
        case _ if role != "kernel":
            return np.zeros(shape)
        case Normal():
            return init.scale * rng.standard_normal(shape)
    fan_out = flat_length(shape[:-2]) * shape[-1]
    variance = 2.0 / (fan_in if isinstance(init, He) else fan_in + fan_out)
    distribution = "uniform" if isinstance(init, KerasDefault) else init.distribution
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return rng.uniform(-limit, limit, shape)
    cut = distribution == "truncated_normal"
    drawn = _truncated(rng, shape) / TRUNCATED_DEVIATION if cut else rng.standard_normal(shape)
    return math.sqrt(variance) * drawn


def _truncated(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """Draw from N(0, 1); draw again what lies beyond -2 and 2."""
    drawn = rng.standard_normal(shape)
    while (beyond := np.abs(drawn) > 2.0).any():
        drawn[beyond] = rng.standard_normal(int(beyond.sum()))
    return drawn


def complete_params(
    source: Params, architecture: Architecture, missing: str, native: Params, origin: str
) -> Params:
    """Fit the weights of another run to `architecture`.

    `missing` says what becomes of parameters that `source` lacks: `error`, `zeros`, or `native`
    for those in `native`. Raises ConfigError for extra, missing or misshaped ones, by name.
    """
    shapes = architecture.weight_shapes()
    extra = [str(key) for key in source if key not in shapes]
    if extra:
        raise ConfigError(
            f"The weights of {origin} have {', '.join(extra)}, which {architecture} lacks; "
            "use the architecture they were trained with."
        )
    params: Params = {}
    for key, shape in shapes.items():
        if key not in source and missing == "error":
            raise ConfigError(
                f"The weights of {origin} lack {key} {shape}, which {architecture} needs; "
                "use the same architecture, or init.missing=zeros."
            )
        value = source.get(key, native[key] if missing == "native" else np.zeros(shape))
        if value.shape != shape:
            raise ConfigError(
                f"The weights of {origin} have {key} of shape {value.shape}, {architecture} needs "
                f"{shape}; use the architecture they were trained with."
            )
        params[key] = value
    return params
