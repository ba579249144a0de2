"""The way across native semantics, and inside lists of layers: what its steps are, without runs."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nnbench.config.composition import compose
from nnbench.model.formulas import FAMILIES
from nnbench.records.run import RunResult
from nnbench.reporting.explain.bridge import bridge, cell
from nnbench.reporting.explain.change import applied, changes
from nnbench.reporting.explain.effects import RULES
from nnbench.reporting.explain.layers import edited, entry, kinds, slots
from nnbench.reporting.explain.native import Crossing, across, crosses
from support.records import make_run

NETS = "{name: dense, units: 32}, {name: batch_norm}, relu"
BOTH = ["semantics=native", "shuffle=false", "loss=cross_entropy", "batch_size=32"]


def values(*overrides: str) -> dict[str, Any]:
    return copy.deepcopy(compose(list(overrides)).values)


def run_of(folder: Path, given: dict[str, Any]) -> RunResult:
    """Return a run with what its framework has in effect, as the backends read it back."""
    native = given["semantics"] == "native"
    family = given["optimizer"].get("formulas") or "nnbench"
    own = FAMILIES[given["backend"]["name"] if native else family]
    rule = own[RULES[given["optimizer"]["name"]]]
    effective = {
        f"optimizer.{key}": usual if given["optimizer"].get(key) is None else
        given["optimizer"][key]
        for key, usual in rule.items()
    }  # fmt: skip
    listed = given["arch"].get("layers")
    if listed is None and given["arch"].get("activation") == "leaky_relu":
        listed = [x for _ in given["arch"]["hidden"] for x in ("dense", "leaky_relu")]
    for i, layer in enumerate(listed or ()):
        has = entry(layer) if not isinstance(layer, str) else {"name": layer}
        for key, usual in own.get(kinds().get(has["name"], object), {}).items():
            value = has.get(key)
            effective[f"layers.{i}.{key}"] = usual if value is None else value
    data = {"inputs": {"shape": [28, 28]}}
    return make_run(folder, config=given, effective=effective, data=data)


def way(tmp_path: Path, first: list[str], last: list[str], *both: str) -> Crossing:
    ends = [values(*words, *both) for words in (first, last)]
    assert crosses(*ends)
    runs = (run_of(tmp_path / "a", ends[0]), run_of(tmp_path / "b", ends[1]))
    found = across(*ends, runs, lambda each: bool(cell(each)))
    for path, steps in (
        (found.way.forward, found.way.changes),
        (found.way.backward, found.way.opposite),
    ):
        assert (path[0], path[-1]) == (ends[0], ends[1])
        assert len(path) == len(steps) + 1
        for each in path:
            cell(each)  # it can be run
    return found


def names(crossing: Crossing) -> list[str]:
    return [change.name for change in crossing.way.changes]


def test_the_velocity(tmp_path: Path) -> None:
    given = ["input=resident", "init=glorot", "optimizer=sgd", "optimizer.momentum=0.9"]
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *BOTH, *given)
    assert names(found) == ["backend", "backend", "optimizer.rate", "backend"]
    rate = found.way.changes[2]
    assert rate.text == "learning rate inside the velocity to outside"
    assert rate.formula
    assert "9.1 times" in rate.known
    assert [each["semantics"] for each in found.way.forward] == [
        "native", "matched", "matched", "matched", "native",
    ]  # fmt: skip
    assert len(found.proofs) == 3  # both frameworks' own runs, and one against the other
    assert found.is_native
    assert found.drawn == ()


def test_without_momentum_there_is_no_velocity_to_name(tmp_path: Path) -> None:
    given = ["input=resident", "init=glorot", "optimizer=sgd"]
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *BOTH, *given)
    assert set(names(found)) == {"backend"}


def test_several_formulas_at_once(tmp_path: Path) -> None:
    given = ["init=native", "input=resident", "optimizer=adam", "arch=layers"]
    given.append(f"arch.layers=[flatten, {NETS}]")
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *BOTH, *given)
    assert set(names(found)) == {
        "backend", "init", "draws of initial weights", "optimizer.epsilon",
        "optimizer.epsilon_correction", "batch_norm.momentum", "batch_norm.epsilon",
        "batch_norm.variance",
    }  # fmt: skip
    texts = {change.name: change.text for change in found.way.changes}
    assert texts["batch_norm.variance"] == "biased running variance to unbiased, layer 3"
    assert texts["init"] == "default initializer, keras_default to torch_default"
    for before, after in pairwise(found.way.forward):
        assert before != after


def test_a_constant_that_many_layers_have_is_one_change(tmp_path: Path) -> None:
    deep = f"arch.layers=[flatten, {NETS}, {NETS}, {{name: batch_norm, epsilon: 0.5}}]"
    given = ["init=glorot", "input=resident", "arch=layers", deep]
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *BOTH, *given)
    texts = {change.name: change.text for change in found.way.changes}
    assert texts["batch_norm.epsilon"] == "0.001 to 1e-05, layers 3, 6"
    assert texts["batch_norm.momentum"] == "0.01 to 0.1, layers 3, 6, 8"


def test_loaders_are_left_before_the_frameworks_are_compared(tmp_path: Path) -> None:
    pair = (["backend=keras_fit"], ["backend=torch"])
    found = way(tmp_path, *pair, *BOTH, "init=glorot", "input=native")
    assert [n for n in names(found) if n != "backend"] == ["input", "input"]
    assert [each["input"] for each in found.way.forward] == [
        "native", "resident", "resident", "resident", "resident", "native",
    ]  # fmt: skip


def test_a_net_whose_activation_has_a_constant(tmp_path: Path) -> None:
    given = ["input=resident", "init=glorot", "arch=mlp", "arch.activation=leaky_relu"]
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *BOTH, *given)
    texts = {change.name: change.text for change in found.way.changes}
    assert texts["leaky_relu.slope"] == "0.3 to 0.01, layer 2"


def test_what_frameworks_draw_is_said_and_kept_out_of_the_proof(tmp_path: Path) -> None:
    layers = "arch.layers=[flatten, {name: dense, units: 8}, {name: dropout, rate: 0.3}]"
    given = [*BOTH, "shuffle=true", "init=glorot", "input=resident", "arch=layers", layers]
    found = way(tmp_path, ["backend=keras"], ["backend=torch"], *given)
    assert found.drawn == ("order of samples", "dropout")
    own = found.proofs[0].own
    assert own["semantics"] == "native"
    assert not own["shuffle"]
    assert own["arch"]["layers"][2]["rate"] == 0.0


def test_matched_to_native_and_formulas_alone(tmp_path: Path) -> None:
    given = ["init=glorot", "input=resident", "optimizer=rmsprop", "backend=keras", "shuffle=false"]
    found = way(tmp_path / "n", ["semantics=matched"], ["semantics=native"], *given)
    assert set(names(found)) == {
        "optimizer.rho", "optimizer.epsilon", "optimizer.epsilon_root", "backend",
    }  # fmt: skip
    pair = (["optimizer.formulas=keras"], ["optimizer.formulas=torch"])
    found = way(tmp_path / "f", *pair, "optimizer=rmsprop")
    assert not found.is_native
    assert set(names(found)) == {
        "optimizer.rho", "optimizer.epsilon", "optimizer.epsilon_root", "formulas",
    }  # fmt: skip


def test_two_of_one_framework_need_no_formulas() -> None:
    assert not crosses(values("semantics=native"), values("semantics=native", "batch_size=8"))
    assert not crosses(values("backend=torch"), values("backend=keras"))


LAYERS = [
    # A, B, the changes from one to the other
    (
        ["flatten", {"name": "dense", "units": 8}, {"name": "batch_norm", "epsilon": 1e-3}],
        ["flatten", {"name": "dense", "units": 8}, {"name": "batch_norm", "epsilon": 1e-5}],
        ["layer 3 batch_norm epsilon: 0.001 to 1e-05"],
    ),
    (
        [{"name": "batch_norm", "epsilon": 1e-3, "momentum": 0.2}],
        [{"name": "batch_norm"}],
        ["layer 1 batch_norm epsilon: 0.001 to 1e-05", "layer 1 batch_norm momentum: 0.2 to 0.1"],
    ),
    (
        ["flatten", {"name": "dense", "units": 8}, "relu"],
        ["flatten", {"name": "dense", "units": 8}, {"name": "dropout", "rate": 0.2}, "relu"],
        ["layer 3 inserted: dropout rate=0.2"],
    ),
    (
        ["flatten", {"name": "dense", "units": 8}, "relu", {"name": "dropout"}],
        ["flatten", {"name": "dense", "units": 8}, "tanh"],
        ["layer 3: relu to tanh", "layer 4 removed: dropout"],
    ),
    (  # the layer before it is new; those after it are the same
        [{"name": "dense", "units": 64}, "relu", {"name": "dense", "units": 32}, "relu"],
        [{"name": "dense", "units": 128}, "relu", {"name": "dense", "units": 64}, "relu",
         {"name": "dense", "units": 32}, "relu"],
        ["layer 1 inserted: dense units=128", "layer 2 inserted: relu"],
    ),
    (["relu", {"name": "dropout"}], [{"name": "relu"}, {"name": "dropout", "rate": 0.5}], []),
]  # fmt: skip


@pytest.mark.parametrize(("first", "last", "said"), LAYERS)
def test_differences_inside_layers_are_by_layer_and_key(
    first: list[Any], last: list[Any], said: list[str]
) -> None:
    a, b = ({"arch": {"name": "layers", "layers": x}} for x in (first, last))
    found = changes(a, b)
    assert sorted(map(str, found)) == sorted(said)
    whole = applied(a, b, found)["arch"]["layers"] if found else last
    assert [entry(x) for x in whole] == [entry(x) for x in last]
    for change in found:  # each alone, and nothing else
        one = applied(a, b, [change])
        assert [c.text for c in changes(a, one)] == [change.text]


def test_slots_are_in_order_and_lose_nothing() -> None:
    first = ["relu", {"name": "dropout"}, "tanh", {"name": "batch_norm"}]
    last = [{"name": "batch_norm"}, "relu", "tanh", {"name": "layer_norm"}, {"name": "dropout"}]
    found = slots(first, last)
    assert [old for old, _ in found if old is not None] == first
    assert [new for _, new in found if new is not None] == last
    assert edited(first, last, []) == first


def test_layers_change_one_by_one_on_a_bridge() -> None:
    layers = ("{name: batch_norm, epsilon: 0.001}, relu", "{name: batch_norm}, tanh")
    first, last = (values("arch=layers", f"arch.layers=[flatten, {each}]") for each in layers)
    found = bridge(first, last, lambda each: bool(cell(each)))
    assert [change.name for change in found.changes] == ["layer 2 batch_norm epsilon", "layer 3"]
    assert found.forward[1]["arch"]["layers"][1]["epsilon"] is None
    assert found.forward[1]["arch"]["layers"][2] == "relu"
    assert found.backward[1]["arch"]["layers"][1]["epsilon"] == 0.001
    assert found.backward[1]["arch"]["layers"][2] == "tanh"
