"""Hydra: from overrides to a checked configuration, with errors for people."""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from nnbench.config import studies
from nnbench.config.catalogue import options
from nnbench.config.composer import Composer
from nnbench.config.mistakes import explain
from nnbench.config.run import Cell
from nnbench.config.sources import root, sources
from nnbench.config.words import check
from nnbench.errors import ConfigError
from nnbench.schema import told


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
    words = checked(overrides)
    with _told(words):
        make, each = composer().cell, combinations(words)
        return [make(cell) for cell in each]


def checked(overrides: Sequence[str]) -> list[str]:
    """Return a sweep's `overrides` with the cases of patterns. Raises ConfigError."""
    check(overrides, many=True)
    return with_experiments(overrides)


def combinations(words: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every cell of a sweep, as Hydra's own sweeper makes them.

    The last key changes fastest; of a key's words the last one counts. Raises ConfigError for a
    range, or what Hydra raises.
    """
    parsed = map(composer().parse, words)
    values = {each.get_key_element(): _words(each) for each in parsed}
    return list(map(list, product(*values.values())))


def is_hydras(words: Sequence[str], many: bool) -> bool:
    """Tell whether it takes Hydra itself to run `words`: what is its own is asked for.

    In a sweep (`many`) that is a search, too, which is our sweeper's; and the files of folders and
    packages may bring either.
    """
    names = ("hydra", "search") if many else ("hydra",)
    if any(word.lstrip("+~").startswith(names) for word in words):
        return True
    folders = [source.conf for source in sources()[1:] if source.conf] if many else []
    files = (file.read_bytes() for folder in folders for file in folder.rglob("*.yaml"))
    return any(name.encode() in text for text in files for name in names)


def composer(hydras: Sequence[str] = ()) -> Composer:
    """Return what composes runs, as long as the files are what they are.

    Of `hydras`, asked of Hydra itself, a cell has what comes from other folders; those files are
    not watched.
    """
    places = [text for text in hydras if text.startswith("hydra.searchpath")]
    return Composer(_loader(), places) if places else _composer(_state())


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
    return Composer(_loader())


def _loader() -> Any:
    """Return Hydra's loader of nnbench's configuration."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    current = GlobalHydra.instance()
    kept, current.hydra = current.hydra, None  # a sweep is Hydra's own, and goes on
    try:
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            return current.config_loader()
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
