"""`nnbench claims`: what the publications claim, measured here, with a verdict each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from nnbench.config.run import Cell
    from nnbench.records.run import RunResult
    from nnbench.reporting.claims.expression import Figures
    from nnbench.reporting.claims.text import StudyAnswers
    from nnbench.reporting.claims.verdicts import Claim

SEEDS = 3


@click.command(
    help="Run what is missing of the published comparisons and print, claim by claim: published, "
    "measured, verdict. WORDS are studies (all without any) and overrides for every case, as in "
    "`nnbench claims create_nn_from_numpy epochs=10`."
)
@click.argument("words", nargs=-1)
@click.option("--seeds", default=SEEDS, show_default=True, help="how many seeds: 0, 1, ...")
@click.option("--recorded", is_flag=True, help="run nothing, use what is recorded")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="write Markdown too")
def command(words: Sequence[str], seeds: int, recorded: bool, out: Path | None) -> int:
    """Answer the claims of the studies named; exits 1 where a run failed."""
    from rich.console import Console

    from nnbench.errors import ConfigError
    from nnbench.reporting.claims.text import claims_text

    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    if out is not None and out.suffix != ".md":
        raise ConfigError(f"Received --out {out}; its name must end in .md.")
    overrides = [word for word in words if "=" in word]
    asking = Asking(overrides, seeds, recorded, Console())
    studies = [asking.study(name) for name in _chosen(words)]
    asking.console.print(claims_text(studies))
    if out is not None:
        count = [] if seeds == SEEDS else [f"--seeds {seeds}"]
        _write(out, studies, asking.runs, " ".join(["nnbench claims", *words, *count]))
    return 1 if asking.failures else 0


def _chosen(words: Sequence[str]) -> list[str]:
    """Return the studies that `words` name, all without any. Raises ConfigError."""
    from nnbench.config.studies import studies
    from nnbench.errors import ConfigError
    from nnbench.schema import suggest

    known, chosen = studies(), [word for word in words if "=" not in word]
    for name in chosen:
        if name not in known:
            hint = suggest(name, known)
            raise ConfigError(f"Received study {name}; there is {', '.join(known)}{hint}")
    return chosen or list(known)


def _write(
    out: Path, studies: Sequence[StudyAnswers], runs: Sequence[RunResult], asked: str
) -> None:
    from nnbench.errors import ResultsError
    from nnbench.reporting.claims.text import claims_markdown
    from nnbench.reporting.comparison.notes import environment

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(claims_markdown(studies, environment(runs), asked), encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"Cannot write --out {out}: {error.strerror}.") from None
    click.echo(out)


@dataclass
class Asking:
    """What was asked for, and what has come of it: `runs` of all studies, `failures` among them."""

    overrides: Sequence[str]
    seeds: int
    recorded: bool
    console: Console
    runs: list[RunResult] = field(default_factory=list)
    failures: int = 0

    def study(self, name: str) -> StudyAnswers:
        """Run what is missing of a study, unless told not to, and answer its claims."""
        from nnbench.config.studies import read_study
        from nnbench.records.identity import LEFT_OUT
        from nnbench.reporting.claims.text import answer_study, seeds_told
        from nnbench.reporting.claims.verdicts import read_claims

        study = read_study(name)
        if "operations" in study:
            figures = self._operations(name, study)
            told = f"{len(figures)} rounds"
        else:
            figures = self._figures(name, read_claims(name, study))
            told = seeds_told(figures)
        changed = [word for word in self.overrides if re.split("[.=]", word)[0] not in LEFT_OUT]
        told += f", with {' '.join(changed)}: not as published" if changed else ""
        return answer_study(name, study, figures, told)

    def _figures(self, name: str, claims: Sequence[Claim]) -> dict[int, Figures]:
        """Return the figures of a study's cases by seed."""
        from nnbench.cli.sweep import run_sweep
        from nnbench.records.run import read_runs
        from nnbench.reporting.claims.verdicts import by_seed

        cells = self._cells(name, claims)
        if not cells:
            return {}
        runs: list[RunResult] = []
        if self.recorded:
            wanted = {cell.config.case for cell in cells}
            known = read_runs(Path(cells[0].config.results))
            runs = [run for run in known if run.config.get("case") in wanted]
        else:
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            self.console.print(f"[b]{name}[/b]: {len(cells)} runs")
            self.failures += run_sweep(cells, f"claims-{name}-{stamp}", self.console, runs)
        self.runs += runs
        return by_seed(name, runs)

    def _cells(self, name: str, claims: Sequence[Claim]) -> list[Cell]:
        """Return the runs that the claims are about; those whose packages are missing are told."""
        from nnbench.config.composition import compose
        from nnbench.errors import MissingPackage
        from nnbench.reporting.claims.verdicts import cases_of_claims
        from nnbench.sweeps.session import check_packages

        cells = []
        for case in cases_of_claims(claims):
            for seed in range(self.seeds):
                words = [f"experiment={name}/{case}", f"seed={seed}", "parity=false"]
                words += self.overrides
                cell = compose(words)
                try:
                    check_packages(cell.config)
                except MissingPackage as error:
                    if seed == 0:
                        self.console.print(f"left out: {case}: {error}", markup=False)
                    continue
                cells.append(cell)
        return cells

    def _operations(self, name: str, study: Any) -> dict[int, Figures]:
        """Return the seconds of each operation by round and backend."""
        from nnbench.cli.ops import measured_once

        times = measured_once(name, study, self.overrides, self.recorded)
        rounds = min((len(v) for by in times.values() for v in by.values()), default=0)
        return {
            i: {backend: {op: v[i] for op, v in by.items()} for backend, by in times.items()}
            for i in range(rounds)
        }
