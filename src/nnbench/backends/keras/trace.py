"""One step of Keras on TensorFlow, taken apart by a gradient tape."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nnbench.backends.keras.executions import drawn_keys
from nnbench.backends.keras.model import Net, sample_losses
from nnbench.backends.protocol import Task, Walk

Arrays = list[Any]


def step_gradients(
    task: Task, net: Net, inputs: Any, targets: Any, walk: Walk
) -> tuple[Arrays, Arrays, Arrays]:
    """Return activations, gradients with respect to each layer's output, and of the parameters.

    The state of the net may be changed by it.
    """
    for layer, key in zip(net.drawing.values(), drawn_keys(net, walk)[0], strict=True):
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
    trained = [net.variables[key].value for key in task.architecture.parameter_shapes()]
    found = tape.gradient(loss, [*activations[1:], *trained])
    dense = [tf.convert_to_tensor(g) for g in found]
    return activations, dense[: len(net.layers)], dense[len(net.layers) :]
