"""Hydra: from overrides to a checked configuration, with errors for people."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from nnbench.config import studies
from nnbench.config.catalogue import check_backend, distinction, options, source_of
from nnbench.config.mistakes import all_keys, explain, known_case
from nnbench.config.run import Cell
from nnbench.config.sources import root, sources
from nnbench.config.words import check
from nnbench.errors import ConfigError
from nnbench.schema import told

VARIABLE = re.compile(r"oc\.env:\s*(\w+)")  # of the environment, that a value is taken from


def with_experiments(overrides: Sequence[str]) -> list[str]:
    """Return `overrides` with the cases that a pattern such as experiment=STUDY/* stands for.

    Raises ConfigError for a mistake in the study asked for.
    """
    line = " ".join(overrides)
    if "experiment" not in line:
        return list(overrides)
    for name in studies.studies():
        if f"={name}/" in line:
            studies.read_study(name)
    return [studies.expanded(text) for text in overrides]


def compose(overrides: Sequence[str]) -> Cell:
    """Compose one run from `overrides`, as the command line would.

    Raises ConfigError, one line, for anything that cannot be.
    """
    check(overrides)
    words = with_experiments(overrides)
    with _told(words):
        return composer().cell(words)


def of_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration with the backend of its name as it is installed here.

    What a record says of code, packages and environment is somebody's text. Raises ConfigError
    where there is no such backend here.
    """
    recorded = config["backend"]
    name = recorded["name"]
    known = options("backend")
    files = [n for n, o in known.items() if o.inherited("name") == name]
    if not files:
        raise ConfigError(
            f"The run was recorded with backend={told(name)}, which is not installed here; "
            f"there is {', '.join(known)}."
        )
    words = [f"backend={name if name in files else files[0]}"]
    for key in ("execution", "engine"):
        value = recorded.get(key)
        if value is not None and not re.fullmatch(r"\w[\w.-]*", str(value)):
            raise ConfigError(f"Received backend.{key}={told(value)} of a recorded run.")
        words += [f"backend.{key}={value}"] if value is not None else []
    if recorded.get("engine") is not None and "engine" not in known[words[0][8:]].values:
        raise ConfigError(f"The run was recorded with an engine, which backend={name} lacks here.")
    return {**config, "backend": compose(words).values["backend"]}


def compose_all(overrides: Sequence[str]) -> list[Cell]:
    """Return the cells that `nnbench -m OVERRIDES...` would run, the last key changing fastest.

    Raises ConfigError, one line, for anything that cannot be.
    """
    check(overrides, many=True)
    words = with_experiments(overrides)
    with _told(words):
        each = composer()
        parsed = map(each.parse, words)
        return [each.cell(cell) for cell in product(*map(_words, parsed))]


def composer() -> Composer:
    """Return what composes runs, as long as the files are what they are."""
    return _composer(_state())


def _state() -> tuple[tuple[Path, int, int], ...]:
    """Return the files that runs are composed of, as they are now."""
    folders = [source.conf for source in sources() if source.conf]
    files = [f for end in ("*.yaml", "*/*.yaml") for folder in folders for f in folder.glob(end)]
    return tuple(map(_stamp, [*files, *studies.studies().values()]))


def _stamp(path: Path) -> tuple[Path, int, int]:
    try:
        found = path.stat()
    except OSError:  # reading it says so
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=4)
def _composer(_state: Any) -> Composer:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    current = GlobalHydra.instance()
    kept, current.hydra = current.hydra, None  # a sweep is Hydra's own, and goes on
    try:
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            return Composer(current.config_loader())
    finally:
        current.hydra = kept


