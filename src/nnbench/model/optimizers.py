"""Optimizers, described: one formula each, PyTorch's, that every backend follows when matched.

g is the gradient, w a parameter, t the number of the step counted from 1. Buffers start at 0.
A constant that is None is the documented one in matched semantics (`nnbench.model.formulas`), the
framework's own in native semantics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nnbench.schema import above, at_least, within

Decay = Annotated[float, within(0.0, 1.0, high_open=True)]
Positive = Annotated[float, above(0.0)]
NotNegative = Annotated[float, at_least(0.0)]


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What every optimizer takes.

    `clip_norm` bounds the global norm N of the gradient, over all parameters together and before
    weight decay: `gradient * min(1, clip_norm / (N + 1e-6))`. Source:
    torch.nn.utils.clip_grad_norm_; Keras' `clipnorm` is per variable, its `global_clipnorm` lacks
    the 1e-6. None does not clip.
    """

    weight_decay: NotNegative | None = 0.0
    clip_norm: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class SGD(_Rule):
    """Stochastic gradient descent, with the learning rate outside the velocity (as in PyTorch).

    `g = gradient + weight_decay * w; v = momentum * v + g; w = w - lr * v`; with `nesterov`
    `w = w - lr * (g + momentum * v)`. Weight decay is L2 added to the gradient, on kernels and
    biases alike. Source: torch.optim.SGD; Keras keeps the learning rate inside the velocity,
    which differs as soon as the rate changes.
    """

    momentum: Decay = 0.0
    nesterov: bool = False
    name: Literal["sgd"] = "sgd"


@dataclass(frozen=True, kw_only=True)
class Adam(_Rule):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980), with epsilon beside the corrected root.

    `g = gradient + weight_decay * w; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    w = w - lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)`. Source:
    torch.optim.Adam; Keras adds its epsilon (1e-7) to the uncorrected root.
    """

    beta1: Decay | None = None
    beta2: Decay | None = None
    epsilon: Positive | None = None
    name: Literal["adam"] = "adam"


@dataclass(frozen=True, kw_only=True)
class AdamW(_Rule):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

    `w = w - lr * weight_decay * w`, then Adam's step without decay. Source: torch.optim.AdamW.
    """

    beta1: Decay | None = None
    beta2: Decay | None = None
    epsilon: Positive | None = None
    weight_decay: NotNegative | None = None
    name: Literal["adamw"] = "adamw"


@dataclass(frozen=True, kw_only=True)
class RMSprop(_Rule):
    """RMSprop (Hinton's lecture 6e), with epsilon outside the root.

    `g = gradient + weight_decay * w; v = rho v + (1 - rho) g^2; b = momentum b + g / (sqrt(v) +
    epsilon); w = w - lr b`. Source: torch.optim.RMSprop; Keras has rho 0.9, epsilon 1e-7 inside
    the root and, with momentum, the learning rate inside b.
    """

    rho: Decay | None = None
    momentum: Decay = 0.0
    epsilon: Positive | None = None
    name: Literal["rmsprop"] = "rmsprop"


@dataclass(frozen=True, kw_only=True)
class Adagrad(_Rule):
    """Adagrad (Duchi et al. 2011), with the accumulator starting at `initial`.

    `g = gradient + weight_decay * w; s = s + g^2; w = w - lr g / (sqrt(s) + epsilon)`. Source:
    torch.optim.Adagrad; Keras starts at 0.1, with epsilon 1e-7 inside the root.
    """

    initial: NotNegative | None = None
    epsilon: Positive | None = None
    name: Literal["adagrad"] = "adagrad"


Optimizer = SGD | Adam | AdamW | RMSprop | Adagrad
