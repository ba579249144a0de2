"""Kills this process in the middle of writing a file; Python imports it at its start.

NNBENCH_KILL is `MOMENT:PATTERN`: the file is the first whose name matches, temporary or not.
A number is after so many bytes, `whole` is when it is to take its place.
"""

import contextlib
import os
import re
import signal
import sys

moment, _, pattern = os.environ.get("NNBENCH_KILL", "").partition(":")
WRITING = os.O_WRONLY | os.O_RDWR


def tell() -> None:
    with open(os.environ["NNBENCH_KILLED"], "ab") as file:
        file.write(b"x")


def die() -> None:
    tell()
    os.kill(os.getpid(), signal.SIGKILL)


def after(size: int) -> None:
    """Have the system kill this process once a file of it has more than `size` bytes."""
    import resource

    tell()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError):  # a thread other than the first: the write fails instead
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hook(event: str, arguments: tuple) -> None:
    if event == "os.rename" and moment == "whole":
        if re.search(pattern, os.path.basename(os.fsdecode(arguments[1]))):
            die()
    elif event == "open" and moment != "whole":
        path, mode, flags = arguments
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & WRITING
        named = os.path.basename(os.fsdecode(path)) if isinstance(path, str | os.PathLike) else ""
        if writes and re.search(pattern, named):
            after(int(moment))


if pattern:
    sys.addaudithook(hook)
