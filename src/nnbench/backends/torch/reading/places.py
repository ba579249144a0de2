"""Where in a user's source something was made or called: the line and the text of the call."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from nnbench.formatting import cut
from nnbench.model.reading import Place

MARK = "_nnbench_place"  # an attribute of what was made
SHOWN_CHARACTERS = 72
_NOT_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[3]), "<")


@contextmanager
def recording(file: str) -> Iterator[None]:
    """Note on each module, optimizer and scheduler made meanwhile which line of the user's did."""
    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    before = {kind: kind.__init__ for kind in kinds}
    for kind, init in before.items():
        kind.__init__ = _marking(init)
    try:
        yield
    finally:
        for kind, init in before.items():
            kind.__init__ = init


def _marking(init: Any) -> Any:
    def marked(self: Any, *args: Any, **kwargs: Any) -> None:
        if (place := here(self)) is not None:
            self.__dict__[MARK] = place
        init(self, *args, **kwargs)

    return marked


def made(thing: Any, text: str | None = None) -> Place:
    """Return where `thing` was made; else a place without a line that is called `text`."""
    place = getattr(thing, MARK, None)
    if isinstance(place, Place):
        return place
    return Place(text or type(thing).__name__)


def here(thing: Any = None) -> Place | None:
    """Return the innermost call in a user's source that led to the caller.

    Of a `thing` that is being made, the call that makes it, and not what its own code calls.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_NOT_USERS) or _is_own(frame, thing)
    ):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(sys.base_prefix):
        return None
    return _place(frame.f_code, frame.f_lasti, frame.f_lineno)


def _is_own(frame: FrameType, thing: Any) -> bool:
    """Tell whether a frame is the constructor of `thing`."""
    code = frame.f_code
    if thing is None or code.co_name != "__init__" or not code.co_argcount:
        return False
    return frame.f_locals.get(code.co_varnames[0]) is thing


def of_error(error: BaseException) -> Place | None:
    """Return the innermost line of a user's source in the traceback of `error`."""
    found, trace = None, error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith((*_NOT_USERS, sys.base_prefix)):
            found = _place(code, trace.tb_lasti, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _place(code: Any, instruction: int, line: int | None) -> Place:
    """Return the place of an instruction, its text as written."""
    first, last, start, stop = next(
        islice(code.co_positions(), instruction // 2, None), (line, line, None, None)
    )
    file = code.co_filename
    if first is None or last is None or start is None or stop is None:
        text = linecache.getline(file, line or 0)
    else:
        lines = [linecache.getline(file, n).encode() for n in range(first, last + 1)]
        lines[-1] = lines[-1][:stop]
        lines[0] = lines[0][start:]
        text = b" ".join(lines).decode(errors="replace")
    return Place(cut(" ".join(text.split()), SHOWN_CHARACTERS), first or line, file)
