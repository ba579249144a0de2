"""Which recorded run is meant, and what a new one is called."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench.errors import ConfigError, ResultsError
from nnbench.records.folder import Folder, read_runs
from nnbench.records.run import RECORD_NAME, RUNS_NAME, RunResult
from nnbench.records.settings import as_text, settings
from nnbench.schema import closest, told
from nnbench.writing import clear

if TYPE_CHECKING:  # `ls` finds runs without NumPy
    from nnbench.config.run import Cell, RunConfig

# Overrides that a run's name leaves out: they are in it already, or decide no figure.
UNNAMED = (
    "backend", "batch_size", "seed", "epochs", "results", "name", "experiment", "tracking",
    "checkpoint", "launcher", "order", "on_error", "search",
)  # fmt: skip


MOST_DIGITS = 10
MOST_LISTED, MOST_KEYS = 4, 3  # of several runs of one name, and of what tells them apart
ID_CHARACTERS = 8  # enough to name a run by


def find_weights(config: RunConfig) -> Path | None:
    """Return the folder or file whose weights `init=from_run` takes, None for other inits.

    Raises ConfigError when nothing fits `init.run`, or several runs do.
    """
    from nnbench.model.init import FromRun

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
    if Path(wanted).exists():
        return Path(wanted).resolve()
    try:
        return recorded(wanted, results).directory
    except ResultsError as error:
        said = str(error).removeprefix("Received ")
        raise ConfigError(f"Received init.run={said}") from None


def recorded(wanted: str, results: Path) -> RunResult:
    """Return the run that `wanted` names, the same for whoever asks.

    It is a run's folder, its name, its id, or how any of them begins where that is one run's alone;
    `@last` is the latest run, `@2` the one before. Raises ResultsError where there is no such run,
    and where there are several, with what tells them apart.
    """
    path = Path(wanted)
    if wanted and (path / RECORD_NAME).is_file():
        return _of_folder(path.resolve())
    runs = read_runs(results)
    if wanted.startswith("@"):
        return counted(wanted, runs, results)
    if found := [run for run in runs if wanted and _exact(run, wanted)]:
        return _one_of(found, wanted)
    if wanted and (results / RUNS_NAME / wanted / RECORD_NAME).is_file():
        return RunResult.read(results / RUNS_NAME / wanted)  # says what is wrong with it
    if found := [run for run in runs if wanted and _begins(run, wanted)]:
        return _one_of(found, wanted)
    near = closest(wanted, [run.name for run in runs])
    hint = f"; did you mean '{near}'?" if near else "."
    raise ResultsError(
        f"Received {told(wanted) or 'no name'}; {results} has no run of that name, id or "
        f"folder{hint} `nnbench ls` lists them.",
        instead=(wanted, near) if near else None,
    )


def is_recorded(wanted: str, results: Path) -> bool:
    """Tell whether `wanted` is a run's folder, name or id, or counts runs as `@last` does."""
    if wanted.startswith("@") or (Path(wanted) / RECORD_NAME).is_file():
        return True
    return any(_exact(run, wanted) for run in read_runs(results))


def counted(wanted: str, runs: Sequence[RunResult], results: Path) -> RunResult:
    """Return the run of `runs`, oldest first, that `@last` or `@N` names. Raises ResultsError."""
    place = wanted[1:]
    if place != "last" and not re.fullmatch(r"[1-9][0-9]{0,8}", place):
        raise ResultsError(
            f"Received {told(wanted)}; @last is the latest run, @2 the one before",
            instead=(wanted, "@last") if runs else None,
        )
    number = 1 if place == "last" else int(place)
    if number > len(runs):
        are = f"has {len(runs)}, @{len(runs)} is the oldest" if runs else "has no runs"
        instead = (wanted, f"@{len(runs)}") if runs else None
        raise ResultsError(f"Received {wanted}; {results} {are}", instead=instead)
    return runs[-number]


def _of_folder(directory: Path) -> RunResult:
    for run in Folder(directory.parent.parent, directory.parent.name).runs():
        if run.directory is not None and run.directory.resolve() == directory:
            return run
    return RunResult.read(directory)  # says what is wrong


def _exact(run: RunResult, wanted: str) -> bool:
    return wanted in _names(run)


def _begins(run: RunResult, wanted: str) -> bool:
    return any(name.startswith(wanted) for name in _names(run))


def _names(run: RunResult) -> tuple[str, ...]:
    return (run.run_id, run.name, run.directory.name if run.directory else run.run_id)


def _one_of(found: Sequence[RunResult], wanted: str) -> RunResult:
    """Return the one run there is. Raises ResultsError, with what tells them apart, for several."""
    if len(found) == 1:
        return found[0]
    few = list(reversed(found))[:MOST_LISTED]
    flat = [settings(run.config) for run in few]
    keys = [k for k in flat[0] if len({str(each.get(k)) for each in flat}) > 1][:MOST_KEYS]
    listed = []
    for run, values in zip(few, flat, strict=True):
        told_apart = [f"{key}={as_text(values.get(key))}" for key in keys]
        name = [] if run.name == wanted else [run.shown]
        when = run.created[5:16].replace("T", " ")
        words = ", ".join([*name, when, run.status, *told_apart])
        listed.append(f"{run.run_id[:ID_CHARACTERS]} ({words})")
    more = f" and {len(found) - len(few)} more" if len(found) > len(few) else ""
    raise ResultsError(
        f"Received {told(wanted)}; that names {len(found)} runs: {'; '.join(listed)}{more}. Name "
        "one by its id",
        instead=(wanted, few[0].run_id[:ID_CHARACTERS]),
    )


def run_name(cell: Cell, unnamed: Collection[str] = ()) -> str:
    """Return a short readable name, good in a legend: `torch b32 s1 scale=0.1`.

    Where a name is given, that; for several runs of one name, what tells them apart follows it.
    """
    from nnbench.config.catalogue import groups

    config = cell.config
    first = [config.name] if config.name else []
    if first and not any(word.lstrip("+").startswith("name=") for word in unnamed):
        return first[0]
    if config.case:
        return " ".join([*first, config.case.rpartition("/")[2], f"s{config.seed}"])[:80]
    parts = [*first, config.backend.label, f"b{config.batch_size}", f"s{config.seed}"]
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


def discard(directory: Path) -> None:
    """Remove a folder that `make_directory` made, and those above it, as far as they are empty."""
    for folder in (directory, *directory.parents[:2]):
        with contextlib.suppress(OSError):
            folder.rmdir()
