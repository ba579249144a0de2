"""`results=DIR`: the one way to name a results folder, of runs and of every command.

`--results DIR`, as earlier versions had it, means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import click

from nnbench.errors import ConfigError

PLAIN = re.compile(r"[A-Za-z_./][\w./+-]*", re.ASCII)  # what every parser reads as it stands
NO_NAMES = ("null", "true", "false", "nan", "inf")  # for YAML
OTHERS = re.compile(r"\s[+~]*[\w./@]+=")  # in a quoted word: overrides of one end of `explain`
FLAG = "--results"


def one_way(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with `--results DIR` written as `results=DIR`.

    Raises ConfigError where no folder is named, or two are.
    """
    found, words = list[str](), iter(arguments)
    for word in words:
        flag, equals, folder = word.partition("=")
        if flag != FLAG:
            found.append(word)
            continue
        folder = folder if equals else next(words, "")
        if not folder:
            raise ConfigError("Received --results without a folder; use results=DIR.")
        found.append(f"results={_quoted(folder)}")
    named = list(dict.fromkeys(_named(found)))
    if len(named) > 1:
        raise ConfigError(
            f"Received {' and '.join(named)}; name one results folder.", instead=(named[1], "")
        )
    return found


def for_command(name: str, command: click.Command, arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with the results folder where `command` takes it.

    Raises ConfigError where it has no use for one, or the value names none.
    """
    named = list(_named(arguments))
    takes = {parameter.name for parameter in command.params}
    if not named or ("results" not in takes and takes & {"overrides", "words"}):
        return list(arguments)
    if "results" not in takes:
        raise ConfigError(
            f"Received {named[0]}; nnbench {name} uses no results folder: leave it out."
        )
    rest = [word for word in arguments if word not in named]
    return [f"{FLAG}={folder(named[0])}", *rest]


def folder(word: str) -> str:
    """Return the folder that `results=DIR` names, read as a run reads it. Raises ConfigError."""
    value = word.partition("=")[2]
    if PLAIN.fullmatch(value) and value.lower() not in NO_NAMES:
        return value
    from nnbench.config.composition import compose

    return compose([word]).config.results


def _named(arguments: Sequence[str]) -> Iterator[str]:
    return (w for w in arguments if w.startswith("results=") and not OTHERS.search(w))


def _quoted(value: str) -> str:
    """Return a folder's name as an override's value, which a shell's word is not always."""
    if PLAIN.fullmatch(value) and value.lower() not in NO_NAMES:
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
