"""The signals that ask to stop, besides Ctrl-C."""

from __future__ import annotations

import signal

NAMES = ("SIGTERM", "SIGHUP", "SIGQUIT")  # asked to end; the terminal was closed; Ctrl-\\


def stopping_signals() -> list[signal.Signals]:
    """Return those of them that this system has and that nobody told the process to ignore.

    `nohup` ignores SIGHUP, so that what it starts survives the terminal.
    """
    known = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
