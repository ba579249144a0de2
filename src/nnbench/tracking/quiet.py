"""MLflow kept to itself: no telemetry, no log lines, no waiting for the dead, bounded answers.

MLflow itself is imported where it is used: it takes more than a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from nnbench.errors import NNBenchError

REQUEST_SECONDS = 10
PATIENT_SECONDS = 30  # where somebody asked for nothing else
MOST_BYTES = 64 << 20  # of one answer: the pages asked for are a hundred times smaller

# MLflow's own defaults try a dead server for 247 s. A value that the user has set stays.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
PRIVACY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
NOISY = ("mlflow", "alembic", "urllib3", "sqlalchemy")


class StoreError(NNBenchError):
    """The tracking store cannot be used; the run goes on without it."""


@contextlib.contextmanager
def quiet(patient: bool = False) -> Iterator[None]:
    """Keep MLflow to itself while open: no telemetry, no log lines, no waiting for the dead.

    `patient`: a slow server may take longer. Environment and log levels are put back on leaving;
    no telemetry stays.
    """
    os.environ.update(PRIVACY)
    wanted = ENVIRONMENT
    if patient:
        wanted = wanted | {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENT_SECONDS)}
    added = [key for key in wanted if key not in os.environ]
    os.environ.update({key: wanted[key] for key in added})
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    hush()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for key in added:
            os.environ.pop(key, None)


def hush() -> None:
    """Silence the libraries' loggers; needed again after MLflow's import, which sets its own.

    MLflow logs whole tracebacks for what it also raises; the raised part reaches the user as one
    line.
    """
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


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
