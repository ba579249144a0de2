"""Deleting a recorded run, while nobody else is at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from nnbench.errors import ResultsError, RunBusy
from nnbench.records.locks import Claim, locked
from nnbench.records.run import RunResult

ASKED_SECONDS = 1.0  # that others who ask how a run stands may hold its lock


def delete(run: RunResult, forget: Callable[[RunResult], Sequence[str]]) -> Sequence[str]:
    """Delete a run's folder under its lock, and what `forget` knows of it; return its lines.

    Raises ResultsError where the run went on since it was read, is gone, or cannot be deleted.
    """
    assert run.directory is not None
    gone = ResultsError(f"Cannot delete {run.directory}: it is not there any more.")
    changed = ResultsError(
        f"{run.shown} ({run.run_id}) went on while you were asked; it was not deleted. "
        "`nnbench ls` shows how it stands."
    )
    if not run.directory.is_dir():
        raise gone
    claim = Claim(run.directory.parent.parent, run.fingerprint)
    if not claim.take():  # a sweep is about to resume it
        raise changed
    try:
        with locked(run.directory, seconds=ASKED_SECONDS):
            now = RunResult.read(run.directory)
            if now.run_id != run.run_id or len(now.epochs) != len(run.epochs):
                raise changed
            lines = forget(run)
            shutil.rmtree(run.directory)
            return lines
    except RunBusy:
        raise changed from None
    except FileNotFoundError:
        raise gone from None
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise ResultsError(f"Cannot delete {run.directory}: {why}.") from None
    finally:
        claim.release()
