"""The PyTorch backend: the best plain eager loop over resident tensors."""

from nnbench.backends.torch.trainer import TorchTrainer

__all__ = ["TorchTrainer"]
