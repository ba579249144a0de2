"""Where two programs differ: each setting by its name, both values, where they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnbench.formatting import cut
from nnbench.model.formulas import FAMILIES
from nnbench.model.network import ParamKey, describe
from nnbench.model.reading import Place
from nnbench.reporting.diagnosis.sides import Side
from nnbench.reporting.explain.change import Change
from nnbench.reporting.explain.effects import RULES, effect_of, phrase
from nnbench.reporting.explain.layers import Slot, differing, documented_value, entry, kinds, slots

EPSILON = ("epsilon", "epsilon_root", "epsilon_correction")
DECAY = ("weight_decay", "decay", "decay_on")
LONGEST = 60
# What settings without a formula of their own do.
KNOWN = {
    "softmax_twice": "its gradient is small however wrong an answer is: learning is slow",
    "logits_as_probabilities": "outputs are cut to between 1e-7 and 1: no gradient below and above",
    "broadcast_targets": "every output is drawn to the mean of the batch's targets",
    "over_batch": "the gradient of a sum is as many times the mean's as a batch has samples",
}


@dataclass(frozen=True)
class Difference:
    """A setting in which two programs differ: `a` and `b` are its values in words.

    `change` makes it in a run's configuration; `part` is `layers`, `loss`, `optimizer` or
    `schedule`; `key` the setting's own name; `layers` are the positions in A and in B, in the
    common form, of the layers that have it.
    """

    name: str
    a: str
    b: str
    part: str
    key: str
    change: Change
    known: str = ""
    place_a: Place | None = None
    place_b: Place | None = None
    layers: tuple[tuple[int | None, int | None], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.a} against {self.b}"


def differences(a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]) -> list[Difference]:
    """Return where two sides differ, besides initial weights and the framework.

    `va` and `vb` are their configurations.
    """
    return [
        *_of_layers(a, b, va, vb),
        *_of_loss(a, b, va, vb),
        *_of_optimizer(a, b, va, vb),
        *_of_schedule(a, b, va, vb),
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
            name = f"{entry(old)['name']}.{leaf}"
            one, other = (_said(leaf, documented_value(x, leaf)) for x in (old, new))
            alike.setdefault((name, one, other), []).append(here)
    for (name, old_text, new_text), where in alike.items():
        yield _layer_difference(a, b, name, old_text, new_text, where)


def _layer_difference(
    a: Side, b: Side, name: str, old: str, new: str,
    where: Sequence[tuple[int, int | None, int | None]],
) -> Difference:  # fmt: skip
    kind, _, leaf = name.partition(".")
    keys = tuple(f"arch.layers[{at}]" + (f".{leaf}" if leaf else "") for at, _, _ in where)
    shown = (name.replace(".variance", " running variance") if leaf else "") or _layer_name(
        old, new
    )
    known = effect_of(kind, leaf) if leaf else ""
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


def _said(key: str, value: Any) -> str:
    """Return a value in the words of its field."""
    return phrase(key, value, None).rpartition(" to ")[0]


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


def _of_optimizer(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    old, new = dict(va["optimizer"]), dict(vb["optimizer"])
    kind = old["name"]
    places = (a.reading.where.get("optimizer"), b.reading.where.get("optimizer"))

    def made(name: str, key: str, said: Sequence[str], *keys: str) -> Difference:
        named = tuple(f"optimizer.{k}" if k else "optimizer" for k in keys)
        known = " and ".join(filter(None, dict.fromkeys(
            effect_of(kind, k) for k in keys if k != "decay_on")))  # fmt: skip
        formula = all(k in FAMILIES["nnbench"].get(RULES.get(kind, object), {}) for k in keys)
        change = Change(named, name, f"{said[0]} to {said[1]}", formula, known)
        return Difference(name, said[0], said[1], "optimizer", key, change, known, *places)

    if kind != new["name"]:
        said = [_rule(v) for v in (old, new)]
        yield made("optimizer", "optimizer", said, "")
        return
    apart = [k for k in old if k not in ("name", "formulas") and old[k] != new.get(k)]
    if together := [k for k in EPSILON if k in apart]:
        forms = [k for k in together if k != "epsilon"]
        said = [", ".join([f"{v['epsilon']:g}", *(_place(k, v[k]) for k in forms)])
                for v in (old, new)]  # fmt: skip
        name = "epsilon and its place" if forms and "epsilon" in together else "epsilon's place"
        yield made(f"{kind} {name if forms else 'epsilon'}", "epsilon", said, *together)
    decays = [k for k in DECAY if k in apart]
    if decays and not (old["weight_decay"] and new["weight_decay"]):
        said = [_decay(v) for v in (old, new)]
        yield made("weight decay", "weight_decay", said, *decays)
        decays = []
    names = {"decay": "weight decay coupled against decoupled", "weight_decay": "weight decay",
             "decay_on": "weight decay on"}  # fmt: skip
    for key in decays:
        yield made(names[key], key, [_said(key, v[key] or "decoupled") for v in (old, new)], key)
    for key in apart:
        if key not in (*EPSILON, *DECAY):
            values = [_value(key, v[key], kind) for v in (old, new)]
            yield made(f"{kind} {key}" if key != "rho" else "rho", key, values, key)


def _value(key: str, value: Any, kind: str) -> str:
    usual = FAMILIES["nnbench"].get(RULES.get(kind, object), {}).get(key)
    return _said(key, usual if value is None else value)


def _place(key: str, value: Any) -> str:
    return _said(key, value).removeprefix("epsilon ")


def _decay(rule: Mapping[str, Any]) -> str:
    if not rule["weight_decay"]:
        return "none"
    on = " on kernels" if rule["decay_on"] == "kernels" else ""
    return f"{rule['weight_decay']:g} {rule['decay'] or ''}{on}".replace("  ", " ").strip()


def _rule(rule: Mapping[str, Any]) -> str:
    kept = ("momentum", "nesterov", "rho", "weight_decay")
    told = [f"{k}={rule[k]}" for k in kept if rule.get(k)]
    return " ".join([rule["name"], *told])


def _of_schedule(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    if va["schedule"] == vb["schedule"]:
        return
    old, new = (_rates(v["schedule"]) for v in (va, vb))
    places = (a.reading.where.get("schedule"), b.reading.where.get("schedule"))
    change = Change(("schedule",), "learning rate", f"{old} to {new}")
    yield Difference("learning rate", old, new, "schedule", "lr", change, "", *places)


def _rates(schedule: Mapping[str, Any]) -> str:
    if schedule["name"] == "constant":
        return f"{schedule['lr']:g}"
    if schedule["name"] == "listed":
        rates = schedule["rates"]
        return f"from {rates[0]:.4g} to {rates[-1]:.4g}, changing"
    told = [f"{k} {v}" for k, v in schedule.items() if k != "name"]
    return f"{schedule['name']} ({', '.join(told)})"


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
