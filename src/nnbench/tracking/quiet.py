"""MLflow kept to itself: no telemetry, no log lines, no waiting for the dead, bounded answers.

MLflow itself is imported where it is used: it takes more than a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from nnbench.errors import NNBenchError

REQUEST_SECONDS = 10
PATIENT_SECONDS = 30  # where somebody asked for nothing else
MOST_BYTES = 64 << 20  # of one answer: the pages asked for are a hundred times smaller

# MLflow's own defaults try a dead server for 247 s. A value that the user has set stays.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
PRIVACY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
OURS = frozenset((*ENVIRONMENT, *PRIVACY, TIMEOUT))  # set while MLflow is in use; no run reads them
NOISY = ("mlflow", "alembic", "urllib3", "sqlalchemy")


class StoreError(NNBenchError):
    """The tracking store cannot be used; the run goes on without it."""


class _Silence:
    """What is set while somebody needs it, and put back when the last one has left.

    They overlap: a thread that hangs in a dead server stays while the next run has one of its own,
    and leaves whenever it ends.
    """

    def __init__(self) -> None:
        self._users = 0
        self._added: set[str] = set()
        self._levels: dict[logging.Logger, int] = {}
        self._lock = threading.RLock()  # an abandoned one may leave while another enters

    def enter(self, wanted: Mapping[str, str]) -> None:
        """Set these variables, but for what the user has set, and silence the loggers."""
        with self._lock:
            self._users += 1
            new = {
                key: v for key, v in wanted.items() if key not in os.environ.keys() - self._added
            }
            self._added.update(new)
            os.environ.update(new)
            for logger in map(logging.getLogger, NOISY):
                self._levels.setdefault(logger, logger.level)
                logger.setLevel(logging.CRITICAL + 1)

    def leave(self) -> None:
        """Put back what was, once nobody needs it."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for logger, level in self._levels.items():
                logger.setLevel(level)
            for key in self._added:
                os.environ.pop(key, None)
            self._levels.clear()
            self._added.clear()


_silence = _Silence()


@contextlib.contextmanager
def quiet(patient: bool = False) -> Iterator[None]:
    """Keep MLflow to itself while open: no telemetry, no log lines, no waiting for the dead.

    `patient`: a slow server may take longer. MLflow logs whole tracebacks for what it also raises;
    that reaches the user as one line. Environment and log levels are put back when the last one
    that is open is left; no telemetry stays.
    """
    os.environ.update(PRIVACY)
    seconds = PATIENT_SECONDS if patient else REQUEST_SECONDS
    _silence.enter(ENVIRONMENT | {TIMEOUT: str(seconds)})
    try:
        yield
    finally:
        _silence.leave()


def bound_answers() -> None:
    """Have MLflow give up an answer of a server that goes on and on; it would fill the memory."""
    from mlflow.utils import request_utils

    adapter = getattr(request_utils, "TCPKeepAliveHTTPAdapter", request_utils.HTTPAdapter)
    build = adapter.build_response
    if getattr(build, "is_bounded", False):
        return

    def bounded(self: Any, request: Any, raw: Any) -> Any:
        response = build(self, request, raw)
        chunks = response.iter_content

        def at_most(*arguments: Any, **named: Any) -> Iterator[Any]:
            size = 0
            for chunk in chunks(*arguments, **named):
                size += len(chunk)
                if size > MOST_BYTES:
                    response.close()
                    raise StoreError("its answer has no end")
                yield chunk

        response.iter_content = at_most
        return response

    bounded.is_bounded = True  # type: ignore[attr-defined]
    adapter.build_response = bounded
