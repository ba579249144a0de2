"""One step of Keras on TensorFlow, taken apart by a gradient tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nnbench.backends.keras.executions import drawn_keys
from nnbench.backends.keras.losses import sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Params, Task, Walk


def step_gradients(
    task: Task, net: Net, inputs: Any, targets: Any, walk: Walk
) -> tuple[list[Any], list[Any], Params]:
    """Return activations, gradients with respect to each layer's output, and of the parameters.

    The state of the net may be changed by it.
    """
    for layer, key in zip(net.drawing.values(), drawn_keys(task, net, walk)[0], strict=True):
        layer.key.assign(key)
    x, t = tf.gather(inputs, walk.order), tf.gather(targets, walk.order)
    with tf.GradientTape() as tape:
        if net.augment is not None:
            x = net.augment(x, training=True)
        activations = [x]
        for layer in net.layers:
            output = layer(activations[-1], training=True)
            tape.watch(output)
            activations.append(output)
        losses = sample_losses(task.loss, task.architecture.output_activation)(t, activations[-1])
        loss = tf.reduce_sum(losses) * task.loss.batch_scale(len(x))
    keys = list(task.architecture.parameter_shapes())
    trained = [net.variables[key].value for key in keys]
    found = tape.gradient(loss, [*activations[1:], *trained])
    arrays = [np.array(tf.convert_to_tensor(g)) for g in found]
    passed, gradients = arrays[: len(net.layers)], arrays[len(net.layers) :]
    return list(map(np.array, activations)), passed, dict(zip(keys, gradients, strict=True))
