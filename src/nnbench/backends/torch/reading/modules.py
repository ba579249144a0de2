"""torch's modules in nnbench's words; one table entry each. What does not fit is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from nnbench.backends.torch.reading import operations as op
from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.operations import Call
from nnbench.model.layers import ActivationName

Read = Callable[[Chain, Any, str, Call], None]


def _activation(name: ActivationName) -> Read:
    return lambda chain, module, own, call: op.activation(chain, name, call)


def _linear(chain: Chain, module: nn.Linear, name: str, call: Call) -> None:
    bias = f"{name}.bias" if module.bias is not None else None
    op.linear(chain, f"{name}.weight", (1, 0), bias, module.out_features, call)


def _conv2d(chain: Chain, module: nn.Conv2d, name: str, call: Call) -> None:
    bias = f"{name}.bias" if module.bias is not None else None
    if module.padding_mode != "zeros":
        op.unknown(chain, call, f"padding_mode={module.padding_mode!r}")
        return
    given = op.Convolution(
        f"{name}.weight", bias, tuple(module.weight.shape), module.stride, module.padding,
        module.dilation, module.groups,
    )  # fmt: skip
    op.conv2d(chain, given, call)


def _max_pool(chain: Chain, module: nn.MaxPool2d, name: str, call: Call) -> None:
    if module.return_indices:
        op.unknown(chain, call, "return_indices=True")
        return
    op.pool(chain, "max", call, module.kernel_size, module.stride, module.padding, module.dilation)


def _avg_pool(chain: Chain, module: nn.AvgPool2d, name: str, call: Call) -> None:
    if module.divisor_override:
        op.unknown(chain, call, "divisor_override")
        return
    op.pool(chain, "avg", call, module.kernel_size, module.stride, module.padding, 1)


def _batch_norm(
    chain: Chain, module: nn.BatchNorm1d | nn.BatchNorm2d, name: str, call: Call
) -> None:
    for lack, reason in (
        (not module.affine, "affine=False"),
        (not module.track_running_stats, "track_running_stats=False"),
        (module.momentum is None, "momentum=None (a cumulative average)"),
        (module.training, "it normalises by the batch in evaluation, too"),  # read in evaluation
    ):
        if lack:
            op.unknown(chain, call, reason)
            return
    op.batch_norm(chain, name, float(module.momentum or 0.0), module.eps, call)


def _layer_norm(chain: Chain, module: nn.LayerNorm, name: str, call: Call) -> None:
    if not module.elementwise_affine or module.bias is None:
        op.unknown(chain, call, "without scale or offset")
        return
    op.layer_norm(chain, name, tuple(module.normalized_shape), module.eps, call)


def _embedding(chain: Chain, module: nn.Embedding, name: str, call: Call) -> None:
    odd = module.padding_idx is not None or module.max_norm is not None
    if odd or module.scale_grad_by_freq or module.sparse:
        op.unknown(chain, call, "padding_idx, max_norm, scale_grad_by_freq or sparse")
        return
    op.embedding(chain, f"{name}.weight", module.num_embeddings, module.embedding_dim, call)


MODULES: dict[type[nn.Module], Read] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: lambda c, m, n, call: op.adaptive_pool(c, m.output_size, call),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
    nn.Dropout: lambda c, m, n, call: op.dropout(c, m.p, call, m.training),  # read in evaluation
    nn.ZeroPad2d: lambda c, m, n, call: op.zero_pad(c, m.padding, call),
    nn.LeakyReLU: lambda c, m, n, call: op.leaky_relu(c, m.negative_slope, call),
    nn.GELU: lambda c, m, n, call: op.gelu(c, m.approximate, call),
    nn.Softmax: lambda c, m, n, call: op.softmax(c, m.dim, call),
    nn.LogSoftmax: lambda c, m, n, call: op.log_softmax(c, m.dim, call),
    nn.Flatten: lambda c, m, n, call: op.view(c, call, m),
    nn.Unflatten: lambda c, m, n, call: op.view(c, call, m),
    nn.Identity: lambda c, m, n, call: op.view(c, call, m),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Tanh: _activation("tanh"),
    nn.ReLU: _activation("relu"),
    nn.SiLU: _activation("silu"),
}


def read_module(chain: Chain, module: nn.Module, name: str, call: Call) -> None:
    """Append what `module`, called `name` in the program, does."""
    read = MODULES.get(type(module))
    if read is None:
        op.unknown(chain, call, f"{_kind(module)} is not a layer that nnbench has")
    else:
        read(chain, module, name, call)


def _kind(module: nn.Module) -> str:
    kind = type(module)
    own = kind.__module__.startswith("torch.")
    return f"nn.{kind.__name__}" if own else kind.__name__
