"""The command line: `nnbench KEY=VALUE...` runs, a first word without `=` is a sub-command."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from nnbench.credentials import hidden, notice
from nnbench.errors import NNBenchError
from nnbench.formatting import printable

COMMANDS = {
    "ui": "browse the recorded runs in the MLflow UI",
    "ls": "list the recorded runs",
    "show": "show a recorded run, its course, and the command that does it again",
    "rm": "delete recorded runs, in MLflow too",
    "sync": "have MLflow show what the records say: upload, correct, delete duplicates",
    "report": "compare recorded runs: verdicts, tables, plots, what else differs",
    "study": "run the cases of a published comparison; print published against measured",
    "claims": "say of each published claim whether it holds here, and why not",
    "explain": "say which differences between two runs explain their gap, and which do not",
    "diagnose": "say why two programs of your own give different results, and mend it",
    "import": "make a program's net, loss and optimizer options of runs and sweeps",
    "arch": "print the layers of the net that a run would train",
    "parity": "train several backends side by side and say whether they agree, to rounding",
    "trace": "show one training step layer by layer: activations, gradients, updates",
    "profile": "show where the time of a training step goes",
    "ops": "time single operations side by side",
    "export": "write a run's net as a model of plain PyTorch or Keras",
    "check": "check that a backend, your own too, does what every backend must",
    "data": "list data sets, fetch one",
    "completion": "print the script for a shell that completes commands, settings and runs",
    "new": "write the skeleton of a backend, an architecture or a study of your own",
    "doctor": "say what is usable on this machine, and the remedy for what is not",
}
MEANT = {  # what other tools call them; a run has no name
    **dict.fromkeys(("list", "status"), "ls"), **dict.fromkeys(("delete", "remove"), "rm"),
    **dict.fromkeys(("run", "train"), ""), "compare": "report", "version": "--version",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits 0, 1 (a run failed), 2 (bad input) or 130 (Ctrl-C)."""
    if argv is None:
        _collect_seldom()
    arguments = list(sys.argv[1:] if argv is None else argv)
    for word in arguments:
        notice(word)
    sys.excepthook = _trace
    sys.exit(_guarded(arguments))


def _collect_seldom() -> None:
    """Look for garbage seldom, and not while the process ends.

    Importing MLflow makes a million objects that stay: going through them again and again, and
    once more at the end, takes a third of what a command with tracking costs. Nothing is timed in
    this process.
    """
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)


def _guarded(arguments: list[str]) -> int:
    logging.raiseExceptions = False  # of Hydra's handlers, where nobody reads any more
    debug = os.environ.get("HYDRA_FULL_ERROR") == "1" or "NNBENCH_DEBUG" in os.environ
    try:
        return _dispatch(_search_in_folders(arguments))
    except KeyboardInterrupt:
        print("nnbench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if debug:
            raise
        if isinstance(error, NNBenchError):
            return _complain(_with_remedy(str(error), error, arguments), error.exit_code)
        if _is_hydra_error(error):
            from nnbench.config.mistakes import explain

            return _complain(_with_remedy(explain(error, arguments), error, arguments))
        if isinstance(error, OSError):
            where = f" {error.filename}" if error.filename else ""
            return _complain(f"Cannot use{where}: {error.strerror or error}.")
        raise


def _trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, without what is secret in its messages."""
    sys.stderr.write(hidden("".join(traceback.format_exception(kind, error, trace))))


def _complain(message: str, exit_code: int = 2) -> int:
    print(f"nnbench: {printable(hidden(message))}", file=sys.stderr)
    return exit_code


def _with_remedy(message: str, error: Exception, arguments: list[str]) -> str:
    """Return the message with the nearest command that can be, where there is one."""
    from nnbench.cli.nearest import nearest

    found = nearest(arguments, error, message)
    if found is None:
        return message
    end = "" if message.endswith(("?", ".")) else "."
    return f"{message}{end} Try: {found}"


def _is_hydra_error(error: Exception) -> bool:
    """Tell errors of Hydra, OmegaConf and YAML apart, without importing any for it."""
    return any(
        c.__module__.split(".")[0] in ("hydra", "omegaconf", "yaml") for c in type(error).__mro__
    )


def _search_in_folders(arguments: list[str]) -> list[str]:
    """Let every `--config-dir DIR` bring what it has; return the other arguments.

    Raises ConfigError where there is no such folder.
    """
    rest, words = list[str](), iter(arguments)
    for word in words:
        flag, equals, folder = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            from nnbench.config.sources import search_in

            search_in(folder if equals else next(words, ""))
        else:
            rest.append(word)
    return rest


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first == "--version":
        from nnbench.config.installation import VERSION

        print(f"nnbench {VERSION}")
        return 0
    if first == "help" or not {"--help", "-h"}.isdisjoint(arguments):
        return _help(arguments)
    if "COMP_LINE" in os.environ:  # a shell completes: the folders are in what is typed so far
        with contextlib.suppress(NNBenchError):
            _search_in_folders(os.environ["COMP_LINE"].split())
    from nnbench.cli.results import one_way

    if _is_plain(first):
        return _command(first, one_way(arguments[1:]))
    from nnbench.cli.overrides import run

    run(one_way(arguments))
    return 0


def _help(arguments: list[str]) -> int:
    """Show the help that `arguments` ask for: on a command, on the topics named, or on all."""
    asks = ("help", "--help", "-h")
    at = next(place for place, word in enumerate(arguments) if word in asks)
    words = [word for word in arguments if word not in asks]
    first = words[0] if words else ""
    if first in COMMANDS and not (at == 0 and first in ("arch", "data")):  # groups have the names
        import click

        command = module(first).command
        inner = command.commands if isinstance(command, click.Group) else {}
        chosen = [word for word in words[1:2] if word in inner]
        command.main([*chosen, "--help"], prog_name=f"nnbench {first}", standalone_mode=False)
        return 0
    from nnbench.cli.help import show_help

    plain = words[:1] if at and _is_plain(first) else []
    after = [word for word in arguments[at + 1 :] if word not in asks and word[0] != "-"]
    return show_help([*plain, *after])


def _is_plain(word: str) -> bool:
    """Tell the name of a command from an override and a flag."""
    return bool(word) and word[0] not in "-+~" and "=" not in word


def module(name: str) -> Any:
    """Return the module that a sub-command lives in, that of its name."""
    import importlib

    return importlib.import_module(f"nnbench.cli.{name}")


def _command(name: str, arguments: list[str]) -> int:
    """Run a sub-command; each lives in the module of its name."""
    if name not in COMMANDS:
        from nnbench.errors import ConfigError
        from nnbench.schema import closest

        near = MEANT.get(name, closest(name, COMMANDS))
        listed = f"; there is {', '.join(COMMANDS)}" if near is None else ""
        hint = f"; did you mean '{near}'?" if near else listed
        raise ConfigError(
            f"Unknown command '{name}'{hint} (a run takes KEY=VALUE, see nnbench --help)",
            instead=None if near is None else (name, near),
        )
    import click

    from nnbench.cli.results import for_command

    command = module(name).command
    arguments = for_command(name, command, arguments)
    try:
        return command.main(arguments, prog_name=f"nnbench {name}", standalone_mode=False) or 0
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        return _complain(f"{message} (see nnbench {name} --help)")
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
