"""The `fused` execution: the formulas of the layers, arranged for one core.

A training step over a fixed number of samples is a `plan`: a list of calls whose arrays have all
been allocated beforehand. What pays, each in its own file:

- dense.py     gradient and update in one matrix product on the weight or the velocity itself
- pointwise.py activations and losses in place
- images.py    convolution and pooling, channels first, as contiguous copies and one product
- online.py    batch size 1: the first layer's updates held back and applied many at a time
- updates.py   the other optimizers, on all parameters at once, in blocks that stay in the cache
- plain.py     any other layer as `reference` computes it

All of it is exact up to rounding, and held against `reference` like any other backend.
"""

from nnbench.backends.numpy.fused.steps import Fused

__all__ = ["Fused"]
