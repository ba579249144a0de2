"""Where two programs differ: each setting by its name, both values, where they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nnbench.formatting import cut
from nnbench.model.formulas import FAMILIES
from nnbench.model.network import ParamKey, describe
from nnbench.reporting.diagnosis.difference import Difference, said
from nnbench.reporting.diagnosis.rules import of_optimizer, of_schedule
from nnbench.reporting.diagnosis.sides import Side
from nnbench.reporting.explain.change import Change
from nnbench.reporting.explain.effects import effect_of
from nnbench.reporting.explain.layers import Slot, differing, documented_value, entry, kinds, slots

LONGEST = 60
IN_EVALUATION = "dropout in evaluation"
# What settings without a formula of their own do.
KNOWN = {
    "softmax_twice": "its gradient is small however wrong an answer is: learning is slow",
    "logits_as_probabilities": "outputs are cut to between 1e-7 and 1: no gradient below and above",
    "broadcast_targets": "every output is drawn to the mean of the batch's targets",
    "trainable": "its weights stay as they are drawn",
    "in_evaluation": "test figures are those of a thinned net, another one for each sample",
    "over_batch": "the gradient of a sum is as many times the mean's as a batch has samples",
}


def differences(a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]) -> list[Difference]:
    """Return where two sides differ, besides initial weights and the framework.

    `va` and `vb` are their configurations.
    """
    return [
        *_of_layers(a, b, va, vb),
        *_of_loss(a, b, va, vb),
        *of_optimizer(a, b, va, vb),
        *of_schedule(a, b, va, vb),
        *_frozen(a, b),
    ]


def aligned(a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]) -> list[Slot]:
    """Return the layers of both, those together that stand for each other."""
    return slots(va["arch"]["layers"], vb["arch"]["layers"])


def _of_layers(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield the differences between layers; one setting that differs alike is one difference."""
    if va["arch"]["input_shape"] != vb["arch"]["input_shape"]:
        one, other = (
            f"inputs {v['arch']['input_shape']}, {_net(side)}" for side, v in ((a, va), (b, vb))
        )
        change = Change(("arch",), "layers", f"{one} to {other}")
        first, second = (side.place(0) if side.layers else None for side in (a, b))
        yield Difference("layers", one, other, "layers", "layers", change, "", first, second)
        return
    alike: dict[tuple[str, str, str], list[tuple[int, int | None, int | None]]] = {}
    i = j = 0
    for at, (old, new) in enumerate(aligned(a, b, va, vb)):
        here = (at, i if old is not None else None, j if new is not None else None)
        i, j = i + (old is not None), j + (new is not None)
        if old is None or new is None or entry(old)["name"] != entry(new)["name"]:
            key = ("", _described(old), _described(new))
            alike.setdefault(key, []).append(here)
            continue
        for leaf in differing(old, new):
            number = f" {i}" if leaf == "trainable" else ""
            name = f"{entry(old)['name']}{number}.{leaf}"
            one, other = (said(leaf, documented_value(x, leaf)) for x in (old, new))
            alike.setdefault((name, one, other), []).append(here)
    found = [_layer_difference(a, b, *named, where) for named, where in alike.items()]
    several = {name for name, n in Counter(each.name for each in found).items() if n > 1}
    for each, where in zip(found, alike.values(), strict=True):
        yield _in_layer(each, where[0][0]) if each.name in several else each


def _in_layer(each: Difference, at: int) -> Difference:
    """Return a difference with the number of its layer in its name, for others have that name."""
    name = f"{each.name} (layer {at + 1})"
    return replace(each, name=name, change=replace(each.change, name=name))


