"""Errors for the person who typed the command: one line, with the value, the allowed, the remedy.

Everything raised on purpose derives from `NNBenchError`; the command line prints its message
without a traceback and exits with code 2.
"""

from __future__ import annotations

from nnbench.credentials import hidden


class NNBenchError(Exception):
    """An error whose message is one line, written for the user; no password is in it.

    `instead`: the word that was wrong, and the one that was perhaps meant.
    """

    exit_code = 2

    def __init__(self, message: str = "", instead: tuple[str, str] | None = None) -> None:
        super().__init__(hidden(message))
        self.instead = instead

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows of it: the message, as at the prompt."""
        return [f"nnbench: {self}"]


class ConfigError(NNBenchError):
    """A configuration value is unknown, of the wrong type or out of range."""


class DataError(NNBenchError):
    """A data file is missing, damaged or malformed."""


class UnsupportedSpec(NNBenchError):  # noqa: N818 - it names what happened, like StopIteration
    """A backend cannot run this task; the message says what it can run instead."""


class MissingPackage(NNBenchError):  # noqa: N818
    """A package is not installed; the message names it and how to install it."""


class ResultsError(NNBenchError):
    """The results folder cannot be read or written."""


class RunFailed(NNBenchError):  # noqa: N818
    """A run's worker ended unexpectedly; the message names its log file."""

    exit_code = 1


class OutOfMemory(RunFailed):
    """The run does not fit into the memory of the machine or the GPU."""

    exit_code = 2


class RunKilled(RunFailed):
    """A run's worker was killed from outside; it can be resumed from its last checkpoint."""


class RunBusy(NNBenchError):  # noqa: N818
    """Another process is running this configuration."""


class SweepFailed(NNBenchError):  # noqa: N818
    """Some runs of a sweep failed; each was shown when it did."""

    exit_code = 1


class Stopped(NNBenchError):  # noqa: N818
    """Somebody asked to stop, and it was done well; `number` is the signal."""

    def __init__(self, number: int, left: int) -> None:
        self.exit_code = 128 + number
        runs = f" with {left} runs left" if left > 1 else ""
        super().__init__(f"Stopped{runs}. Run the same command again to resume.")


class ChecksFailed(NNBenchError):  # noqa: N818
    """A backend does not do what every backend must."""

    exit_code = 1


CROSSING: dict[str, type[NNBenchError]] = {
    kind.__name__: kind
    for kind in (
        NNBenchError, ConfigError, DataError, UnsupportedSpec, MissingPackage, ResultsError,
        RunFailed, RunKilled, RunBusy,
    )
}  # fmt: skip
"""The errors that one process may report to another, by their names."""


def reported(kind: str, message: str) -> NNBenchError:
    """Return the error that another process reported; of a class that may not cross, its base."""
    return CROSSING.get(kind, NNBenchError)(message)
