"""nnbench from Python: what the commands do, as functions that return objects.

Overrides are a list, or a text with spaces between them as a shell has it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from nnbench.records.certificate import Certificate
    from nnbench.records.run import RunResult
    from nnbench.reporting.asking import Report
    from nnbench.reporting.claims.text import StudyAnswers
    from nnbench.reporting.diagnosis.diagnosis import Diagnosis
    from nnbench.reporting.explain.asking import Explanation
    from nnbench.sweeps.loop import SweepResult

Folder = str | os.PathLike[str]
Words = str | Sequence[str]


def run(overrides: Words = ()) -> RunResult:
    """Train one run in a fresh process, as `nnbench OVERRIDES...` does, and return its record.

    Raises NNBenchError, one line, where it cannot be done.
    """
    from nnbench.config.composition import compose
    from nnbench.sweeps.loop import run_one
    from nnbench.sweeps.notebook import observer

    return run_one(compose(_words(overrides)), observer())


def sweep(overrides: Words, *, fresh: bool = False) -> SweepResult:
    """Train every combination, as `nnbench -m OVERRIDES...` does; finished runs are taken.

    `fresh` runs them again. Runs that fail are in the result's `failures`; ConfigError is raised
    before the first where one cannot be.
    """
    from nnbench.config.composition import compose_all
    from nnbench.sweeps.cells import Asked
    from nnbench.sweeps.loop import new_name, run_sweep
    from nnbench.sweeps.notebook import observer

    return run_sweep(compose_all(_words(overrides)), new_name(), observer(), Asked(fresh))


def runs(results: Folder = "results", *, all: bool = False) -> pd.DataFrame:
    """Return every recorded run of a results folder, oldest first, a row each by run_id.

    Columns: name, status, backend, architecture, batch_size, seed, the figures of the kept epoch
    (accuracies from 0 to 1) and epoch_seconds (training time, the median of all epochs but the
    first). `all` adds created, the configuration (dotted), parameters, the other figures and the
    phases (seconds).
    """
    from nnbench.records.folder import read_runs
    from nnbench.records.frame import frame

    return frame(read_runs(Path(results)), every=all)


def report(words: Words = (), results: Folder = "results", **asked: Any) -> Report:
    """Compare the recorded runs that fit `words`, as `nnbench report WORDS...` does.

    `asked` are `uri`, `experiment`, `sweep`, `baseline` and `title`.
    """
    from nnbench.reporting import asking
    from nnbench.sweeps.notebook import observer

    with observer().work("report") as work:
        return asking.report(_words(words), Path(results), tell=work, **asked)


def explain(
    first: str | RunResult,
    last: str | RunResult,
    overrides: Words = (),
    *,
    seeds: int | Sequence[int] = 1,
    results: Folder = "results",
) -> Explanation:
    """Say why two runs differ, as `nnbench explain A B` does, running what is missing.

    `seeds`: how many, counted from the first's, or which.
    """
    from nnbench.reporting.explain import asking
    from nnbench.sweeps.notebook import observer

    return asking.explain(first, last, _words(overrides), seeds, Path(results), observer())


def diagnose(
    a: Any,
    b: Any,
    overrides: Words = (),
    *,
    seeds: int = 3,
    results: Folder = "results",
) -> Diagnosis:
    """Say why two programs give different results, as `nnbench diagnose A B` does.

    Each is `FILE:FUNCTION`, `(model, optimizer, loss)` of PyTorch, perhaps with a scheduler, a
    compiled Keras model, or, one of them, a recorded run or a configuration in one string. Objects
    stay as they are. Raises NNBenchError, one line, for what cannot be read at all.
    """
    from nnbench.reporting.diagnosis.asking import ask
    from nnbench.sweeps.notebook import observer

    folder = Path(results) / "diagnose"
    return ask(a, b, _words(overrides), seeds, Path(results), folder, observer())


def parity(overrides: Words = ()) -> list[Certificate]:
    """Train backends side by side and judge whether they agree, as `nnbench parity` does."""
    from nnbench.sweeps.notebook import observer
    from nnbench.sweeps.side_by_side import agreements

    with observer().work("parity") as work:
        return [
            each for found in agreements(_words(overrides), work) for each in found.certificates
        ]


def claims(
    study: str | None = None,
    overrides: Words = (),
    *,
    seeds: int = 3,
    recorded: bool = False,
    results: Folder = "results",
) -> list[StudyAnswers]:
    """Answer the claims of `study`, of all studies without one, as `nnbench claims` does.

    Runs what is missing; with `recorded` nothing, so that what is missing stays unanswered.
    """
    from nnbench.reporting.claims.asking import ask
    from nnbench.sweeps.notebook import observer

    words = [*_words(overrides), f"results={results}"]
    return list(ask([study] if study else [], words, seeds, recorded, observer()).studies)


def _words(given: Words) -> list[str]:
    """Return overrides as a command line has them. Raises ConfigError for what are none."""
    from nnbench.config.words import split
    from nnbench.errors import ConfigError

    words = split(given) if isinstance(given, str) else [*given]
    for word in words:
        if not isinstance(word, str):
            raise ConfigError(f"Received {word!r}; overrides are texts, as 'batch_size=32'")
    return words
