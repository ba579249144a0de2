"""Studies: published comparisons as data, a study.yaml each, and the cases they are made of.

`cases` maps the name of a case to what one would type: `backend: torch` chooses a group's option,
`init.scale: 0.1` sets a value. `common` comes first in every case; `base` names a case above it
to start from. `stand_ins` says of cases what they are run in place of. `facts` are backends whose
`operations.facts()` expressions may use, as `forgenn.requirements`.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.catalogue import groups, main_values, options
from nnbench.config.located import Located, load, refused
from nnbench.config.sources import Problem, experiments_folders, source_of_study, sources
from nnbench.errors import ConfigError
from nnbench.schema import suggest

KEYS = (
    "title", "question", "common", "cases", "stand_ins", "pairs", "claims", "figures", "measured",
    "size", "facts",
)  # fmt: skip
BACKEND_VALUES = ("backend.execution", "backend.engine")  # what data may set of a backend


def studies() -> dict[str, Path]:
    """Return every study: its name, which is its folder's, and its study.yaml."""
    found: dict[str, Path] = {}
    for folder in experiments_folders():
        for path in sorted(folder.glob("*/study.yaml")):
            found.setdefault(path.parent.name, path)
    return found


def with_origin(name: str) -> str:
    """Return the name of a study, with its origin where that is not nnbench."""
    path = studies().get(name)
    origin = source_of_study(path).origin if path else ""
    return f"{name} from {origin}" if origin else name


def sound() -> dict[str, Path]:
    """Return the studies without a mistake; `problems` says what is wrong with the others.

    One of nnbench's own is always among them: a mistake there is nnbench's, and is to be seen.
    """
    return {name: path for name, path in studies().items() if _mistake(path) is None}


def problems() -> list[Problem]:
    """Return the studies from elsewhere that are left out, with the reason."""
    known, found = studies(), []
    for source in sources()[1:]:
        paths = sorted(source.experiments.glob("*/study.yaml")) if source.experiments else []
        for path in paths:
            name = path.parent.name
            if known[name] != path:
                owner = source_of_study(known[name]).origin or "nnbench"
                found.append(Problem(source.origin, f"{path}: {owner} has a study {name}"))
            elif mistake := _mistake(path):
                found.append(Problem(source.origin, mistake.rstrip(".")))
    return found


def _mistake(path: Path) -> str | None:
    """Return what is wrong with a study from elsewhere, None for nothing."""
    if not source_of_study(path).origin:
        return None
    try:
        _read(path, path.stat().st_mtime_ns)
    except ConfigError as error:
        return str(error)
    return None


