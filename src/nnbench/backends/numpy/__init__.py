"""The from-scratch NumPy backend: readable enough to teach from, the oracle for every other."""

from nnbench.backends.numpy.trainer import NumpyTrainer

__all__ = ["NumpyTrainer"]
