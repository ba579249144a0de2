"""Searching settings with Optuna: what to try next, and what came of it; a search resumes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nnbench.config.installation import lacks
from nnbench.config.run import SearchConfig
from nnbench.config.space import Choice, Interval, Space
from nnbench.errors import ConfigError, NNBenchError, ResultsError
from nnbench.records.identity import LEFT_OUT
from nnbench.records.locks import Claim
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import Damage, opened, reason

DATABASE_NAME = "search.db"
REQUEUED = "requeued"
MOST_BYTES = 2**30  # a trial takes a few thousand


@dataclass(frozen=True)
class Trial:
    """One point of the space: its overrides, and the monitored figure (None: no number)."""

    number: int
    overrides: tuple[str, ...]
    value: float | None = None


class Search:
    """A study in `results`: `ask` for points, `tell` what their runs came to.

    `monitor` is the figure that decides; of several runs of one point (seeds) it is the mean.
    Raises MissingPackage without Optuna, ConfigError where another process is at this search or
    the space is none.
    """

    def __init__(
        self,
        settings: SearchConfig,
        space: Space,
        fixed: Sequence[str],
        monitor: str,
        results: Path,
    ) -> None:
        if not space:
            raise ConfigError(
                "Received search.trials and nothing to search; give some value a range, as in "
                "'schedule.lr=interval(0.01,1)', range(32,257,32) or choice(relu,tanh)."
            )
        optuna = _optuna()
        self.monitor, self.results = monitor, results
        self.most = monitor.endswith("accuracy")
        self._distributions = {key: _distribution(optuna, s) for key, s in space.items()}
        self.name = settings.name or _name(space, fixed, monitor)
        results.mkdir(parents=True, exist_ok=True)
        self._claim = Claim(
            results, f"search-{hashlib.sha256(self.name.encode()).hexdigest()[:16]}"
        )
        if not self._claim.take():
            raise ConfigError(
                f"Another process is already running the search {self.name} in {results}."
            )
        self._states = optuna.trial.TrialState
        try:
            with self._usable():
                self._open(optuna, settings)
        except BaseException:
            self.close()
            raise

    def _open(self, optuna: Any, settings: SearchConfig) -> None:
        path = self.results / DATABASE_NAME
        _check_sound(path)
        self.study = optuna.create_study(
            storage=f"sqlite:///{path.absolute().as_posix()}",
            study_name=self.name,
            direction="maximize" if self.most else "minimize",
            load_if_exists=True,
        )
        kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        # Another seed each time, or what was drawn before would be drawn again.
        self.study.sampler = kinds[settings.sampler](seed=settings.seed + len(self.study.trials))
        self._requeue()

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Make one line of what Optuna and SQLAlchemy raise over a damaged file."""
        try:
            yield
        except NNBenchError:
            raise
        except Exception as error:
            path = self.results / DATABASE_NAME
            raise ResultsError(
                f"{path} cannot be used ({reason(error)}). Move it away: the search then begins "
                "anew, and takes the runs that are on record."
            ) from None

    def close(self) -> None:
        """Let others at it."""
        self._claim.release()

    @property
    def done(self) -> int:
        """Return how many trials have an end, a number or none."""
        return len(self.trials())

    def ask(self) -> tuple[Any, tuple[str, ...]]:
        """Return a new trial and its overrides."""
        with self._usable():
            trial = self.study.ask(self._distributions)
            return trial, _overrides(trial.params)

    def tell(self, trial: Any, runs: Sequence[RunResult]) -> None:
        """Note the mean of the monitored figure, or that a run has no number for it."""
        values = [run.figure(self.monitor) for run in runs]
        finite = [v for v in values if v is not None and math.isfinite(v)]
        with self._usable():
            if finite and len(finite) == len(values):
                self.study.tell(trial, fmean(finite))
            else:
                self.study.tell(trial, state=self._states.FAIL)

    def trials(self) -> list[Trial]:
        """Return the trials that have an end, the best first."""
        sign = -1.0 if self.most else 1.0
        with self._usable():
            ended = [
                Trial(t.number, _overrides(t.params), t.value)
                for t in self.study.trials
                if t.state.is_finished() and t.number not in self._requeued
            ]
            return sorted(ended, key=lambda t: math.inf if t.value is None else sign * t.value)

    def _requeue(self) -> None:
        """Put first what was under way when the process before this one died."""
        for trial in self.study.get_trials(deepcopy=False, states=(self._states.RUNNING,)):
            self.study.set_user_attr(REQUEUED, [*self._requeued, trial.number])
            self.study.enqueue_trial(trial.params)
            self.study.tell(trial.number, state=self._states.FAIL)

    @property
    def _requeued(self) -> list[int]:
        return list(self.study.user_attrs.get(REQUEUED, ()))


def _check_sound(path: Path) -> None:
    """Raise Damage, OSError or what SQLite raises where there is a database that is not whole."""
    if not os.path.lexists(path):
        return
    opened(path, MOST_BYTES).close()
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise Damage("it is damaged")


def _overrides(params: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in params.items())


def _distribution(optuna: Any, space: Interval | Choice) -> Any:
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.options)
    if space.whole:
        step = 1 if space.step is None else int(space.step)
        return optuna.distributions.IntDistribution(
            int(space.low), int(space.high), log=space.log, step=step
        )
    return optuna.distributions.FloatDistribution(
        space.low, space.high, log=space.log, step=space.step
    )


def _name(space: Space, fixed: Sequence[str], monitor: str) -> str:
    """Return a name that is the same for the same question."""
    asked = [word for word in fixed if word.partition("=")[0].split(".")[0] not in LEFT_OUT]
    text = json.dumps([{k: str(v) for k, v in space.items()}, sorted(asked), monitor])
    return f"search-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise lacks("search.trials", "optuna", "search") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
