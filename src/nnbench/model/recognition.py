"""What initial weights look like they were drawn from, by their values alone.

Each parameter is held against the distributions that frameworks and papers have for its shape by
the statistic of Kolmogorov and Smirnov; of those that fit, the likeliest is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from nnbench.model.init import NEUTRAL, TRUNCATED_DEVIATION, Params
from nnbench.model.layers import flat_length
from nnbench.model.network import ParamKey
from nnbench.model.reading import Distribution

FITS = 2.0  # of sqrt(n) D: one draw in 1,500 has more
FEWEST = 100  # values from which a distribution of no usual name can be told
Cumulative = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def recognised(params: Params) -> dict[str, Distribution]:
    """Return what each of `params` looks like it was drawn from, by its key as text."""
    return {str(key): recognise(value, key, params) for key, value in params.items()}


def recognise(value: NDArray[np.floating], key: ParamKey, params: Params) -> Distribution:
    """Return what one parameter looks like it was drawn from."""
    values = np.sort(value.astype(np.float64).ravel())
    if values[0] == values[-1]:
        number = float(values[0])
        said = {0.0: "zeros", 1.0: "ones"}.get(number)
        return Distribution("constant", number, says=said)
    fitting = [c for c in _usual(key, params) if _statistic(values, c) <= FITS]
    if fitting:
        return max(fitting, key=lambda c: _likelihood(values, c))  # the first of equal ones
    if len(values) >= FEWEST:
        bound = float(np.abs(values).max()) * (1.0 + 1.0 / len(values))
        mean, deviation = float(values.mean()), float(values.std())
        normal = Distribution("normal", mean=mean, deviation=deviation)
        for each in (Distribution("uniform", -bound, bound), normal):
            if _statistic(values, each) <= FITS / 2:  # its constants are those of the values
                return each
    return Distribution("values")


def _usual(key: ParamKey, params: Params) -> Iterator[Distribution]:
    """Yield the distributions that have a name, of parameter `key`."""
    kernel = params.get(ParamKey(key.layer, "kernel"))
    if key.role in NEUTRAL or kernel is None:
        return
    fan_in = flat_length(kernel.shape[:-1])
    fan_out = flat_length(kernel.shape[:-2]) * kernel.shape[-1]
    yield _uniform(1.0 / fan_in / 3.0, "torch's default, U(+-1/sqrt(fan_in))")
    if key.role != "kernel":
        return
    variances = {"glorot": 2.0 / (fan_in + fan_out), "he": 2.0 / fan_in, "lecun": 1.0 / fan_in}
    for name, variance in variances.items():
        yield _uniform(variance, f"{name} uniform")
    for name, variance in variances.items():
        deviation = math.sqrt(variance)
        yield Distribution("normal", mean=0.0, deviation=deviation, says=f"{name} normal")
        says = f"{name} normal, truncated"
        yield Distribution("truncated_normal", mean=0.0, deviation=deviation, says=says)
    yield Distribution("uniform", -0.05, 0.05)
    for deviation in (1.0, 0.1, 0.05, 0.02, 0.01, 0.001):
        yield Distribution("normal", mean=0.0, deviation=deviation)


def _uniform(variance: float, says: str) -> Distribution:
    bound = math.sqrt(3.0 * variance)
    return Distribution("uniform", -bound, bound, says=says)


def _statistic(values: NDArray[np.float64], of: Distribution) -> float:
    """Return sqrt(n) times the largest distance of sorted `values` from a distribution."""
    n = len(values)
    expected = _cumulative(of)(values)
    steps = np.arange(n + 1) / n
    distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    bound = of.high
    if of.name == "truncated_normal":
        bound = 2.0 * (of.deviation or 1.0) / TRUNCATED_DEVIATION
    outside = bound is not None and max(-values[0], values[-1]) > bound * (1 + 1e-6)
    return math.inf if outside else math.sqrt(n) * distance


def _likelihood(values: NDArray[np.float64], of: Distribution) -> float:
    """Return the logarithm of the density of `values` under a distribution that fits them."""
    if of.name == "uniform":
        return -len(values) * math.log((of.high or 0.0) - (of.low or 0.0))
    deviation = of.deviation or 1.0
    within = 1.0
    if of.name == "truncated_normal":
        deviation /= TRUNCATED_DEVIATION
        within = math.erf(math.sqrt(2.0))
    squares = float((((values - (of.mean or 0.0)) / deviation) ** 2).sum()) / 2.0
    return -squares - len(values) * math.log(deviation * math.sqrt(2.0 * math.pi) * within)


def _cumulative(of: Distribution) -> Cumulative:
    if of.name == "uniform":
        low, high = of.low or 0.0, of.high or 0.0
        return lambda x: ((x - low) / (high - low)).clip(0.0, 1.0)
    mean, deviation = of.mean or 0.0, of.deviation or 1.0
    if of.name == "normal":
        return lambda x: _phi((x - mean) / deviation)
    wider = deviation / TRUNCATED_DEVIATION
    low, high = _phi(np.array([-2.0, 2.0]))
    return lambda x: ((_phi((x - mean) / wider) - low) / (high - low)).clip(0.0, 1.0)


def _phi(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulative standard normal distribution."""
    return 0.5 * (1.0 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2.0)))


def initializer(init: Mapping[str, Distribution]) -> str | None:
    """Return the option of conf/init that draws all of `init`, None where none does."""
    kernels = {d.says for key, d in init.items() if key.endswith(".kernel")}
    biases = {d.says for key, d in init.items() if key.endswith(".bias")}
    torch = "torch's default, U(+-1/sqrt(fan_in))"
    if kernels == {torch} and biases <= {torch}:
        return "torch_default"
    named = {"glorot uniform": "keras_default", "he normal": "he"}
    only = next(iter(kernels)) if len(kernels) == 1 else None
    return named.get(only or "") if biases <= {"zeros"} else None
