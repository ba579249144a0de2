"""Which runs a report is about: from a results folder, or from any MLflow store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from nnbench.config.mistakes import KNOWN_AS, all_keys
from nnbench.errors import ConfigError, ResultsError
from nnbench.records.folder import Folder
from nnbench.records.lookup import counted
from nnbench.records.run import RunResult
from nnbench.records.settings import as_text, settings
from nnbench.schema import closest, flat, suggest, told
from nnbench.schema.progress import Tell, nobody

MOST_LISTED = 6  # values that there are


def select(
    runs: Sequence[RunResult], words: Sequence[str], experiment: str | None, sweep: str | None
) -> list[RunResult]:
    """Return the runs that fit.

    `words` are `KEY=VALUE` settings (`batch_size=32`, `backend=numpy`) or parts of a name or id;
    all must fit. `experiment` is MLflow's, `sweep` a sweep's name or the beginning of it. Raises
    ConfigError, with what there is, where nothing fits.
    """
    wanted = fitting(words, runs)
    found = [
        run
        for run in runs
        if wanted(run)
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


def check_keys(words: Sequence[str], runs: Sequence[RunResult] = ()) -> None:
    """Raise ConfigError for a `KEY=VALUE` among `words` whose key no run can have."""
    typed = [word for word in words if "=" in word]
    if not typed:
        return
    known = {*all_keys(), *(key for run in runs for key in settings(run.config))}
    for word in typed:
        key, _, value = word.partition("=")
        if key not in known:
            near = KNOWN_AS.get(key) or closest(key, sorted(known))
            meant = f"{near}={value}"
            some = not runs or any(_fits(run, meant) for run in runs)
            raise ConfigError(
                f"Received {told(word)}; no run has a setting '{told(key)}'"
                + (f"; did you mean '{near}'?" if near else " (see nnbench --help)"),
                instead=(word, meant if some else "") if near else None,
            )


def fitting(words: Sequence[str], runs: Sequence[RunResult]) -> Callable[[RunResult], bool]:
    """Return what tells whether one of `runs`, oldest first, fits all `words`.

    `KEY=VALUE` is a setting, `@last` and `@2` count runs from the latest, other words are parts of
    a name, an id, a sweep or a status. Raises ConfigError for a key that no run has, and for a
    value that none has, with those there are.
    """
    check_keys(words, runs)
    named = [word for word in words if word.startswith("@")]
    ids = {counted(word, runs, Path("the folder")).run_id for word in named}
    rest = [word for word in words if word not in named]
    for word in rest:
        if "=" in word and runs and not any(_fits(run, word) for run in runs):
            raise _no_value(word, runs)
    return lambda run: (not ids or run.run_id in ids) and all(_fits(run, word) for word in rest)


def _no_value(word: str, runs: Sequence[RunResult]) -> ConfigError:
    """Return the error for a setting that no run has, with the values that there are."""
    key, _, value = word.partition("=")
    known = list(dict.fromkeys(v for run in runs for v in _values(run, key)))
    near = closest(value, known) or next((v for v in value.split(",") if v in known), None)
    listed = ", ".join(f"{key}={v}" for v in known[:MOST_LISTED])
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return ConfigError(
        f"Received {told(word)}; no run matches ({len(runs)} recorded); there is "
        f"{listed or f'no {key}'}{more}",
        instead=(word, f"{key}={near or known[-1]}") if known else None,
    )


def _fits(run: RunResult, word: str) -> bool:
    key, equals, value = word.partition("=")
    if not equals:
        return word in f"{run.name} {run.run_id} {run.sweep} {run.status}"
    known = flat(run.config)
    old = (str(known[k]) for k in (key, f"{key}.name") if k in known)  # `[128, 64]`, `None`
    return any(_same(value, each) for each in (*_values(run, key), *old))


def _same(typed: str, value: str) -> bool:
    """Tell whether both are one value: `0` and `0.0`, `1e-3` and `0.001` are."""
    if typed != value:
        with contextlib.suppress(ValueError):
            return float(typed) == float(value)
    return typed == value


def _values(run: RunResult, key: str) -> list[str]:
    """Return what a filter may give as the value of `key`: a setting, or an option's name."""
    if key == "name":
        return [run.name, str(run.config.get("name") or run.name)]  # of a sweep's runs, its part
    known = flat(run.config)
    return [as_text(known[k]) for k in (key, f"{key}.name") if k in known]
