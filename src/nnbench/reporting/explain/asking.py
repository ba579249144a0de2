"""Asking why two runs differ: the bridge between them is run, and its figures are explained."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose, of_record
from nnbench.config.installation import lacking
from nnbench.config.studies import experiments
from nnbench.config.words import split
from nnbench.errors import ConfigError, ResultsError
from nnbench.records.identity import deciding
from nnbench.records.lookup import is_recorded, recorded
from nnbench.records.run import RunResult
from nnbench.reporting.explain.bridge import bridge, cell, is_possible
from nnbench.reporting.explain.change import Change, Values, changes
from nnbench.reporting.explain.explanation import Gap
from nnbench.reporting.explain.native import Crossing, across, crosses
from nnbench.reporting.explain.recorded import ended, on_record, repeated, said_first
from nnbench.reporting.explain.unnamed import unnamed
from nnbench.reporting.explain.walk import Figures, gaps, run_plain, run_way, seeded, words
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import check
from nnbench.sweeps.side_by_side import Agreement, certify
from nnbench.writing import staged

QUIET = {"name": "local", "uri": None, "experiment": "explain", "system_metrics": False}
SHARED = ("launcher", "order", "on_error", "search")  # by both ends, and of no effect
End = tuple[str, RunResult | None, dict[str, Any]]  # name, record if it is one, settings


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why `first` and `last` differ: their `changes`, and what each does to every figure (`gaps`).

    Without changes the two are one configuration. Where the backend alone differs, in matched
    semantics, there is an `agreement` too: the two are certified. `cautions` come before all of it:
    recorded figures, what records say besides settings, ends that cannot be repeated, and what has
    no name.
    """

    first: str
    last: str
    changes: tuple[Change, ...] = ()
    gaps: tuple[Gap, ...] = ()
    agreement: Agreement | None = None
    cautions: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return from where to where."""
        return f"From {self.first} to {self.last}"

    def sentences(self) -> list[str]:
        """Say what explains the gaps, and what does not."""
        certificates = self.agreement.certificates if self.agreement is not None else ()
        told = (text for each in self.gaps for text in each.sentences())
        return [*self.cautions, *told, *map(str, certificates)]

    def markdown(self, plots: Mapping[str, str] | None = None) -> str:
        """Return the explanation as Markdown, with both orders; `plots` are files, by figure."""
        from nnbench.reporting.explain.page import as_markdown

        title, _, rest = as_markdown(self.title, self.gaps, plots).partition("\n")
        return "\n".join([title, *(f"\n{line}" for line in self.cautions), rest])

    def write(self, folder: Path, tell: Tell = nobody) -> Path:
        """Write a page, Markdown and a waterfall of each gap into `folder`; return the page.

        Without matplotlib there are no plots.
        """
        from nnbench.reporting.explain.page import page, write_waterfalls

        try:
            with staged(folder) as new:
                drawn = not lacking("A waterfall plot", "matplotlib")
                plots = write_waterfalls(self.gaps, new, tell) if drawn else {}
                names = {figure: f"{plot.name}.svg" for figure, plot in plots.items()}
                (new / "explain.md").write_text(self.markdown(names), encoding="utf-8")
                certificates = self.agreement.certificates if self.agreement is not None else ()
                text = page(
                    self.title, self.cautions, self.gaps, plots, list(map(str, certificates))
                )
                (new / "explain.html").write_text(text, encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise ResultsError(f"Cannot write {folder}: {why}; choose --out.") from None
        return folder / "explain.html"

    def _repr_markdown_(self) -> str:
        """Return the explanation as Markdown, for notebooks."""
        return self.markdown()

    def __repr__(self) -> str:
        names = ", ".join(change.name for change in self.changes) or "nothing"
        return f"<Explanation {self.title}: {names}>"


def explain(
    first: str | RunResult,
    last: str | RunResult,
    overrides: Sequence[str] = (),
    seeds: int | Sequence[int] = 1,
    results: Path = Path("results"),
    observer: Observer | None = None,
) -> Explanation:
    """Walk from `first` to `last` one change at a time, in two orders, running what is missing.

    Each is a run on record (also by name, id or folder), a case (STUDY/CASE) or overrides in one
    string; `overrides` apply to cases and overrides. `seeds`: how many, counted from the first's,
    or which, as `seed=0,1,2` among the overrides names them.
    """
    overrides, seeds = _seeds(overrides, seeds)
    observer = observer or Observer()
    ends = _ends((first, last), overrides, seeds, results)
    records = [(name, run) for name, run, _ in ends if run is not None]
    said = [*said_first(records), *on_record(records)]
    for line in said:
        observer.say(line)
    (start, _, a), (end, _, b) = ends
    found = Explanation(start, end, tuple(changes(a, b)), cautions=tuple(said))
    if not found.changes:
        return found
    chosen = list(seeds) if not isinstance(seeds, int) else [a["seed"] + i for i in range(seeds)]
    found = _walked(found, ends, chosen, observer)
    if [change.name for change in found.changes] != ["backend"] or a["semantics"] != "matched":
        return found
    observer.say("They differ in the backend alone: checking whether their weights diverge.")
    with observer.work("parity") as work:
        return replace(found, agreement=certify([cell(a), cell(b)], work))


def _walked(
    found: Explanation, ends: Sequence[End], seeds: Sequence[int], observer: Observer
) -> Explanation:
    """Return the explanation with its gaps, once the way between the ends is run."""
    (_, _, a), (_, _, b) = ends
    crossing = _crossing(a, b, seeds, observer)
    way = bridge(a, b, is_possible(check)) if crossing is None else crossing.way
    runs = run_way(way, seeds, observer)
    proofs = crossing.proofs if crossing is not None else ()
    nameless = unnamed(proofs, partial(_proved, observer=observer))
    late = [*nameless, *_late(ends, runs, seeds)]
    for line in late:
        observer.say(line)
    explained = gaps(way, runs, seeds, words(way, crossing, bool(nameless)))
    cautions = (*found.cautions, *late)
    return replace(found, changes=way.named, gaps=tuple(explained), cautions=cautions)


def _seeds(
    overrides: Sequence[str], seeds: int | Sequence[int]
) -> tuple[list[str], int | list[int]]:
    """Return the overrides without `seed=0,1,2`, and the seeds. Raises ConfigError."""
    listed = [word for word in overrides if re.fullmatch(r"seed=\d+(,\d+)+", word)]
    rest = [word for word in overrides if word not in listed]
    if isinstance(seeds, int) and seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    if not listed:
        return rest, seeds if isinstance(seeds, int) else list(seeds)
    if len(listed) > 1 or seeds != 1:
        also = f"--seeds {seeds}" if seeds != 1 else listed[1]
        raise ConfigError(f"Received {listed[0]} and {also}; name the seeds once.")
    named = list(dict.fromkeys(map(int, listed[0].removeprefix("seed=").split(","))))
    return (rest, named) if len(named) > 1 else ([*rest, f"seed={named[0]}"], 1)


def _crossing(a: Values, b: Values, seeds: Sequence[int], observer: Observer) -> Crossing | None:
    """Return the way by formulas where a framework's own are at work; None where there is none."""
    if not crosses(a, b):
        return None
    try:
        ends = [seeded(values, seeds[0], seeds) for values in (a, b)]
        runs = run_plain(ends, ("start", "end"), observer)
        return across(a, b, (runs[0], runs[1]), is_possible(check))
    except ConfigError as error:
        observer.say(f"Formulas cannot be told apart here: {error}")
        return None


