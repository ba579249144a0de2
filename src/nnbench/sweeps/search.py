"""A search, trial after trial: what Optuna asks for is run as a sweep, and told to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from nnbench.config.launcher import Parallel, Slurm
from nnbench.config.run import Cell
from nnbench.config.space import Question
from nnbench.errors import Stopped
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.cells import AS_USUAL, Asked, checked_plan
from nnbench.sweeps.launchers.pool import places
from nnbench.sweeps.loop import Sweeping, open_sweep
from nnbench.sweeps.observer import Observer, Outlook
from nnbench.sweeps.trials import Search, Trial

MOST_AT_ONCE = 8  # trials that know nothing of each other
Compose = Callable[[Sequence[str]], Cell]


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What came of a search: its trials that have an end, the best first, of `wanted`.

    `monitor` is the figure that decides; `signal` is what stopped it (None: nothing did).
    """

    name: str
    monitor: str
    wanted: int
    trials: tuple[Trial, ...]
    signal: int | None = None

    def check(self) -> None:
        """Raise Stopped where a signal stopped it."""
        if self.signal is not None:
            raise Stopped(self.signal, max(1, self.wanted - len(self.trials)))

    def __repr__(self) -> str:
        best = f", best {self.monitor} {self.trials[0].value}" if self.trials else ""
        return f"<SearchResult {self.name}: {len(self.trials)} of {self.wanted} trials{best}>"


def run_search(
    compose: Compose,
    question: Question,
    sweep: str,
    observer: Observer | None = None,
    asked: Asked = AS_USUAL,
) -> SearchResult:
    """Make the trials that are not made yet.

    The space is searched by Optuna; every trial runs what is fixed with each combination of the
    grid (as several seeds), and counts by their mean.
    """
    observer = observer or Observer()
    fixed, grid = question.fixed, question.grid
    config = compose([*fixed, *(words[0] for words in grid)]).config
    words = [*fixed, *(word for words in grid for word in words)]
    search = Search(config.search, question.space, words, config.monitor, Path(config.results))
    wanted = config.search.trials or 0
    observer.say(f"{search.name}: {search.done} of {wanted} trials done, by {config.monitor}")
    repeats = list(product(*grid))
    observer.expect(Outlook(max(0, wanted - search.done) * len(repeats)))
    try:
        with open_sweep(config, sweep, observer, fixed, tracked=True) as sweeping:
            while search.done < wanted and not sweeping.stopping():
                count = _at_once(compose, fixed, repeats, wanted - search.done)
                _make(search, sweeping, lambda w: compose([*fixed, *w]), repeats, count, asked)
        trials = tuple(search.trials())
    finally:
        search.close()
    return SearchResult(search.name, search.monitor, wanted, trials, sweeping.interrupts.signal)


def _at_once(
    compose: Compose, fixed: Sequence[str], repeats: Sequence[Sequence[str]], most: int
) -> int:
    """Return how many of `most` trials there are places for."""
    sample = compose([*fixed, *repeats[0]])
    launcher = sample.config.launcher
    if isinstance(launcher, Slurm):
        return min(launcher.at_once, MOST_AT_ONCE, most)
    if isinstance(launcher, Parallel):
        found = len(places(launcher, [sample] * most * len(repeats))) // len(repeats)
        return min(max(1, found), most)
    return 1


def _make(
    search: Search,
    sweeping: Sweeping,
    compose: Compose,
    repeats: Sequence[Sequence[str]],
    count: int,
    asked: Asked,
) -> None:
    """Make `count` trials, their runs in one sweep."""
    asked_for = [search.ask() for _ in range(count)]
    cells = [[compose([*words, *more]) for more in repeats] for _, words in asked_for]
    flat = [cell for group in cells for cell in group]
    planner, _ = checked_plan(flat, asked)
    sweeping.run(flat, planner)
    sweeping.settle()
    if sweeping.interrupts.asked:  # what is under way is asked for again, first
        return
    for (trial, _), group in zip(asked_for, cells, strict=True):
        runs = sweeping.runs(group)
        search.tell(trial, runs if len(runs) == len(group) else [])
