"""The way across native semantics: formulas and constants written out, one after the other.

A framework's own end is left in steps that change nothing but who computes: its loader, its draws
of initial weights, then its formulas and constants written out in matched semantics (`written`).
Between two written-out ends each formula is a setting; the framework is rounding and time there.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from nnbench.config.backend import label_of
from nnbench.model.formulas import FAMILIES
from nnbench.model.layers import flat_length
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.reporting.explain.bridge import Bridge, Possible, bridge, cell
from nnbench.reporting.explain.change import LAYER, Change, Values, changes
from nnbench.reporting.explain.effects import RULES
from nnbench.reporting.explain.layers import entry, kinds, slots
from nnbench.schema.deferred import dataclass

FRAMEWORK = "backend"  # the name of what is left when everything else is named
OWN_AND_WRITTEN = (
    "{} computes something that has no name here. From equal weights and order, its own run and "
    "its formulas written out"
)
WRITTEN_TWICE = "{}: with equal formulas, from equal weights and order, the two"
SPELLED_OUT = ("formulas", "one by one in place of a family")  # of a matched end
# What frameworks draw initial weights from, as nnbench draws it.
OWN_INITS: dict[str, dict[str, Any]] = {
    "torch": {"name": "torch_default"},
    "keras": {"name": "keras_default"},
    "numpy": {"name": "he", "distribution": "normal"},
}
# Forms that are in no formula where another setting is off.
USED_WITH = {"rate": "momentum", "decay": "weight_decay", "clip_offset": "clip_norm"}


@dataclass(frozen=True)
class Proof:
    """Two configurations that should end with the same weights, if all formulas have names.

    `own` is computed by the framework itself, `written` by its formulas written out; `said` is what
    to call the two.
    """

    said: str
    own: Values
    written: Values


@dataclass(frozen=True)
class Crossing:
    """The way from one end to the other.

    `drawn`: what native ends draw for themselves; `is_native`: there is one.
    """

    way: Bridge
    is_native: bool
    proofs: tuple[Proof, ...]
    drawn: tuple[str, ...]


def crosses(first: Values, last: Values) -> bool:
    """Tell whether the way leads through formulas: from one framework's own to others."""
    native = [values["semantics"] == "native" for values in (first, last)]
    own = [(values["semantics"], values["backend"]["name"]) for values in (first, last)]
    families = [(v["optimizer"].get("formulas"), v["arch"].get("formulas")) for v in (first, last)]
    return (any(native) and own[0] != own[1]) or families[0] != families[1]


def across(
    first: Values, last: Values, ends: tuple[RunResult, RunResult], possible: Possible
) -> Crossing:
    """Return the way from `first` to `last` by their formulas; `ends` are runs of both."""
    text = f"{label_of(first['backend'])} to {label_of(last['backend'])}"
    a, b = (written(v, run) for v, run in zip((first, last), ends, strict=True))
    a, b = _without_unused(a, b)
    out, back = _left(first, a, text), _left(last, b, text)
    middle = bridge(a, b, possible, _steps(a, b, text))
    leaving = tuple(change for change, _ in out)
    arriving = tuple(change for change, _ in reversed(back))
    before = (first, *(values for _, values in out))
    after = (*(values for _, values in reversed(back)), last)[1:] if back else ()
    way = Bridge(
        (*leaving, *middle.changes, *arriving),
        (*leaving, *middle.opposite, *arriving),
        (*before, *middle.forward[1:], *after),
        (*before, *middle.backward[1:], *after),
    )
    steps = [(last_of(first, out), a, first), (last_of(last, back), b, last)]
    proofs = [
        Proof(OWN_AND_WRITTEN.format(label_of(v["backend"])), *map(without_draws, pair))
        for *pair, v in steps
        if v["semantics"] == "native"
    ]
    for i, step in enumerate(middle.changes):
        if step.name == FRAMEWORK:
            said = WRITTEN_TWICE.format(text)
            proofs.append(Proof(said, middle.forward[i], middle.forward[i + 1]))
    drawn = dict.fromkeys(x for v in (first, last) for x in _drawn(v))
    native = any(values["semantics"] == "native" for values in (first, last))
    return Crossing(way, native, tuple(proofs), tuple(drawn))


def last_of(values: Values, left: Sequence[tuple[Change, Values]]) -> Values:
    """Return the last configuration in which the framework computes by itself."""
    return left[-2][1] if len(left) > 1 else values


def written(values: Values, run: RunResult) -> dict[str, Any]:
    """Return a configuration with its formulas and constants written out, in matched semantics.

    They are those that `run` had in effect; where the documented one is meant, none is written.
    """
    found = copy.deepcopy(dict(values)) | {"semantics": "matched"}
    if values["semantics"] == "native":
        found |= _own_parts(values)
    effective = run.effective
    rule = found["optimizer"]
    for key, usual in FAMILIES["nnbench"].get(RULES.get(rule["name"], object), {}).items():
        value = effective.get(f"optimizer.{key}", rule.get(key))
        _write(rule, key, value, usual)
    rule |= {"formulas": None} if rule.get("formulas") else {}
    arch = found["arch"] = _as_layers(found["arch"], run)
    for i, layer in enumerate(arch.get("layers") or ()):
        given = dict(layer) if isinstance(layer, Mapping) else {"name": layer}
        for key, usual in FAMILIES["nnbench"].get(kinds().get(given["name"], object), {}).items():
            _write(given, key, effective.get(f"layers.{i}.{key}", given.get(key)), usual)
        if isinstance(layer, Mapping) or len(given) > 1:
            arch["layers"][i] = given
    arch |= {"formulas": None} if arch.get("formulas") else {}
    return found | cell(found).values


