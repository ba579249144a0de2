"""One training step of several backends, taken apart, with all that its numbers are made from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import Params, StepTrace, Tracer, Walk
from nnbench.errors import ConfigError, UnsupportedSpec
from nnbench.model import metrics
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody

if TYPE_CHECKING:
    from nnbench.training.side_by_side import Sides

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Traced:
    """A step as one backend took it: `walk`, and the weights before it."""

    trace: StepTrace
    params: Params
    walk: Walk


def traces(sides: Sides, step: int, tell: Tell = nobody) -> dict[str, Traced]:
    """Return step `step` (from 1) of every trainer, taken apart."""
    epoch, last = _place(sides, step)
    size = sides.task.step_samples
    for name, trainer in sides.trainers.items():
        if not isinstance(trainer, Tracer):
            raise UnsupportedSpec(f"backend={name} cannot show a step; it has no method trace.")
    found: dict[str, Traced] = {}
    walks = list(sides.walks(epoch + 1))
    whole = len(sides.trainers) * len(walks)
    for i, (name, trainer) in enumerate(sides.trainers.items()):
        trainer.load(sides.params)
        for k, walk in enumerate(walks[:-1]):
            tell(i * len(walks) + k, whole, f"{name}, epoch {k + 1}/{len(walks)}")
            trainer.train(walk)
        tell((i + 1) * len(walks) - 1, whole, f"{name}, step {step:,}")
        if last:
            trainer.train(walks[-1].part(0, last, size))
        one, before = walks[-1].part(last, last + 1, size), trainer.params()
        assert isinstance(trainer, Tracer)
        found[name] = Traced(trainer.trace(one), before, one)
    return found


def _place(sides: Sides, step: int) -> tuple[int, int]:
    """Return epoch and step within it, from 0. Raises ConfigError for a step that is none."""
    batches = sides.config.gradient_accumulation_steps
    if batches > 1:
        raise ConfigError(
            f"Received gradient_accumulation_steps={batches}; nnbench trace takes steps of one "
            "batch apart: leave it out."
        )
    epoch, last = divmod(step - 1, sides.steps)
    if epoch >= sides.config.epochs:
        raise ConfigError(
            f"Received --step {step}; the run has {sides.config.epochs * sides.steps:,}, epochs="
            f"{sides.config.epochs} of {sides.steps:,}."
        )
    return epoch, last


def arrays(sides: Sides, traced: dict[str, Traced]) -> Arrays:
    """Name every array: BACKEND/LAYER.what, layers counted from 0 as in weights files.

    `labels` (regression: targets), `prediction` (the logits through the output activation),
    `losses` (of each sample, over its outputs) and `loss` (over the batch: what is minimised) are
    float64 but for labels, computed from the backend's own logits.
    """
    found: Arrays = {}
    net, loss = sides.task.architecture, sides.task.loss
    for name, each in traced.items():
        step, targets = each.trace, sides.dataset.splits["train"].targets[each.walk.order]
        logits = step.activations[-1]
        losses = metrics.sample_losses(logits, targets, loss, net.output_activation)
        found[f"{name}/input"] = step.activations[0]
        found[f"{name}/labels"] = targets
        for i, output in enumerate(step.activations[1:]):
            found[f"{name}/{i}.output"] = output
        found[f"{name}/prediction"] = metrics.outputs(logits, net.output_activation)
        found[f"{name}/losses"] = losses
        found[f"{name}/loss"] = np.array(losses.sum() * loss.batch_scale(len(losses)))
        for i, gradient in enumerate(step.gradients):
            if gradient is not None:
                found[f"{name}/{i}.output.gradient"] = gradient
        for key, value in each.params.items():
            found[f"{name}/{key}"] = value
        for key, value in step.parameter_gradients.items():
            found[f"{name}/{key}.gradient"] = value
        for key, value in step.updates.items():
            found[f"{name}/{key}.update"] = value
    return found


def facts(sides: Sides, step: int) -> dict[str, Any]:
    """Return what the formulas of the step need to know, as plain data."""
    task, (epoch, last) = sides.task, _place(sides, step)
    net = task.architecture
    rate = float(list(sides.walks(epoch + 1))[-1].lr[last])
    return {
        "net": [_layer(layer, before) for _, layer, before, _ in net.shapes()],
        "output_activation": net.output_activation,
        "loss": {
            "name": task.loss.name,
            "plain": task.loss.is_plain,
            "output_scale": task.loss.output_scale(net.output_shape()[0]),
            "over_batch": task.loss.over_batch,
        },
        "optimizer": {"title": _title(task.optimizer), **asdict(task.optimizer)},
        "rate": rate,
        "augmented": net.augment is not None,
        "step": step,
        "epoch": epoch + 1,
    }


def _layer(layer: Any, before: Any) -> dict[str, Any]:
    """Return a layer's name and values, and how much is padded before rows and columns."""
    values = asdict(layer)
    if layer.name == "conv2d":
        values["pads"] = [pad[0] for pad in layer.pads(before)]
    if layer.name in ("max_pool2d", "avg_pool2d"):
        values["step"] = layer.step
    return values


def _title(rule: Any) -> str:
    """Return an optimizer's name and the constants that it was given."""
    names = ("momentum", "weight_decay", "beta1", "beta2", "rho", "clip_norm", "clip_value")
    values = asdict(rule)
    return " ".join([rule.name, *(f"{n}={values[n]}" for n in names if values.get(n))])
