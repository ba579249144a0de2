"""What is wrong with an override, in one line: Hydra's and OmegaConf's errors for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from nnbench.config.catalogue import Option, groups, main_values, options
from nnbench.config.studies import experiments
from nnbench.config.words import chosen
from nnbench.errors import ConfigError
from nnbench.schema import suggest, told

HIDDEN = ("defaults", "_target_", "name")
MALFORMED = "Received '{0}'; must be KEY=VALUE, as in batch_size=32 (see nnbench --help)"
NOT_SET = (
    "The environment variable {0} is not set: export {0}=..., or say what to take without it: "
    "${{oc.env:{0},VALUE}}"
)
NO_RESOLVER = "Received ${{{0}:...}}; there is ${{KEY}}, ${{oc.env:NAME}} and ${{now:%Y}}"
RECURSIVE = "Received {0}=${{...}}; its value is taken from itself: write the value"
NO_INTERVAL = (
    "Received interval(...); a sweep takes a list of values, as in 0.1,0.2; a range is searched "
    "with search.trials=10"
)
AMBIGUOUS = (
    "Received {0}; a run takes one value, -m takes several. In quotes it is a text, in brackets "
    "a list"
)
BAD_GRAMMAR = (
    "Received ${{...}} that cannot be read; it is ${{KEY}}, ${{oc.env:NAME}} or ${{now:%Y}}"
)
BAD_LINK = "Received {0}; a value taken from another is ${{KEY}}, as in ${{epochs}}"

# What other tools call it, or call it elsewhere.
KNOWN_AS = {
    "lr": "schedule.lr",
    "learning_rate": "schedule.lr",
    "optimizer.lr": "schedule.lr",
    "optimizer.learning_rate": "schedule.lr",
    "bs": "batch_size",
    "batch": "batch_size",
    "data.batch_size": "batch_size",
    "data.target": "data.label",
    "data.file": "data.path",
    "model": "arch",
    "net": "arch",
    "dataset": "data",
    "scheduler": "schedule",
    "criterion": "loss",
    "framework": "backend",
    "num_epochs": "epochs",
    "precision": "dtype",
}


def explain(error: BaseException, words: Sequence[str] = ()) -> str:
    """Turn an error of Hydra, OmegaConf or YAML into one line that says what to do.

    `words` are the overrides: suggestions come from the options that they choose.
    """
    if isinstance(error, yaml.YAMLError):
        return _not_yaml(error)
    text = " ".join(str(error).split())
    for pattern, answer in (
        (r"Could not override '([^']+)'", lambda key: _unknown_key(key, words)),
        (r"Could not find '([^']+)'", _unknown_option),
        (r"Could not load '([^']+)'", _unknown_option),
        (r"Environment variable '([^']*)' not found", NOT_SET),
        (r"Unsupported interpolation type (\S*)", NO_RESOLVER),
        (r"Recursive interpolation detected.* full_key: (\S+)", RECURSIVE),
        (r"^(\S+) appears more than once", "Received {0} twice; leave out the '+'."),
        (r"does not support sweep type : (\w+)", NO_INTERVAL),
        (r"Ambiguous value for argument '([^']+)'", AMBIGUOUS),
        (r"(GrammarParseError)", BAD_GRAMMAR),
        (r"Error resolving interpolation '(.+?)'", BAD_LINK),
        (r"An item is already at '([^']+)'", "Received +{0}=...; it exists: leave out the '+'."),
        (r"Could not (?:delete|append|add) .*?'([^']*)'", lambda key: _unknown_key(key, words)),
        (r"Interpolation key '([^']+)' not found", _not_there),
        (r"Missing mandatory value: (\S+)", "Missing value for {0}; set it with {0}=..."),
        (r"Error parsing override '(.+?)' (?:missing EQUAL|mismatched)", MALFORMED),
        (r"Key '([^']+)' is not in struct", lambda key: _unknown_key(key, words)),
    ):
        found = re.search(pattern, text)
        if found:
            word = found.group(1)
            return answer.format(word) if isinstance(answer, str) else answer(word)
    return f"{text} (see nnbench --help)"


def _not_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.name}:{mark.line + 1}" if mark else "a configuration file"
    return f"{where}: not valid YAML: {getattr(error, 'problem', None) or 'cannot be read'}."


def _not_there(key: str) -> str:
    """Explain a value that is taken from another group, whose chosen option lacks it."""
    group, _, inner = key.partition(".")
    if key.startswith("backend.engines."):
        return (
            f"Received backend.engine={key.split('.')[2]}; must be one of tensorflow, torch, "
            "jax (of backend=keras)."
        )
    having = owners(group, inner)
    if group not in groups():
        return f"Received ${{{key}}}; there is no such value as {key}."
    remedy = f"use {group}={' or '.join(having)}" if having else "set it"
    return f"A value is taken from {key}, which the chosen {group} lacks; {remedy}."


def _unknown_key(key: str, words: Sequence[str] = ()) -> str:
    """Explain a key that the configuration lacks."""
    if key == "experiment":
        return f"Received no such experiment; {cases('')}"
    if key in KNOWN_AS:
        return f"Unknown key '{key}'; here it is {KNOWN_AS[key]}"
    group, _, inner = key.partition(".")
    if inner and (having := owners(group, inner)):
        has = "has" if len(having) == 1 else "have"
        listed = " and ".join(having) if len(having) < 3 else ", ".join(having)
        return f"The chosen {group} has no '{inner}'; {group}={listed} {has}."
    if inner and group in groups() and (option := chosen(group, words)):
        return _unknown_inner(group, inner, options(group)[option])
    known = all_keys()
    hint = suggest(key, known)
    nested = [k for k in known if k.endswith(f".{key}")]
    if nested and not hint:
        hint = f"; did you mean '{nested[0]}'?"
    siblings = [k for k in known if inner and k.startswith(f"{group}.")]
    allowed = siblings or [k for k in known if "." not in k]
    return f"Unknown key '{told(key)}'{hint or '; allowed: ' + ', '.join(sorted(allowed))}"


def _unknown_inner(group: str, inner: str, option: Option) -> str:
    """Explain a key that no option of `group` has: the nearest of the chosen one, or of others."""
    own = [str(k) for k in _all_of(option) if k not in HIDDEN]
    if hint := suggest(inner, own).replace("mean '", f"mean '{group}."):
        return f"{group}={option.name} has no '{inner}'{hint}"
    others = sorted({key for each in options(group).values() for key in _keys(each)})
    near = suggest(inner, others)
    listed = ", ".join(own) or "no values"
    if near:
        meant = near.split("'")[1]
        having = " and ".join(owners(group, meant))
        return f"{group}={option.name} has no '{inner}'; {meant!r} is a value of {group}={having}"
    return f"{group}={option.name} has no '{inner}'; it has {listed}"


def _all_of(option: Option) -> list[str]:
    """Return the keys of an option, those that it takes from others included."""
    inherited = [key for parent in option.parents for key in _all_of(parent)]
    return list(dict.fromkeys([*map(str, option.values), *inherited]))


def cases(wanted: str) -> str:
    """Say which cases there are: those of the study that `wanted` names, else the studies."""
    study = wanted.partition("/")[0]
    known = list(dict.fromkeys(case.partition("/")[0] for case in experiments()))
    hint = suggest(wanted, experiments()) or "."
    if study in known:
        cases = [case.partition("/")[2] for case in experiments() if case.startswith(f"{study}/")]
        return f"{study} has {', '.join(cases)}{hint}"
    return f"it is STUDY/CASE, of the studies {', '.join(known)}{hint}"


def known_case(case: object) -> object:
    """Return a `case`. Raises ConfigError where no study has it."""
    if isinstance(case, str) and case not in experiments():
        raise ConfigError(f"Received case={told(case)}; {cases(case)}")
    return case


def owners(group: str, key: str) -> list[str]:
    """Return the options of `group` that have `key`; none where there is no such group."""
    known = options(group) if group in groups() else {}
    return [name for name, option in known.items() if key in _keys(option)]


def _keys(option: Option) -> list[str]:
    """Return the keys that an option of a group brings."""
    return [str(k) for k in option.values if k not in HIDDEN and option.group != "semantics"]


def all_keys() -> list[str]:
    """Return every key there is, dotted, those of all options of all groups included."""
    known = [*groups(), "experiment"]
    for key, value in main_values().items():
        if key not in ("defaults", "hydra"):
            known += [key, *(f"{key}.{k}" for k in value)] if isinstance(value, dict) else [key]
    for group in groups():
        known += [f"{group}.{k}" for option in options(group).values() for k in _keys(option)]
    return list(dict.fromkeys(known))


def _unknown_option(path: str) -> str:
    """Explain an option that a group lacks; `path` is GROUP/OPTION."""
    group, _, option = path.partition("/")
    if group == "experiment":
        return f"Received experiment={option}; {cases(option)}"
    if group not in groups():
        return f"Unknown group '{group}'{suggest(group, groups())} (see nnbench --help)"
    known = options(group)
    listed = ", ".join(map(str, known.values()))
    return f"Received {group}={option}; must be one of {listed}{suggest(option, known)}"