def _layer_difference(
    a: Side, b: Side, name: str, old: str, new: str,
    where: Sequence[tuple[int, int | None, int | None]],
) -> Difference:  # fmt: skip
    kind, _, leaf = name.partition(".")
    keys = tuple(f"arch.layers[{at}]" + (f".{leaf}" if leaf else "") for at, _, _ in where)
    shown = (name.replace(".variance", " running variance") if leaf else "") or _layer_name(
        old, new
    )
    shown = {"trainable": f"{kind} does not learn", "in_evaluation": IN_EVALUATION}.get(leaf, shown)
    known = (effect_of(kind, leaf) if leaf else "") or KNOWN.get(leaf, "")
    formula = leaf in FAMILIES["nnbench"].get(kinds().get(kind, object), {})
    _, first, second = where[0]
    return Difference(
        shown,
        old,
        new,
        "layers",
        leaf or "layer",
        Change(keys, shown, f"{old} to {new}", formula, known),
        known,
        a.place(first) if first is not None else None,
        b.place(second) if second is not None else None,
        tuple((i, j) for _, i, j in where),
    )


def _layer_name(old: str, new: str) -> str:
    if old == "none":
        return f"{new.split(maxsplit=1)[0]}, which A lacks"
    if new == "none":
        return f"{old.split(maxsplit=1)[0]}, which B lacks"
    return f"{old.split(maxsplit=1)[0]} or {new.split(maxsplit=1)[0]}"


def _net(side: Side) -> str:
    return cut(", ".join(describe(layer) for layer in side.layers), LONGEST)


def _described(layer: Any) -> str:
    if layer is None:
        return "none"
    given = entry(layer)
    kind = kinds().get(given["name"])
    if kind is None:
        return str(given["name"])
    return cut(describe(kind(**{k: v for k, v in given.items() if k != "name"})), LONGEST)


def _of_loss(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    old, new = dict(va["loss"]), dict(vb["loss"])
    outputs = [v["arch"]["output_activation"] for v in (va, vb)]
    places = (a.reading.where.get("loss"), b.reading.where.get("loss"))

    def made(name: str, key: str, said: Sequence[str], *keys: str, known: str = "") -> Difference:
        change = Change(keys, name, f"{said[0]} to {said[1]}", known=known)
        return Difference(name, said[0], said[1], "loss", key, change, known, *places)

    output = "arch.output_activation"
    if old["name"] != new["name"]:
        said = [f"{loss['name']} of {act}" for loss, act in zip((old, new), outputs, strict=True)]
        yield made("loss", "loss", said, "loss", output)
        return
    mistakes = [old.get("mistake"), new.get("mistake")]
    keys = [output] if outputs[0] != outputs[1] else []
    if mistakes[0] != mistakes[1]:
        named = next(m for m in mistakes if m)
        said = [_mistake(m) for m in mistakes]
        yield made(MISTAKES[named], "mistake", said, "loss.mistake", *keys, known=KNOWN[named])
    elif keys:
        yield made("output activation", "output", outputs, output)
    for key in ("over_batch", "over_outputs", "delta", "label_smoothing"):
        if old.get(key) != new.get(key):
            said = [f"{v[key]:g}" if isinstance(v[key], float) else str(v[key]) for v in (old, new)]
            yield made(f"loss {key}", key, said, f"loss.{key}", known=KNOWN.get(key, ""))


MISTAKES = {
    "softmax_twice": "softmax before a cross-entropy on logits",
    "logits_as_probabilities": "linear outputs taken for probabilities",
    "broadcast_targets": "targets that broadcast against outputs",
}
_AS_IT_SHOULD = "as it should be"


def _mistake(mistake: str | None) -> str:
    return _AS_IT_SHOULD if mistake is None else MISTAKES[mistake]


def _frozen(a: Side, b: Side) -> Iterator[Difference]:
    """Yield the parameters that learn on one side alone; no run can be told to hold them."""
    held = []
    for side in (a, b):
        keys = {ParamKey.parse(key) for key in side.reading.frozen}
        at = {side.position(i): i for i in range(len(side.layers))}
        held.append({str(ParamKey(at[key.layer], key.role)) for key in keys})
    if held[0] == held[1]:
        return
    old, new = (", ".join(sorted(each)) or "none" for each in held)
    change = Change((), "parameters that do not learn", f"{old} to {new}")
    yield Difference(change.name, old, new, "layers", "frozen", change)
