"""What would make program B as program A: lines of B's own framework, or that it cannot be said.

A classic mistake is not copied: it is mended on the side that makes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from nnbench import data
from nnbench.model.layers import Activation
from nnbench.model.reading import Framework, Place, Reading
from nnbench.reporting.diagnosis import writing_keras, writing_torch
from nnbench.reporting.diagnosis.difference import SWITCHES, Difference
from nnbench.reporting.diagnosis.sides import Side, epoch_steps
from nnbench.reporting.diagnosis.starts import OF, PLAIN
from nnbench.reporting.diagnosis.writing import Wanted
from nnbench.reporting.explain.bridge import cell
from nnbench.reporting.explain.change import LAYER, Change, Values, applied
from nnbench.reporting.explain.layers import slots
from nnbench.schema.deferred import dataclass
from nnbench.training.assembly import make_architecture

ROOMS: dict[Framework, Any] = {"keras": writing_keras, "torch": writing_torch}
REGULARIZED = "keras.regularizers.L2({}) as kernel_regularizer and bias_regularizer of each layer"


@dataclass(frozen=True)
class Mend:
    """What to write on `side` for the differences `names`; `cannot` says of which what is left.

    `line` is None where nothing of it can be said there. `place` is the line that it replaces.
    """

    names: tuple[str, ...]
    side: Literal["A", "B"]
    line: str | None
    place: Place | None
    cannot: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mended:
    """The mends, and by side the configuration of a program that has them, for those changed."""

    mends: tuple[Mend, ...]
    targets: dict[Literal["A", "B"], Values]
    remaining: tuple[str, ...]


def mended(found: Sequence[Difference], a: Side, b: Side, va: Values, vb: Values) -> Mended:
    """Return what makes B as A, and A as it should be where it has a classic mistake."""
    mistaken = [d for d in found if _is_mistake_of_a(d, va)]
    targets: dict[Literal["A", "B"], Values] = {}
    own = [each.change for each in mistaken]
    framework = b.reading.framework
    kept = [*own]
    left: dict[str, tuple[str, ...]] = {}
    for each in found:
        if each in mistaken:
            continue
        keys, why = _unsayable(each, va, vb, framework)
        if keys:
            kept.append(Change(tuple(keys), each.change.name, each.change.text))
            left[each.name] = tuple(dict.fromkeys(why))
    target = applied(va, vb, kept) | {"backend": vb["backend"]}
    if framework in ROOMS:
        targets["B"] = target
    mends: list[Mend] = []
    if mistaken and a.reading.framework in ROOMS:
        targets["A"] = applied(va, vb, own)
        mends += [
            Mend((each.name,), "A", _mistake_line(each, a, targets["A"]), each.place_a)
            for each in mistaken
        ]
    wanted = wanted_of(target, a)
    for each in found:
        if each in mistaken or not each.change.keys or framework not in ROOMS:
            continue
        line = _line(each, wanted, framework, a, b, va, vb, left.get(each.name, ()))
        cannot = tuple(f"{each.name}: {why}" for why in left.get(each.name, ()))
        mends.append(Mend((each.name,), "B", line, each.place_b, cannot))
    remaining = tuple(why for each in left.values() for why in each)
    return Mended(_joined(mends), targets, tuple(dict.fromkeys(remaining)))


def wanted_of(values: Values, a: Side) -> Wanted:
    """Return what a program of a configuration trains, drawn from A's distributions."""
    config = cell(dict(values) | {OF: PLAIN}).config
    outline = data.outline(config.data, kind=config.task, seed=config.seed)
    net = make_architecture(config, outline)
    own = [{"name": layer.name} for layer in a.layers]
    init = {}
    i = j = 0
    for old, new in slots(own, [{"name": layer.name} for layer in net.layers]):
        if old is not None and new is not None:
            for key, of in a.reading.init.items():
                at, _, role = key.partition(".")
                if int(at) == a.position(i):
                    init[f"{j}.{role}"] = of
        i, j = i + (old is not None), j + (new is not None)
    steps = epoch_steps(values)
    return Wanted(net, config.loss, config.optimizer, config.schedule, init, steps)


def reading_of(values: Values, like: Reading) -> Reading:
    """Return what a program of a configuration is read as."""
    config = cell(dict(values) | {OF: PLAIN}).config
    outline = data.outline(config.data, kind=config.task, seed=config.seed)
    net = make_architecture(config, outline)
    return dataclasses.replace(
        like,
        input_shape=net.input_shape,
        layers=net.layers,
        places=(None,) * len(net.layers),
        output_activation=net.output_activation,
        loss=config.loss,
        optimizer=config.optimizer,
        schedule=config.schedule,
        frozen=(),
    )


def program(values: Values, a: Side, framework: Framework) -> str:
    """Return a program that trains a configuration, as source text."""
    return str(ROOMS[framework].program(wanted_of(values, a)))


def _unsayable(
    each: Difference, va: Values, vb: Values, framework: Framework
) -> tuple[list[str], list[str]]:
    """Return the keys of a difference in which B cannot be as A, and why."""
    if framework not in ROOMS:
        return [], []
    known: Mapping[tuple[str, str], str] = ROOMS[framework].UNSAYABLE
    kind = writing_keras.CLASSES.get(va["optimizer"]["name"], "")
    keys, why = [], []
    for key in each.change.keys:
        leaf = key.rpartition(".")[2]
        value = _value(key, va, vb)
        reason = known.get((leaf, str(value))) or (known.get((leaf, "*")) if value else None)
        reason = reason or _more(key, va, vb, framework)
        if reason is not None:
            keys.append(key)
            why.append(reason.format(kind))
    return keys, why


