"""The forgeNN backend: dense nets in float32, as its own documentation trains them."""

from nnbench.backends.forgenn.trainer import ForgeNNTrainer

__all__ = ["ForgeNNTrainer"]
