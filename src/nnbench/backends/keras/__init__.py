"""The Keras backend on TensorFlow: a compiled epoch (`xla`) and `model.fit` (`fit`)."""

from nnbench.backends.keras.trainer import KerasTrainer

__all__ = ["KerasTrainer"]
