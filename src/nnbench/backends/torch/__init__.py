"""The PyTorch backend: `TorchTrainer`, a plain eager training loop."""

from nnbench.backends.torch.trainer import TorchTrainer

__all__ = ["TorchTrainer"]