def _proved(configurations: Sequence[Values], observer: Observer) -> list[RunResult]:
    """Run pairs of a framework's own run and one with its formulas written out."""
    names = ["check, own code", "check, written out"] * (len(configurations) // 2)
    return run_plain(configurations, names, observer)


def _ends(
    words: Sequence[str | RunResult],
    overrides: Sequence[str],
    seeds: int | Sequence[int],
    results: Path,
) -> list[End]:
    """Return both ends: how to call them, their records where they have some, their settings.

    Raises ConfigError or ResultsError.
    """
    found: list[End] = []
    for word in words:
        run = _record(word, overrides, results)
        values = of_record(run.config) if run is not None else _composed(str(word), overrides)
        name = word.name if isinstance(word, RunResult) else word
        found.append((name, run, copy.deepcopy(values)))
    first = found[0][2]
    same = {"results": str(results), "tracking": QUIET, "parity": False, "case": None, "name": None}
    same |= {key: first[key] for key in SHARED} | ({"seed": first["seed"]} if seeds != 1 else {})
    return [(name, run, values | same) for name, run, values in found]


def _late(ends: Sequence[End], runs: Figures, seeds: Sequence[int]) -> list[str]:
    """Say which ends, now that they are run, diverged or have other figures than on record."""
    found = []
    for name, run, values in ends:
        for s in seeds:
            now = runs[deciding(cell(seeded(values, s, seeds)).values)]
            if run is None or now.run_id != run.run_id:
                ending = ended(now)
                found += [f"{name} {ending}."] if ending else []
            if run is not None and (other := repeated(name, run, now)):
                found.append(other)
    return found


def _record(word: str | RunResult, overrides: Sequence[str], results: Path) -> RunResult | None:
    """Return the run on record that `word` names, None for a case or overrides.

    Raises ConfigError or ResultsError.
    """
    if isinstance(word, RunResult):
        run = word
    elif word in experiments() or ("=" in word and not is_recorded(word, results)):
        return None
    else:
        run = recorded(word, results)
    if overrides:
        raise ConfigError(
            f"Received {' '.join(overrides)} with the recorded run {run.shown}; overrides apply to "
            "cases and quoted overrides."
        )
    return run


def _composed(word: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a case or of overrides. Raises ConfigError."""
    typed = [f"experiment={word}"] if word in experiments() else split(word)
    for each in (*typed, *overrides):
        if each.startswith("results="):
            raise ConfigError(
                f"Received {each} within {word!r}; both ends share one results folder: nnbench "
                "explain A B results=DIR."
            )
    return compose([*typed, *overrides]).values