@contextlib.contextmanager
def _told(words: Sequence[str]) -> Iterator[None]:
    """Make Hydra's errors ConfigError."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(explain(error, words)) from None


def _words(override: Any) -> list[str]:
    """Return an override for each of the values that `override` lists."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"Received {override.input_line}; a sweep takes a list of values, as in {key}=0.1,0.2. "
            "To search a range: nnbench -m search.trials=N KEY=interval(LOW,HIGH)"
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _without_hydra(config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the task's part of a composed config, and the options chosen by group."""
    from omegaconf import open_dict

    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        task = config.copy()
        del task["hydra"]
    return task, choices


def to_cell(task: Any, choices: Mapping[str, Any], overrides: Sequence[str]) -> Cell:
    """Check the task's part of a composed config, with the options chosen by group."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        values = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or str(error).rsplit(" ", 1)[-1]
        raise ConfigError(f"Missing value for {key}; set it with {key}=...") from None
    assert isinstance(values, dict)
    return _checked({str(key): value for key, value in values.items()}, choices, overrides)


def _checked(plain: dict[str, Any], choices: Mapping[str, Any], overrides: Sequence[str]) -> Cell:
    plain["case"] = known_case(plain.get("case") or choices.get("experiment"))
    source = source_of("backend", str(choices.get("backend")))
    if source.origin:
        check_backend(source, choices["backend"])
        plain["backend"]["origin"] = distinction(source, str(choices["backend"]), plain["backend"])
    try:
        return Cell.read(plain, overrides)
    except ConfigError as error:
        studies.check_values(str(plain["case"]), all_keys())
        if source.origin and "backend" in str(error):
            error = ConfigError(f"{error} The backend is from {source.origin}.")
        raise error from None


def _leaves(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, dict) else value
    for item in items if isinstance(value, dict | list) else ():
        yield from _leaves(item) if isinstance(item, dict | list) else (item,)


class Composer:
    """Composes cells with `loader`, Hydra's.

    Composing takes a tenth of a second. Cells that choose the same options and set the same keys
    share it: their values are put in afterwards, as Hydra itself does last of all.
    """

    def __init__(self, loader: Any) -> None:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        self.loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._folders = [source.conf for source in sources() if source.conf]
        self._groups: dict[str, bool] = {}
        self._parsed: dict[str, Any] = {}
        self._plain: dict[Any, tuple[Any, str]] = {}
        self._composed: dict[Any, tuple[Any, dict[str, Any], dict[str, str | None]]] = {}

    def cell(self, overrides: Sequence[str], hydras: Sequence[str] = ()) -> Cell:
        """Return the cell of `overrides`, composed with what was asked of Hydra itself, `hydras`.

        Raises ConfigError, or what Hydra raises.
        """
        from hydra.types import RunMode
        from omegaconf import OmegaConf

        # The rest of what is asked of Hydra is not in a cell.
        places = [text for text in hydras if text.startswith("hydra.searchpath")]
        parsed = [self.parse(text) for text in overrides]
        values = [p for p in parsed if self._is_value(p)]
        key = (*places, *((p.key_or_group,) if p in values else p.input_line for p in parsed))
        known = self._composed.get(key)
        if known is None or any(os.environ.get(n) != value for n, value in known[2].items()):
            words = [*places, *overrides]
            whole = self.loader.load_configuration("config", words, RunMode.RUN)
            task, choices = _without_hydra(whole)
            texts = map(str, [*words, *_leaves(OmegaConf.to_container(task))])
            variables = {n: os.environ.get(n) for n in VARIABLE.findall(" ".join(texts))}
            known = self._composed[key] = task, choices, variables
            self._plain.pop(key, None)
        shared, choices, _ = known
        if (plain := self._put_in(key, shared, values)) is not None:
            return _checked(plain, choices, overrides)
        task = shared.copy()
        for p in values:
            OmegaConf.update(task, p.key_or_group, p.value(), merge=True)
        return to_cell(task, choices, overrides)

    def _put_in(self, key: Any, shared: Any, values: Sequence[Any]) -> dict[str, Any] | None:
        """Return the shared part as plain data with `values` put in; None where it takes OmegaConf.

        That is where something is taken from one of them (`${...}`), or they are no single values.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        if key not in self._plain:
            try:
                found = OmegaConf.to_container(shared, resolve=True, throw_on_missing=True)
                texts = map(str, _leaves(OmegaConf.to_container(shared)))
                self._plain[key] = (found, " ".join(text for text in texts if "${" in text))
            except OmegaConfBaseException:
                self._plain[key] = (None, "")
        resolved, links = self._plain[key]
        if resolved is None:
            return None
        plain: dict[str, Any] = copy.deepcopy(resolved)
        for each in values:
            *path, last = each.key_or_group.split(".")
            value = each.value()
            if isinstance(value, dict) or "${" in str(value) or str(value) == "???":
                return None
            if last in links or (path and path[-1] in links and path[-1] != "backend"):
                return None
            inner = plain
            for name in path:
                inner = inner.get(name)  # type: ignore[assignment]
                if not isinstance(inner, dict):
                    return None
            if last not in inner or isinstance(inner[last], dict):
                return None
            inner[last] = value
        return plain

    def parse(self, text: str) -> Any:
        """Return an override as Hydra understands it. Raises what Hydra raises."""
        if text not in self._parsed:
            (self._parsed[text],) = self._parser.parse_overrides([text])
        return self._parsed[text]

    def _is_value(self, parsed: Any) -> bool:
        """Tell a value (`seed=1`) from a chosen option, an addition and what is Hydra's own."""
        name = parsed.key_or_group
        if parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.package:
            return False
        if "/" in name or name.split(".")[0] in ("hydra", "experiment"):
            return False
        if name not in self._groups:
            self._groups[name] = any((folder / name).is_dir() for folder in self._folders)
        return not self._groups[name] and not parsed.is_sweep_override()
