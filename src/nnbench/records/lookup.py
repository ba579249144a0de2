"""Which recorded run is meant, and what a new one is called."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from nnbench.config.run import Cell, RunConfig
from nnbench.errors import ConfigError, ResultsError
from nnbench.model.init import FromRun
from nnbench.records.folder import Folder, read_runs
from nnbench.records.run import RUNS_NAME, RunResult
from nnbench.schema import suggest
from nnbench.writing import clear

# Overrides that a run's name leaves out: they are in it already, or decide no figure.
UNNAMED = (
    "backend", "batch_size", "seed", "epochs", "results", "name", "experiment", "tracking",
    "checkpoint", "launcher", "order", "on_error", "search",
)  # fmt: skip


MOST_DIGITS = 10


def find_weights(config: RunConfig) -> Path | None:
    """Return the folder or file whose weights `init=from_run` takes, None for other inits.

    Raises ConfigError when nothing fits `init.run`.
    """
    if not isinstance(config.init, FromRun):
        return None
    wanted, results = config.init.run, Path(config.results)
    if wanted.startswith("case:"):
        case = wanted.removeprefix("case:")
        for run in reversed(read_runs(results)):
            same = run.config.get("case") == case and run.config.get("seed") == config.seed
            if same and run.status == "finished":
                return run.directory
        raise ConfigError(
            f"Received init.run={wanted}; {results} has no finished run of it with "
            f"seed={config.seed}. Run `nnbench experiment={case} seed={config.seed}` first."
        )
    if (found := find_run(wanted, results)) is not None:
        return found
    raise ConfigError(
        f"Received init.run={wanted}; no such file, and no run of that name or id in {results}. "
        "`nnbench ls` lists them."
    )


def find_run(wanted: str, results: Path) -> Path | None:
    """Return the folder (or weights file) that `wanted` names: a path, a run's name or its id.

    Of several runs of one name it is the latest.
    """
    if Path(wanted).exists():
        return Path(wanted).resolve()
    if (results / RUNS_NAME / wanted).is_dir():
        return results / RUNS_NAME / wanted
    for run in reversed(read_runs(results)):
        if wanted in (run.run_id, run.name):
            return run.directory
    return None


def recorded(wanted: str, results: Path) -> RunResult:
    """Return the run that `wanted` names, as `find_run`. Raises ResultsError where there is none.

    The beginning of an id is enough where no other run's begins so.
    """
    found = find_run(wanted, results)
    if found is not None and found.is_dir():
        for run in Folder(found.parent.parent, found.parent.name).runs():
            if run.directory == found:
                return run
        return RunResult.read(found)  # says what is wrong
    runs = read_runs(results)
    alike = [run for run in runs if run.run_id.startswith(wanted)]
    if len(alike) == 1:
        return alike[0]
    several = f" (the beginning of {len(alike)} ids)" if alike else ""
    hint = suggest(wanted, [run.name for run in runs])
    raise ResultsError(
        f"Received {wanted}{several}; {results} has no run of that name, id or folder{hint or '.'} "
        "`nnbench ls` lists them."
    )


def run_name(cell: Cell, unnamed: Collection[str] = ()) -> str:
    """Return a short readable name, good in a legend: `torch b32 s1 scale=0.1`."""
    from nnbench.config.catalogue import groups

    config = cell.config
    if config.name:
        return config.name
    if config.case:
        return f"{config.case.rpartition('/')[2]} s{config.seed}"
    parts = [config.backend.label, f"b{config.batch_size}", f"s{config.seed}"]
    for override in cell.overrides:
        key, _, value = override.lstrip("+~").partition("=")
        told = override in unnamed or key.split(".")[0] in UNNAMED or key.startswith("hydra")
        if not told:
            # A chosen option tells its group (`relu`), a value does not (`scale=0.1`).
            parts.append(value if key in groups() else f"{key.split('.')[-1]}={_short(value)}")
    return " ".join(parts)[:80]


def _short(value: str) -> str:
    """Return a number with many digits, as a search draws them, with four."""
    try:
        return f"{float(value):.4g}" if len(value) > MOST_DIGITS else value
    except ValueError:
        return value


def make_directory(results: Path, name: str, folder: str = RUNS_NAME) -> Path:
    """Make a new folder `results/FOLDER/NAME-TIME-RANDOM`; raises ResultsError."""
    slug = re.sub(r"[^A-Za-z0-9._=+-]+", "-", name).strip("-.")[:60] or "run"
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = results.resolve() / folder / f"{slug}-{stamp}-{secrets.token_hex(3)}"
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ResultsError(
            f"Cannot write results={results}: {error.strerror}; choose a writable folder with "
            "results=DIR."
        ) from None
    for earlier in directory.parent.glob(f"{slug}-*"):  # of processes that were killed there
        clear(earlier)
    return directory
