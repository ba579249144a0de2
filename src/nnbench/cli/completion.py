"""`nnbench completion SHELL`: the script that lets a shell complete commands, settings and runs."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from nnbench.cli import COMMANDS, module
from nnbench.config import catalogue, studies
from nnbench.config.mistakes import all_keys
from nnbench.config.sources import search_in
from nnbench.errors import ConfigError
from nnbench.reporting.pages.screen import say

Words = Iterator[tuple[str, str]]  # what may stand here, and what it means

MOST_RUNS = 30
NAMED = ("show", "rm", "sync", "export", "explain", "ls", "report", "arch", "trace", "parity",
         "profile", "check")  # fmt: skip
SETTINGS = ("arch", "trace", "parity", "profile", "check", "ops", "ls", "report", "claims", "study")
BASH = r"""_nnbench() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" kept=""
    local word="${line##* }"
    [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && kept="${word%=*}="
    COMPREPLY=($(nnbench completion --line "$line" 2>/dev/null | cut -f1))
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    [[ ${COMPREPLY[0]} == *= || ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -F _nnbench nnbench"""
ZSH = r"""#compdef nnbench
_nnbench() {
    local -a found
    found=(${(f)"$(nnbench completion --line "${LBUFFER}" 2>/dev/null | cut -f1)"})
    compadd -Q -S '' -- $found
}
compdef _nnbench nnbench"""
FISH = r"""complete -c nnbench -f -a '(nnbench completion --line (commandline -cp) 2>/dev/null)'"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def _is_asked(context: click.Context, _: click.Parameter, shell: str | None) -> str | None:
    """Return the shell. Raises UsageError where there is none, and no line to complete either."""
    if shell is None and context.params.get("line") is None:
        raise click.UsageError(f"Received no shell; must be one of {', '.join(SCRIPTS)}", context)
    return shell


@click.command()
@click.argument("shell", type=click.Choice(list(SCRIPTS)), required=False, callback=_is_asked)
@click.option("--line", is_eager=True, hidden=True, help="Complete this; what the scripts ask.")
def command(shell: str | None, line: str | None) -> int:
    """Print the script for a shell, which completes sub-commands, groups, options, settings and
    runs: eval "$(nnbench completion bash)" in ~/.bashrc, the same with zsh in ~/.zshrc, nnbench
    completion fish | source in config.fish.
    """
    if line is not None:
        for word, meaning in complete(line):
            say(f"{word}\t{meaning}".rstrip())
        return 0
    assert shell is not None
    say(SCRIPTS[shell])
    return 0


def complete(line: str) -> list[tuple[str, str]]:
    """Return what the last word of `line`, a command typed so far, may become."""
    try:
        words = shlex.split(line)[1:]
    except ValueError:  # within quotes
        return []
    last = "" if line[-1:].isspace() or not words else words.pop()
    for flag, folder in pairwise(words):
        if flag in ("--config-dir", "-cd"):
            with contextlib.suppress(ConfigError):
                search_in(folder)
    found = _candidates(words, last)
    return list(dict.fromkeys(each for each in found if each[0].startswith(last)))


def _candidates(words: list[str], last: str) -> Words:
    name = words[0] if words else ""
    if name not in COMMANDS:
        if last.startswith("-"):
            from nnbench.cli.overrides import KNOWN

            yield from ((flag, "") for flag in (*KNOWN, "--config-dir", "--help", "--version"))
        if not words:
            yield from COMMANDS.items()
        yield from _settings(words, last)
        return
    yield from _of_command(module(name).command, words, last)
    if name in NAMED:
        yield from _runs(words)
    if name in SETTINGS:
        yield from _settings(words, last)
    if name in ("study", "claims") and len(words) == 1:
        yield from ((study, "") for study in studies.studies())


def _of_command(command: Any, words: list[str], last: str) -> Words:
    """Yield the options of a sub-command, its own sub-commands and the choices of its arguments."""
    if isinstance(command, click.Group):
        if len(words) == 1:
            yield from ((each, "") for each in command.commands)
            return
        command = command.commands.get(words[1], command)
    for parameter in command.params:
        asked = isinstance(parameter, click.Argument) or words[-1] in parameter.opts
        if asked and isinstance(parameter.type, click.Choice):
            yield from ((str(each), "") for each in parameter.type.choices)
    if last.startswith("-"):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                yield from ((each, parameter.help or "") for each in parameter.opts)


def _settings(words: list[str], last: str) -> Words:
    """Yield KEY=, of the options that `words` choose, and the options of a group."""
    key, equals, value = last.partition("=")
    if not equals:
        yield from ((f"{each}=", "") for each in all_keys())
    elif key == "experiment":
        yield from ((f"{key}={case}", "") for case in studies.experiments())
    elif key in catalogue.groups():
        before, comma, _ = value.rpartition(",")  # of a sweep
        for option in catalogue.options(key).values():
            yield f"{key}={before}{comma}{option.name}", option.text


def _runs(words: list[str]) -> Words:
    """Yield `@last` and the latest runs by their ids."""
    from nnbench.records.folder import Folder
    from nnbench.records.lookup import ID_CHARACTERS

    where = [word.partition("=")[2] for word in words if word.startswith("results=")]
    found = Folder(Path(where[0] if where else "results")).latest(MOST_RUNS, lambda _: True)
    if found.runs:
        yield "@last", "the latest run"
    yield from ((run.run_id[:ID_CHARACTERS], run.shown) for run in reversed(found.runs))