def read_study(name: str) -> Mapping[str, Any]:
    """Return what the study.yaml of the study `name` says, with its cases written out.

    Raises ConfigError, with file and line, for a mistake in it, and for an unknown study.
    """
    known = studies()
    if name not in known:
        hint = suggest(name, known) or "."
        raise ConfigError(f"Unknown study '{name}'. Available: {', '.join(known)}{hint}")
    return _read(known[name], known[name].stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Mapping[str, Any]:
    study = load(path)
    check_keys(study, KEYS, "a study")
    for key in ("title", "question"):
        if not isinstance(study.get(key), str):
            raise refused(study, key, f"Missing '{key}'; must be text.")
    study["cases"] = _cases(study)
    if "measured" in study:
        study["measured"] = _measured(study)
    for name in study.setdefault("facts", []):
        _check_options(Located.of({"backend": name}, study, "facts"))
        if name in study["cases"]:
            raise refused(study, "facts", f"Received facts: {name}; a case has that name.")
    if not source_of_study(path).code:
        _check_data(study["cases"])
    for pair in study.setdefault("pairs", []):
        for case in pair:
            check_case(case, study, study, "pairs")
    for case in (stand_ins := _mapping(study, "stand_ins")):
        check_case(case, study, stand_ins, case)
        if not isinstance(stand_ins[case], str):
            raise refused(stand_ins, case, f"Received {case}; must say what it stands in for.")
    return study


def experiments() -> dict[str, Mapping[str, Any]]:
    """Return every case of the studies as `STUDY/CASE`; a study with a mistake in it has none."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in studies():
        found |= {f"{name}/{case}": values for case, values in cases(name).items()}
    return found


def cases(name: str) -> Mapping[str, Located]:
    """Return the cases of the study `name`; none where there is no such study, or a mistake."""
    try:
        found: Mapping[str, Located] = read_study(name)["cases"]
    except ConfigError:
        return {}
    return found


def check_keys(values: Mapping[str, Any], allowed: Collection[str], what: str) -> None:
    """Raise ConfigError where `values` has a key that is not among `allowed`."""
    for key in values:
        if key not in allowed:
            hint = suggest(key, allowed) or f"; {what} has {', '.join(allowed)}."
            raise refused(values, key, f"Unknown key '{key}'{hint}")


def check_case(case: str, study: Mapping[str, Any], where: Mapping[str, Any], key: str) -> None:
    """Raise ConfigError, about `key` of `where`, where the study has no such case."""
    known: Sequence[str] = study.get("measured") or list(study["cases"])
    if case not in known:
        hint = suggest(str(case), known) or "."
        raise refused(where, key, f"Unknown case '{case}'. Available: {', '.join(known)}{hint}")


def check_values(case: str, known: Collection[str]) -> None:
    """Raise ConfigError where the case STUDY/CASE sets a value that is not among `known`."""
    values = experiments().get(case, {})
    for key in values:
        if not {key, ".".join(key.split(".")[:2])} & set(known):
            hint = suggest(key, known) or " (see nnbench --help)."
            raise refused(values, key, f"Unknown key '{key}'{hint}")


def node(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case as Hydra takes it: a list of defaults, and the values as a tree."""
    chosen = [key for key in groups() if key in case]
    tree: dict[str, Any] = {"defaults": [{f"override /{key}": case[key]} for key in chosen]}
    for key in case:
        if key in chosen:
            continue
        *path, last = key.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = case[key]
    return tree


def _cases(study: Located) -> dict[str, Located]:
    """Return the cases of a study, each with what it takes from `common` and from its base."""
    common = _mapping(study, "common")
    _check_options(common)
    found: dict[str, Located] = {}
    cases = _mapping(study, "cases")
    for name in cases:
        own = _mapping(cases, name)
        _check_options(own)
        base = own.pop("base", None)
        if base is not None:
            check_case(base, {"cases": found}, own, "base")
        found[name] = own.over(found[base] if base else common)
    return found


def _measured(study: Located) -> dict[str, Mapping[str, Any]]:
    """Return by name what each backend whose operations are timed is set to, a list's by itself."""
    given = study["measured"]
    if isinstance(given, list):
        return {str(name): {"backend": name} for name in given}
    if not isinstance(given, Located) or not given:
        raise refused(study, "measured", "Received measured; must list backends, or NAME: VALUES.")
    for name in given:
        values = _mapping(given, name)
        check_keys(values, ("backend", "dtype", "threads"), "measured")
        _check_options(values)
    return dict(given)


def _check_data(cases: Mapping[str, Located]) -> None:
    """Raise ConfigError where a case does more than to choose options and to set values.

    A backend's `_target_` and environment name code, Hydra's own settings and a launcher's too.
    """
    allowed = {*groups(), *main_values()} - {"hydra", "launcher"}
    for case in cases.values():
        for key in case:
            backend = key.startswith("backend.") and key not in BACKEND_VALUES
            if backend or key.split(".")[0] not in allowed:
                raise refused(
                    case,
                    key,
                    f"Received {key}; a study in the working directory is data alone and may not "
                    "set it. --config-dir brings studies that may.",
                )
            if "${" in str(case[key]):
                raise refused(
                    case,
                    key,
                    f"Received {key}: {case[key]!s:.40}; a study in the working directory is data "
                    "alone and takes nothing from elsewhere (${...}).",
                )


def _mapping(values: Located, key: str) -> Located:
    found = values.get(key) or Located()
    if not isinstance(found, Located):
        raise refused(values, key, f"Received {key}: {found!r:.40}; must be KEY: VALUE lines.")
    return found


def _check_options(values: Located) -> None:
    """Raise ConfigError where `values` chooses an option that a group lacks."""
    for group in [key for key in groups() if key in values]:
        chosen, known = values[group], options(group)
        if isinstance(chosen, Mapping):
            listed = ", ".join(f"{group}.{key}: ..." for key in chosen)
            remedy = f"{group} takes the name of an option; set its values as {listed}"
            raise refused(values, group, f"Received values for {group}; {remedy}")
        if chosen not in known:
            listed = f"must be one of {', '.join(known)}{suggest(str(chosen), known)}"
            raise refused(values, group, f"Received {group}: {chosen}; {listed}")


def expanded(override: str) -> str:
    """Return experiment=PATTERN with the cases that it stands for; anything else as it is."""
    if not override.startswith("experiment="):
        return override
    patterns, cases = override.removeprefix("experiment=").split(","), experiments()
    found = [c for p in patterns for c in (fnmatch.filter(cases, p) if "*" in p else [p])]
    return f"experiment={','.join(found)}" if found else override