def _write(part: dict[str, Any], key: str, value: Any, usual: Any) -> None:
    """Set a constant; leave it out, or null, where it is the documented one."""
    if value is not None and value != usual:
        part[key] = value
    elif key in part:
        part[key] = None


def _own_parts(values: Values) -> dict[str, Any]:
    """Return what stands for the framework's own loader and initial weights."""
    found: dict[str, Any] = {}
    if values.get("input") == "native":
        found["input"] = "resident"
    own = OWN_INITS.get(values["backend"]["name"])
    if values["init"]["name"] == "native" and own is not None:
        found["init"] = dict(own)
    return found


def _as_layers(arch: dict[str, Any], run: RunResult) -> dict[str, Any]:
    """Return an mlp whose activation has a constant as a list of layers, which can set it."""
    if arch.get("activation") != "leaky_relu" or not arch.get("bias", True):
        return arch
    layers: list[Any] = []
    for units in arch["hidden"]:
        layers += [{"name": "dense", "units": units}, {"name": "leaky_relu", "slope": None}]
    return {
        "name": "layers",
        "layers": layers,
        "input_shape": [flat_length(tuple(run.data["inputs"]["shape"]))],
        "output_activation": arch.get("output_activation", "auto"),
        "formulas": None,
    }


def _without_unused(a: dict[str, Any], b: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leave out forms that neither end computes with, so that no step is taken for them."""
    rules = [a["optimizer"], b["optimizer"]]
    for key, other in USED_WITH.items():
        if not any(rule.get(other) for rule in rules):
            for rule in rules:
                if key in rule:
                    rule[key] = None
    return a, b


def _left(values: Values, star: Values, text: str) -> list[tuple[Change, Values]]:
    """Return the steps from an end to its written-out form, each with where it leads."""
    found: list[tuple[Change, Values]] = []
    at = dict(values)
    own = _own_parts(values) if values["semantics"] == "native" else {}
    if "input" in own:
        at |= {"input": own["input"]}
        found.append((Change(("input",), "input", "loaders of the frameworks' own"), at))
    if "init" in own:
        at = at | {"init": own["init"]}
        told = "other numbers of the same distribution"
        found.append((Change(("init",), "draws of initial weights", told), at))
    if found or deciding(cell(values).values) != deciding(cell(star).values):
        native = values["semantics"] == "native"
        step = Change((), FRAMEWORK, text) if native else Change((), *SPELLED_OUT)
        found.append((step, star))
    return found


def _steps(a: Values, b: Values, text: str) -> list[Change]:
    """Return the changes between two written-out ends, alike constants of layers together."""
    found: list[Change] = []
    alike: defaultdict[tuple[str, str], list[Change]] = defaultdict(list)
    for each in changes(a, b):
        if (constant := _constant(a, b, each)) is not None:
            alike[constant, each.text].append(each)
            continue
        words = {FRAMEWORK: text, "init": f"default initializer, {each.text}"}
        leaf = each.name.removeprefix("optimizer.")
        rule = RULES.get(a["optimizer"]["name"], object)
        formula = leaf != each.name and leaf in FAMILIES["nnbench"].get(rule, {})
        text_of = words.get(each.name, each.text)
        found.append(dataclasses.replace(each, text=text_of, formula=formula))
    names = [name for name, _ in alike]
    for (name, told), those in alike.items():
        at = ", ".join(each.name.split()[1] for each in those)
        where = f"layer{'s' * (len(those) > 1)} {at}"
        keys = tuple(key for each in those for key in each.keys)
        several = f" of {where}" if names.count(name) > 1 else ""
        found.append(Change(keys, name + several, f"{told}, {where}", True, those[0].known))
    return found


def _constant(a: Values, b: Values, change: Change) -> str | None:
    """Return KIND.KEY where a change is that of a layer's constant or form, else None."""
    layer = LAYER.fullmatch(change.keys[0]) if len(change.keys) == 1 else None
    if layer is None or not layer[2]:
        return None
    old, _ = slots(a["arch"]["layers"], b["arch"]["layers"])[int(layer[1])]
    assert old is not None
    kind = entry(old)["name"]
    family = FAMILIES["nnbench"].get(kinds().get(kind, object), {})
    return f"{kind}.{layer[2]}" if layer[2] in family else None


def _drawn(values: Values) -> list[str]:
    """Return what a native end draws for itself, besides initial weights."""
    if values["semantics"] != "native":
        return []
    dropout = any(entry(x)["name"] == "dropout" for x in values["arch"].get("layers") or ())
    augment = values.get("augment") or {}
    told = {
        "order of samples": values.get("shuffle"),
        "dropout": dropout,
        "augmentation": augment.get("shift") or augment.get("flip"),
    }
    return [what for what, is_drawn in told.items() if is_drawn]


def without_draws(values: Values) -> dict[str, Any]:
    """Return a configuration in which no framework draws: given order, no dropout, as it is."""
    found = copy.deepcopy(dict(values)) | {"shuffle": False}
    if found.get("augment"):
        found["augment"] |= {"shift": 0, "flip": False}
    if found["arch"].get("layers"):
        found["arch"]["layers"] = [
            entry(x) | {"rate": 0.0} if entry(x)["name"] == "dropout" else x
            for x in found["arch"]["layers"]
        ]
    return found
