"""Hydra's compositions, shared by the cells that choose the same options and set the same keys."""

from __future__ import annotations

import contextlib
import copy
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nnbench.config import studies
from nnbench.config.catalogue import check_backend, distinction, source_of
from nnbench.config.mistakes import all_keys, known_case
from nnbench.config.run import Cell
from nnbench.config.sources import sources
from nnbench.errors import ConfigError

VARIABLE = re.compile(r"oc\.env:\s*(\w+)")  # of the environment, that a value is taken from


def without_hydra(config: Any) -> tuple[Any, dict[str, Any]]:
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


class _Composed(NamedTuple):
    """What cells share: their part of a config, the options chosen by group, and as plain data.

    `links` are the texts that take something from elsewhere, `variables` what was in the
    environment when they did.
    """

    task: Any
    choices: dict[str, Any]
    links: str
    variables: dict[str, str | None]
    plain: Any


def _put_in(shared: _Composed, values: Sequence[Any]) -> dict[str, Any] | None:
    """Return the shared part as plain data with `values` put in; None where it takes OmegaConf.

    That is where something is taken from one of them (`${...}`), or they are no single values.
    """
    if shared.plain is None:
        return None
    plain: dict[str, Any] = copy.deepcopy(shared.plain)
    for each in values:
        *path, last = each.key_or_group.split(".")
        value = each.value()
        if isinstance(value, dict) or "${" in str(value) or str(value) == "???":
            return None
        if last in shared.links or (path and path[-1] in shared.links and path[-1] != "backend"):
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


class Composer:
    """Composes cells with `loader`, Hydra's; `places` are the words that add folders to it.

    Composing takes a tenth of a second. Cells that choose the same options and set the same keys
    share it: their values are put in afterwards, as Hydra itself does last of all.
    """

    def __init__(self, loader: Any, places: Sequence[str] = ()) -> None:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        self.loader, self._places = loader, places
        self._parser = OverridesParser.create(config_loader=loader)
        self._folders = [source.conf for source in sources() if source.conf]
        self._groups: dict[str, bool] = {}
        self._parsed: dict[str, Any] = {}
        self._composed: dict[Any, _Composed] = {}

    def cell(self, overrides: Sequence[str]) -> Cell:
        """Return the cell of `overrides`. Raises ConfigError, or what Hydra raises."""
        from omegaconf import OmegaConf

        parsed = [self.parse(text) for text in overrides]
        values = [p for p in parsed if self._is_value(p)]
        key = tuple((p.key_or_group,) if p in values else p.input_line for p in parsed)
        shared = self._composed.get(key)
        if shared is None or any(os.environ.get(n) != v for n, v in shared.variables.items()):
            shared = self._composed[key] = self._compose(overrides)
        if (plain := _put_in(shared, values)) is not None:
            return _checked(plain, shared.choices, overrides)
        task = shared.task.copy()
        for p in values:
            OmegaConf.update(task, p.key_or_group, p.value(), merge=True)
        return to_cell(task, shared.choices, overrides)

    def _compose(self, overrides: Sequence[str]) -> _Composed:
        from hydra.types import RunMode
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        words = [*self._places, *overrides]
        whole = self.loader.load_configuration("config", words, RunMode.RUN)
        task, choices = without_hydra(whole)
        texts = map(str, _leaves(OmegaConf.to_container(task)))
        links = " ".join(text for text in texts if "${" in text)
        names = VARIABLE.findall(" ".join([*words, links]))
        plain = None
        with contextlib.suppress(OmegaConfBaseException):
            plain = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
        return _Composed(task, choices, links, {n: os.environ.get(n) for n in names}, plain)

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
