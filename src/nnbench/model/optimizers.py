"""Optimizers, described: one formula each, PyTorch's, that every backend follows when matched.

g is the gradient, w a parameter, t the number of the step counted from 1. Buffers start at 0.
A constant or a form of a formula that is None is the documented one in matched semantics
(`nnbench.model.formulas`), the framework's own in native semantics. The forms are settings too, so
that any backend can compute what another framework computes; the docstrings name both.
"""

from __future__ import annotations

from typing import Annotated, Literal

from nnbench.schema import above, at_least, within
from nnbench.schema.deferred import dataclass

Decay = Annotated[float, within(0.0, 1.0, high_open=True)]
Positive = Annotated[float, above(0.0)]
NotNegative = Annotated[float, at_least(0.0)]
Family = Literal["torch", "keras"]
Rate = Literal["outside", "inside"]
EpsilonRoot = Literal["outside", "inside"]


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What every optimizer takes.

    `formulas`: the framework whose constants and forms are meant where none are set.

    `clip_value` c bounds every value of the gradient: `max(-c, min(gradient, c))`. `clip_norm`
    bounds the global norm N of the gradient, over all parameters together and before weight decay:
    `gradient * min(1, clip_norm / (N + clip_offset))`, the offset 1e-6. Source:
    torch.nn.utils.clip_grad_norm_; Keras' `global_clipnorm` has no offset, its `clipnorm` is per
    variable. None does not clip.

    `decay=coupled` adds `weight_decay * w` to the gradient (L2, as in PyTorch), `decoupled` does
    `w = w - lr * weight_decay * w` before the step (as in Keras). `decay_on=kernels` spares
    biases and what normalising layers learn.
    """

    formulas: Family | None = None
    weight_decay: NotNegative | None = 0.0
    decay: Literal["coupled", "decoupled"] | None = None
    decay_on: Literal["all", "kernels"] = "all"
    clip_value: Positive | None = None
    clip_norm: Positive | None = None
    clip_offset: NotNegative | None = None


@dataclass(frozen=True, kw_only=True)
class SGD(_Rule):
    """Stochastic gradient descent, with the learning rate outside the velocity (as in PyTorch).

    `g = gradient + weight_decay * w; v = momentum * v + g; w = w - lr * v`; with `nesterov`
    `w = w - lr * (g + momentum * v)`. `rate=inside` (as in Keras): `v = momentum * v + lr * g;
    w = w - v`, with `nesterov` `w = w - (lr * g + momentum * v)`; the same at a constant rate.
    Source: torch.optim.SGD, keras.optimizers.SGD.
    """

    momentum: Decay = 0.0
    nesterov: bool = False
    rate: Rate | None = None
    name: Literal["sgd"] = "sgd"


@dataclass(frozen=True, kw_only=True)
class _Moments(_Rule):
    """What Adam and AdamW take."""

    beta1: Decay | None = None
    beta2: Decay | None = None
    epsilon: Positive | None = None
    epsilon_root: EpsilonRoot | None = None
    epsilon_correction: Literal["after", "before"] | None = None
    amsgrad: bool = False


@dataclass(frozen=True, kw_only=True)
class Adam(_Moments):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980), with epsilon beside the corrected root.

    `m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w = w - lr * m / (1 - beta1^t) / r`
    with `r = sqrt(v / c) + epsilon`, `c = 1 - beta2^t` (torch.optim.Adam).
    `epsilon_correction=before` adds epsilon before the correction: `r = (sqrt(v) + epsilon) /
    sqrt(c)` (keras.optimizers.Adam). `epsilon_root=inside` has `sqrt(v / c + epsilon)` or
    `sqrt(v + epsilon) / sqrt(c)`. `amsgrad` takes the largest v so far in place of v (Reddi et al.
    2018).
    """

    name: Literal["adam"] = "adam"


@dataclass(frozen=True, kw_only=True)
class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

    `w = w - lr * weight_decay * w`, then Adam's step without decay. Source: torch.optim.AdamW.
    """

    weight_decay: NotNegative | None = None
    decay: Literal["decoupled"] | None = None
    name: Literal["adamw"] = "adamw"


@dataclass(frozen=True, kw_only=True)
class RMSprop(_Rule):
    """RMSprop (Hinton's lecture 6e), with epsilon outside the root.

    `v = rho v + (1 - rho) g^2; b = momentum b + g / (sqrt(v) + epsilon); w = w - lr b`
    (torch.optim.RMSprop). `epsilon_root=inside`: `g / sqrt(v + epsilon)`; `rate=inside`:
    `b = momentum b + lr g / ...; w = w - b` (both keras.optimizers.RMSprop).
    """

    rho: Decay | None = None
    momentum: Decay = 0.0
    epsilon: Positive | None = None
    epsilon_root: EpsilonRoot | None = None
    rate: Rate | None = None
    name: Literal["rmsprop"] = "rmsprop"


@dataclass(frozen=True, kw_only=True)
class Adagrad(_Rule):
    """Adagrad (Duchi et al. 2011), with the accumulator starting at `initial`.

    `s = s + g^2; w = w - lr g / (sqrt(s) + epsilon)` (torch.optim.Adagrad, from 0).
    `epsilon_root=inside`: `g / sqrt(s + epsilon)` (keras.optimizers.Adagrad, from 0.1).
    """

    initial: NotNegative | None = None
    epsilon: Positive | None = None
    epsilon_root: EpsilonRoot | None = None
    name: Literal["adagrad"] = "adagrad"


Optimizer = SGD | Adam | AdamW | RMSprop | Adagrad
