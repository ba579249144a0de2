"""Where the optimizers and the learning rates of two programs differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nnbench.model.formulas import FAMILIES
from nnbench.reporting.diagnosis.difference import Difference, said
from nnbench.reporting.diagnosis.sides import Side
from nnbench.reporting.explain.change import Change
from nnbench.reporting.explain.effects import RULES, effect_of

EPSILON = ("epsilon", "epsilon_root", "epsilon_correction")
DECAY = ("weight_decay", "decay", "decay_on")


def of_optimizer(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield the settings in which the optimizers differ; what has one effect is one difference."""
    old, new = dict(va["optimizer"]), dict(vb["optimizer"])
    kind = old["name"]
    places = (a.reading.where.get("optimizer"), b.reading.where.get("optimizer"))

    def made(name: str, key: str, told: Sequence[str], *keys: str) -> Difference:
        named = tuple(f"optimizer.{k}" if k else "optimizer" for k in keys)
        known = " and ".join(filter(None, dict.fromkeys(
            effect_of(kind, k) for k in keys if k != "decay_on")))  # fmt: skip
        formula = all(k in FAMILIES["nnbench"].get(RULES.get(kind, object), {}) for k in keys)
        change = Change(named, name, f"{told[0]} to {told[1]}", formula, known)
        return Difference(name, told[0], told[1], "optimizer", key, change, known, *places)

    if kind != new["name"]:
        told = [_rule(v) for v in (old, new)]
        yield made("optimizer", "optimizer", told, "")
        return
    apart = [k for k in old if k not in ("name", "formulas") and old[k] != new.get(k)]
    if together := [k for k in EPSILON if k in apart]:
        forms = [k for k in together if k != "epsilon"]
        told = [", ".join([f"{v['epsilon']:g}", *(_place(k, v[k]) for k in forms)])
                for v in (old, new)]  # fmt: skip
        name = "epsilon and its place" if forms and "epsilon" in together else "epsilon's place"
        yield made(f"{kind} {name if forms else 'epsilon'}", "epsilon", told, *together)
    decays = [k for k in DECAY if k in apart]
    if decays and not (old["weight_decay"] and new["weight_decay"]):
        told = [_decay(v) for v in (old, new)]
        yield made("weight decay", "weight_decay", told, *decays)
        decays = []
    names = {"decay": "weight decay coupled against decoupled", "weight_decay": "weight decay",
             "decay_on": "weight decay on"}  # fmt: skip
    for key in decays:
        yield made(names[key], key, [said(key, v[key] or "decoupled") for v in (old, new)], key)
    for key in apart:
        if key not in (*EPSILON, *DECAY):
            values = [_value(key, v[key], kind) for v in (old, new)]
            yield made(f"{kind} {key}" if key != "rho" else "rho", key, values, key)


def _value(key: str, value: Any, kind: str) -> str:
    usual = FAMILIES["nnbench"].get(RULES.get(kind, object), {}).get(key)
    return said(key, usual if value is None else value)


def _place(key: str, value: Any) -> str:
    return said(key, value).removeprefix("epsilon ")


def _decay(rule: Mapping[str, Any]) -> str:
    if not rule["weight_decay"]:
        return "none"
    on = " on kernels" if rule["decay_on"] == "kernels" else ""
    return f"{rule['weight_decay']:g} {rule['decay'] or ''}{on}".replace("  ", " ").strip()


def _rule(rule: Mapping[str, Any]) -> str:
    kept = ("momentum", "nesterov", "rho", "weight_decay")
    told = [f"{k}={rule[k]}" for k in kept if rule.get(k)]
    return " ".join([rule["name"], *told])


def of_schedule(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield the difference between learning rates, if there is one."""
    if _same_rates(va["schedule"], vb["schedule"]):
        return
    old, new = (_rates(v["schedule"]) for v in (va, vb))
    places = (a.reading.where.get("schedule"), b.reading.where.get("schedule"))
    change = Change(("schedule",), "learning rate", f"{old} to {new}")
    yield Difference("learning rate", old, new, "schedule", "lr", change, "", *places)


def _same_rates(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether two schedules are one; Keras computes its rates in float32."""
    if old["name"] == new["name"] == "listed" and len(old["rates"]) == len(new["rates"]):
        pairs = zip(old["rates"], new["rates"], strict=True)
        return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in pairs)
    return bool(old == new)


def _rates(schedule: Mapping[str, Any]) -> str:
    if schedule["name"] == "constant":
        return f"{schedule['lr']:g}"
    if schedule["name"] == "listed":
        rates = schedule["rates"]
        return f"from {rates[0]:.4g} to {rates[-1]:.4g}, changing"
    told = [f"{k} {v}" for k, v in schedule.items() if k != "name"]
    return f"{schedule['name']} ({', '.join(told)})"
