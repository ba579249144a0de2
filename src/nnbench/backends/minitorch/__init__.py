"""MiniTorch, where it is importable: dense nets in float64; see `trainer` for what is refused."""

from nnbench.backends.minitorch.trainer import MiniTorchTrainer

__all__ = ["MiniTorchTrainer"]