def _more(key: str, va: Values, vb: Values, framework: Framework) -> str | None:
    """Return why a setting of A's cannot be said for what it stands with."""
    rule = va["optimizer"]
    layer = LAYER.fullmatch(key)
    if framework == "keras" and layer and layer[2] == "trainable":
        old, _ = slots(va["arch"]["layers"], vb["arch"]["layers"])[int(layer[1])]
        if old["name"] == "batch_norm" and not old["trainable"]:  # type: ignore[index]
            return "with trainable=False Keras' batch norm trains with its running averages"
    if framework == "torch":
        if key == "optimizer.decay" and rule["decay"] == "decoupled" and rule["name"] != "adam":
            return "decoupled weight decay is AdamW's alone in PyTorch"
        if key == "schedule" and va["schedule"]["name"] == "listed":
            rates, steps = va["schedule"]["rates"], epoch_steps(va)
            if any(a != b for i, (a, b) in enumerate(pairwise(rates)) if (i + 1) % steps):
                return "schedulers are stepped after an epoch in PyTorch"
    return None


def _value(key: str, va: Values, vb: Values) -> Any:
    """Return the value that A has of a key."""
    if layer := LAYER.fullmatch(key):
        old, _ = slots(va["arch"]["layers"], vb["arch"]["layers"])[int(layer[1])]
        return old.get(layer[2]) if isinstance(old, Mapping) and layer[2] else None
    group, _, leaf = key.partition(".")
    return va[group].get(leaf) if leaf else va.get(group)


def _line(
    each: Difference, wanted: Wanted, framework: Framework, a: Side, b: Side,
    va: Values, vb: Values, left: Sequence[str],
) -> str | None:  # fmt: skip
    """Return the line that mends a difference, None where nothing of it can be said."""
    room = ROOMS[framework]
    if left and len(left) >= len(each.change.keys):
        return None
    if each.part == "loss" and each.key != "output":
        return str(room.loss(wanted))
    if each.part in ("optimizer", "schedule"):
        line = str(room.optimizer(wanted))
        coupled = wanted.optimizer.decay == "coupled" and wanted.optimizer.weight_decay
        if framework == "keras" and coupled and each.key in ("decay", "weight_decay"):
            return REGULARIZED.format(wanted.optimizer.weight_decay / 2.0)  # type: ignore[operator]
        return line
    if each.key == "layers" or not each.layers:
        return f"layers as {a.name} has them"
    return _layer_line(each, wanted, framework, a, b)


def _layer_line(each: Difference, wanted: Wanted, framework: Framework, a: Side, b: Side) -> str:
    i, j = each.layers[0]
    if i is None:
        return f"leave out {each.b}"
    if each.key == "in_evaluation":
        return str(ROOMS[framework].in_training_alone(a.layers[i]))
    if each.key == "trainable" and a.layers[i].learns:
        return str(ROOMS[framework].LEARNING)
    at = min(i, len(wanted.net.layers) - 1)
    layer = wanted.net.layers[at] if type(wanted.net.layers[at]) is type(a.layers[i]) else None
    before = next((s for p, _, s, _ in wanted.shapes() if p == at), None)
    layer = layer or a.layers[i]
    if framework == "keras":
        text = ", ".join(writing_keras.layer_text(layer)) + _written_with(b, j)
    else:
        text = writing_torch.layer_text(layer, before)
    return text if j is not None else f"{text}, after {_after(a, i)}"


def _written_with(b: Side, j: int | None) -> str:
    """Return the activation that stands in the same construct as layer `j` of B, to be kept."""
    following = b.layers[j + 1] if j is not None and j + 1 < len(b.layers) else None
    if j is None or not isinstance(following, Activation) or b.place(j) is None:
        return ""
    return f" with its {following.name}" if b.place(j) == b.place(j + 1) else ""


def _after(a: Side, i: int) -> str:
    return a.layers[i - 1].name if i else "the inputs"


def _is_mistake_of_a(each: Difference, va: Values) -> bool:
    """Tell whether a difference is a classic mistake that A makes."""
    if each.key == "in_evaluation":
        return each.a == SWITCHES["in_evaluation"][True]
    return each.key == "mistake" and bool(va["loss"].get("mistake"))


def _mistake_line(each: Difference, a: Side, target: Values) -> str:
    """Return how to mend a mistake of A's, in its own framework."""
    if each.key == "in_evaluation":
        return str(ROOMS[a.reading.framework].in_training_alone(a.layers[each.layers[0][0] or 0]))
    if a.reading.loss is not None and a.reading.loss.mistake == "softmax_twice":
        return "leave out the softmax: the loss takes logits"
    return str(ROOMS[a.reading.framework].loss(wanted_of(target, a)))


def _joined(mends: Sequence[Mend]) -> tuple[Mend, ...]:
    """Return the mends, those of one line together."""
    found: dict[tuple[str, str], Mend] = {}
    for i, each in enumerate(mends):
        key = (each.side, each.line or f"{i}")
        before = found.get(key)
        if before is None:
            found[key] = each
            continue
        cannot = tuple(dict.fromkeys((*before.cannot, *each.cannot)))
        found[key] = dataclasses.replace(before, names=before.names + each.names, cannot=cannot)
    return tuple(found.values())
