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


@contextlib.contextmanager
def quiet(patient: bool = False) -> Iterator[None]:
    """Keep MLflow to itself while open: no telemetry, no log lines, no waiting for the dead.

    `patient`: a slow server may take longer. MLflow logs whole tracebacks for what it also raises;
    that reaches the user as one line. Environment and log levels are put back on leaving; no
    telemetry stays.
    """
    os.environ.update(PRIVACY)
    seconds = PATIENT_SECONDS if patient else REQUEST_SECONDS
    wanted = ENVIRONMENT | {TIMEOUT: str(seconds)}
    added = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(added)
    loggers = {logger: logger.level for logger in map(logging.getLogger, NOISY)}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
        for key in added:
            os.environ.pop(key, None)


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
