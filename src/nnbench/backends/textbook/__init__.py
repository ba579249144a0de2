"""NumPy as people write it: dense nets, plain SGD, a fresh array for every result."""

from nnbench.backends.textbook.trainer import TextbookTrainer

__all__ = ["TextbookTrainer"]
