"""Which runs a report is about: from a results folder, or from any MLflow store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnbench.errors import ConfigError, ResultsError
from nnbench.records.folder import Folder
from nnbench.records.run import RunResult
from nnbench.records.settings import settings
from nnbench.schema import suggest
from nnbench.schema.progress import Tell, nobody


def select(
    runs: Sequence[RunResult], words: Sequence[str], experiment: str | None, sweep: str | None
) -> list[RunResult]:
    """Return the runs that fit.

    `words` are `KEY=VALUE` settings (`batch_size=32`, `backend=numpy`) or parts of a name or id;
    all must fit. `experiment` is MLflow's, `sweep` a sweep's name or the beginning of it. Raises
    ConfigError, with what there is, where nothing fits.
    """
    found = [
        run
        for run in runs
        if all(_fits(run, word) for word in words)
        and experiment in (None, (run.config.get("tracking") or {}).get("experiment"))
        and (sweep is None or str(run.sweep or "").startswith(sweep))
    ]
    if found:
        return found
    asked = [*words]
    asked += [f"--experiment {experiment}"] if experiment else []
    asked += [f"--sweep {sweep}"] if sweep else []
    sweeps = list(dict.fromkeys(str(run.sweep) for run in runs if run.sweep))[-3:]
    experiments = dict.fromkeys(
        str((run.config.get("tracking") or {}).get("experiment")) for run in runs
    )
    hint = suggest(experiment, list(experiments)) if experiment else ""
    raise ConfigError(
        f"Received {' '.join(asked)}; no run matches ({len(runs)} recorded). "
        f"Experiments: {', '.join(experiments)}"
        + (f"; latest sweeps: {', '.join(sweeps)}" if sweeps else "")
        + (hint or ". `nnbench ls --last 0` lists all runs.")
    )


def of_explanation(run: RunResult) -> bool:
    """Tell whether a run is a step of a bridge: it was made to explain, not to be compared."""
    return str(run.sweep or "").startswith("explain-")


def local(results: Path, tell: Tell = nobody) -> tuple[list[RunResult], list[str]]:
    """Return the runs of a results folder, and what could not be read of it.

    Raises ResultsError where there is none.
    """
    folder = Folder(results)
    runs = folder.runs(tell)
    if not runs:
        raise ResultsError(f"No runs recorded in {results}; run `nnbench -m backend=numpy,torch`.")
    return runs, folder.problems


def _fits(run: RunResult, word: str) -> bool:
    key, equals, value = word.partition("=")
    if not equals:
        return word in f"{run.name} {run.run_id} {run.sweep} {run.status}"
    flat = {k: str(v) for k, v in settings(run.config).items()}
    return value in (flat.get(key), flat.get(f"{key}.name"))
