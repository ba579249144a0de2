"""A run's identity: what decides its result, and nothing else, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnbench.schema import flat

if TYPE_CHECKING:
    from nnbench.records.run import RunResult

LEFT_OUT = (
    "tracking", "results", "name", "parity", "checkpoint", "launcher", "order", "on_error",
    "search",
)  # fmt: skip

# Settings of version 0.2.0, each with the value that leaves a run as it was before: with that they
# make no other run.
ADDED: dict[str, Any] = {
    "arch": {"whole": False},
    "data": {"normalize_targets": "none", "stratify": True},
    "drop_last": False,
    "gradient_accumulation_steps": 1,
    "loss": {"class_weights": None, "label_smoothing": 0.0, "mistake": None},
    "optimizer": {
        "clip_offset": None, "clip_value": None, "decay": None, "decay_on": "all",
        "formulas": None, "rate": None, "epsilon_root": None, "epsilon_correction": None,
        "amsgrad": False,
    },
}  # fmt: skip
# Keys of layers in `arch.layers` that are of 0.2.0, too.
ADDED_TO_LAYERS = {"trainable": True, "in_evaluation": False}
ABILITIES = ("image_loaders",)  # what a backend could do otherwise; added in 0.2.0, too


def without_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the settings of `ADDED` that change nothing in it."""
    kept = {k: v for k, v in config.items() if k not in ADDED or v != ADDED[k]}
    for group, added in ADDED.items():
        values = kept.get(group)
        if isinstance(values, Mapping) and isinstance(added, Mapping):
            kept[group] = {k: v for k, v in values.items() if k not in added or v != added[k]}
    arch = kept.get("arch")
    if isinstance(arch, Mapping) and isinstance(layers := arch.get("layers"), list | tuple):
        kept["arch"] = {**arch, "layers": [_layer_without_added(each) for each in layers]}
    if isinstance(backend := kept.get("backend"), Mapping):
        kept["backend"] = {k: v for k, v in backend.items() if k not in ABILITIES}
    return kept


def _layer_without_added(layer: Any) -> Any:
    if not isinstance(layer, Mapping):
        return layer
    added = ADDED_TO_LAYERS
    return {k: v for k, v in layer.items() if k not in added or v != added[k]}


def fingerprint(
    config: Mapping[str, Any],
    machine: Mapping[str, Any],
    payload_digest: str,
    weights_digest: str | None,
) -> str:
    """Hash the resolved config, source that trains, versions, the data set and the weights taken.

    Where results go, how they are tracked and who starts the run is left out. The machine class
    (CPU, BLAS kernel) is part of it: the same config on another machine is another run. So is
    the backend's own source (`records.source`), which records before version 6 lack.
    """
    parts = _parts(config, machine) | {"data": payload_digest, "weights": weights_digest}
    if weights_digest is not None:  # where the weights lay does not matter, what they are does
        init = {key: value for key, value in config["init"].items() if key != "run"}
        parts["config"] = parts["config"] | {"init": init}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def deciding(config: Mapping[str, Any]) -> str:
    """Return the part of a configuration that decides a run, as text to compare."""
    return json.dumps(_kept(config), sort_keys=True, default=str)


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    return without_added(kept)


def _parts(config: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    backend = machine.get("backend_source")
    return {
        "config": _kept(config),
        "source": machine.get("source_digest"),
        "versions": machine.get("versions"),
        "machine": [machine.get("cpu"), machine.get("blas_kernel"), machine.get("gpu")],
    } | ({"backend": backend} if backend else {})


def differences(old: RunResult, new: RunResult) -> str:
    """Return what tells two runs apart, `epochs=10 (was 20), another source`, empty for nothing."""
    return ", ".join(differing(old.config, old.machine, new.config, new.machine))


def differing(
    config: Mapping[str, Any],
    machine: Mapping[str, Any],
    other_config: Mapping[str, Any],
    other_machine: Mapping[str, Any],
) -> list[str]:
    """Return each difference from the first run to the other in a few words."""
    old, new = _parts(config, machine), _parts(other_config, other_machine)
    found = []
    for name in ("config", "versions"):
        before, after = flat(old[name] or {}), flat(new[name] or {})
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                found.append(f"{key}={after.get(key)} (was {before.get(key)})")
    found += _sources(old, new)
    if old["machine"] != new["machine"]:
        found.append(f"another machine ({', '.join(str(x) for x in old['machine'] if x)})")
    return found


def _sources(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say whose source differs: nnbench's, or that of a backend brought by somebody else.

    Two backends differ in their source anyway; that is said of one backend alone.
    """
    before, after = old.get("backend") or {}, new.get("backend") or {}
    names = [(parts["config"].get("backend") or {}).get("_target_") for parts in (old, new)]
    changed = names[0] == names[1] and bool(before) and bool(after) and before != after
    package = after.get("package")
    ours = changed and package == "nnbench"
    found = ["another source of nnbench"] if old["source"] != new["source"] or ours else []
    if not changed or ours:
        return found
    versions = [{package: each["version"], **each["imports"]} for each in (before, after)]
    for name in sorted(versions[0].keys() | versions[1].keys()):
        was, now = (each.get(name) for each in versions)
        if was != now:
            found.append(f"another version of {name} ({now}, was {was})")
    if before["digest"] != after["digest"]:
        found.append(f"another source of {package}")
    return found
