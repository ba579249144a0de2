"""What is wrong with an override, in one line: Hydra's and OmegaConf's errors for people."""

from __future__ import annotations

import re
from typing import Any

from nnbench.config.catalogue import groups, options, root
from nnbench.config.studies import experiments
from nnbench.schema import suggest


def explain(error: BaseException) -> str:
    """Turn an error of Hydra or OmegaConf into one line that says what to do."""
    text = " ".join(str(error).split())
    for pattern, answer in (
        (r"Could not override '([^']+)'", _unknown_key),
        (r"Could not find '([^']+)'", _unknown_option),
        (r"Could not load '([^']+)'", _unknown_option),
        (r"An item is already at '([^']+)'", "Received +{0}=...; it exists: leave out the '+'."),
        (r"Interpolation key '([^']+)' not found", _not_there),
        (r"Missing mandatory value: (\S+)", "Missing value for {0}; set it with {0}=..."),
        (r"Error parsing override '(.+?)' (?:missing EQUAL|mismatched)", _malformed),
        (r"Key '([^']+)' is not in struct", _unknown_key),
    ):
        found = re.search(pattern, text)
        if found:
            word = found.group(1)
            return answer.format(word) if isinstance(answer, str) else answer(word)
    return f"{text} (see nnbench --help)"


def _not_there(key: str) -> str:
    """Explain a value that is taken from another group, whose chosen option lacks it."""
    group, _, inner = key.partition(".")
    if key.startswith("backend.engines."):
        return (
            f"Received backend.engine={key.split('.')[2]}; must be one of tensorflow, torch, "
            "jax (of backend=keras)."
        )
    owners = [o for o in options(group) if inner in _keys(group, o)] if group in groups() else []
    remedy = f"use {group}={' or '.join(owners)}" if owners else "set it"
    return f"A value is taken from {key}, which the chosen {group} lacks; {remedy}."


def _malformed(text: str) -> str:
    return f"Received '{text}'; must be KEY=VALUE, as in batch_size=32 (see nnbench --help)"


def _unknown_key(key: str) -> str:
    """Explain a key that the configuration lacks."""
    if key == "experiment":
        return f"Received no such experiment; {_cases('')}"
    group, _, inner = key.partition(".")
    if inner and group in groups():
        owners = [o for o in options(group) if inner in _keys(group, o)]
        if owners:
            has = "has" if len(owners) == 1 else "have"
            listed = " and ".join(owners) if len(owners) < 3 else ", ".join(owners)
            return f"The chosen {group} has no '{inner}'; {group}={listed} {has}."
    known = all_keys()
    hint = suggest(key, known)
    nested = [k for k in known if k.endswith(f".{key}")]
    if nested and not hint:
        hint = f"; did you mean '{nested[0]}'?"
    siblings = [k for k in known if inner and k.startswith(f"{group}.")]
    allowed = siblings or [k for k in known if "." not in k]
    return f"Unknown key '{key}'{hint or '; allowed: ' + ', '.join(sorted(allowed))}"


def _cases(wanted: str) -> str:
    """Say which cases there are: those of the study that `wanted` names, else the studies."""
    study = wanted.partition("/")[0]
    known = list(dict.fromkeys(case.partition("/")[0] for case in experiments()))
    hint = suggest(wanted, experiments()) or "."
    if study in known:
        cases = [case.partition("/")[2] for case in experiments() if case.startswith(f"{study}/")]
        return f"{study} has {', '.join(cases)}{hint}"
    return f"it is STUDY/CASE, of the studies {', '.join(known)}{hint}"


def _keys(group: str, option: str) -> list[str]:
    """Return the keys that an option of a group brings."""
    from omegaconf import OmegaConf

    values = OmegaConf.load(root() / "conf" / group / f"{option}.yaml")
    hidden = ("defaults", "_target_", "name")
    return [str(key) for key in values if key not in hidden and group != "semantics"]


def all_keys() -> list[str]:
    """Return every key there is, dotted, those of all options of all groups included."""
    from omegaconf import OmegaConf

    main: Any = OmegaConf.load(root() / "conf" / "config.yaml")
    known = [*groups(), "experiment"]
    for key, value in main.items():
        if key not in ("defaults", "hydra"):
            known += [key, *(f"{key}.{k}" for k in value)] if hasattr(value, "keys") else [key]
    for group in groups():
        known += [f"{group}.{key}" for option in options(group) for key in _keys(group, option)]
    return list(dict.fromkeys(known))


def _unknown_option(path: str) -> str:
    """Explain an option that a group lacks; `path` is GROUP/OPTION."""
    group, _, option = path.partition("/")
    if group == "experiment":
        return f"Received experiment={option}; {_cases(option)}"
    if group not in groups():
        return f"Unknown group '{group}'{suggest(group, groups())} (see nnbench --help)"
    known = list(options(group))
    return f"Received {group}={option}; must be one of {', '.join(known)}{suggest(option, known)}"
