"""What a mistake was meant to be: the nearest command that can be, to be pasted."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence

from nnbench.credentials import hidden
from nnbench.errors import ConfigError, NNBenchError

GRIDS = ("parity", "ops", "trace", "profile")  # commands whose backend= may list several
FILTERS = ("ls", "report")  # whose overrides choose among recorded runs


def nearest(arguments: Sequence[str], error: Exception, said: str) -> str | None:
    """Return the command that `arguments`, which raised `error`, were perhaps meant to be.

    It has been composed, so that it is none of the mistakes that there are; None where no such
    command is near, or where it would show a password.
    """
    found: list[str] | None
    if arguments[:1] == ["rm"]:
        found = ["ls"]  # nobody is told to delete something else
    elif isinstance(error, NNBenchError) and error.instead is not None:
        old, new = error.instead
        found = [new if word == old else word for word in arguments if word != old or new]
    elif isinstance(error, NNBenchError) and type(error) is not ConfigError:
        return None
    else:
        found = _composed(list(arguments), said)
    if found is None or found == list(arguments):
        return None
    line = shlex.join(["nnbench", *_complete(found)])
    return line if hidden(line) == line else None


def _complete(found: list[str]) -> list[str]:
    """Return a command as it is; of one that lacks an argument, the command that explains it."""
    from nnbench.cli import COMMANDS

    if found[:1] and found[0] in COMMANDS and _overrides(found) is None:
        return [found[0], "--help"]
    return found


def _composed(arguments: list[str], said: str) -> list[str] | None:
    from nnbench.cli import COMMANDS
    from nnbench.config.remedy import remedy

    if arguments and arguments[0] in COMMANDS:
        words = _overrides(arguments) or []
        many = arguments[0] in GRIDS
        found = remedy(words, many, said)
        if found is None or (found[:1] == ["-m"] and not many):
            return None
        found = [word for word in found if word != "-m"]
        if arguments[0] in FILTERS:  # the value that a key has by default is perhaps no run's
            typed = {word.partition("=")[2] for word in words}
            found = [word for word in found if word.partition("=")[2] in typed]
        rest = [word for word in arguments if word not in words]
        return [*rest, *found]
    from nnbench.cli.overrides import MULTIRUN, flag_meant, split

    for place, word in enumerate(arguments):
        if (meant := flag_meant(word)) is not None:
            return [*arguments[:place], *meant, *arguments[place + 1 :]]
    try:
        flags, words = split(arguments)
    except ConfigError:
        return None
    found = remedy(words, not MULTIRUN.isdisjoint(flags), said)
    if found is None:
        return None
    return [*(flag for flag in flags if not (flag in MULTIRUN and "-m" in found)), *found]


def _overrides(arguments: list[str]) -> list[str] | None:
    """Return the overrides among the arguments of a sub-command, None where one is missing."""
    import click

    from nnbench.cli import module

    command = module(arguments[0]).command
    with contextlib.suppress(click.ClickException):
        context = command.make_context(arguments[0], list(arguments[1:]))
        words = context.params.get("overrides") or context.params.get("words") or ()
        return [word for word in words if "=" in word or "overrides" in context.params]
    return None
