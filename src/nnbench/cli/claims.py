"""`nnbench claims`: what the publications claim, measured here, with a verdict each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nnbench.record import RunResult
    from nnbench.report.claims import Answer, Claim
    from nnbench.report.expression import Figures

MACHINE = ("processor", "cores", "GPU", "BLAS kernel", "system")


@click.command(
    help="Run what is missing of the published comparisons and print, claim by claim: published, "
    "measured, verdict. WORDS are studies (all without any) and overrides for every case, as in "
    "`nnbench claims create_nn_from_numpy epochs=10`."
)
@click.argument("words", nargs=-1)
@click.option("--seeds", default=3, show_default=True, help="how many seeds: 0, 1, ...")
@click.option("--recorded", is_flag=True, help="run nothing, use what is recorded")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="write Markdown too")
def command(words: Sequence[str], seeds: int, recorded: bool, out: Path | None) -> int:
    """Answer the claims of the studies named; exits 1 where a run failed."""
    from rich.console import Console

    from nnbench.catalogue import read_study, studies
    from nnbench.errors import ConfigError, ResultsError
    from nnbench.identity import LEFT_OUT
    from nnbench.report.claims import answer, read_claims
    from nnbench.report.claims_text import StudyAnswers, claims_markdown, claims_text
    from nnbench.schema import suggest

    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    known, overrides = studies(), [word for word in words if "=" in word]
    chosen = [word for word in words if "=" not in word]
    for name in chosen:
        if name not in known:
            hint = suggest(name, known)
            raise ConfigError(f"Received study {name}; there is {', '.join(known)}{hint}")
    if out is not None and out.suffix != ".md":
        raise ConfigError(f"Received --out {out}; its name must end in .md.")
    found, where, failures = [], [], 0
    console = Console()
    for name in chosen or known:
        study = read_study(name)
        claims = read_claims(name, study)
        figures, runs, failed = _figures(name, study, claims, overrides, seeds, recorded, console)
        failures += failed
        answers: list[Answer] = [answer(claim, figures) for claim in claims]
        told = f"seeds {', '.join(map(str, sorted(figures)))}" if runs else f"{len(figures)} rounds"
        deciding = [word for word in overrides if word.split(".")[0].split("=")[0] not in LEFT_OUT]
        told += f", with {' '.join(deciding)}: not as published" if deciding else ""
        found.append(StudyAnswers(name, study["title"], study["question"], told, tuple(answers)))
        where += runs
    console.print(claims_text(found))
    if out is not None:
        asked = " ".join(["nnbench claims", *words, *([f"--seeds {seeds}"] if seeds != 3 else [])])
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(claims_markdown(found, _environment(where), asked), encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"Cannot write --out {out}: {error.strerror}.") from None
        click.echo(out)
    return 1 if failures else 0


def _figures(
    name: str,
    study: Any,
    claims: Sequence[Claim],
    overrides: Sequence[str],
    seeds: int,
    recorded: bool,
    console: Any,
) -> tuple[dict[int, Figures], list[RunResult], int]:
    """Return the figures of a study's cases by seed (or round), its runs, how many failed."""
    from nnbench.cli.sweep import run_sweep
    from nnbench.compose import compose
    from nnbench.errors import MissingPackage
    from nnbench.record import read_runs
    from nnbench.report.claims import by_seed, cases_of_claims
    from nnbench.session import check_packages

    if "operations" in study:
        return _operations(name, study, overrides, recorded), [], 0
    cells = []
    for seed in range(seeds):
        for case in cases_of_claims(claims):
            cell = compose([f"experiment={name}/{case}", f"seed={seed}", *overrides])
            try:
                check_packages(cell.config)
            except MissingPackage as error:
                if seed == 0:
                    console.print(f"left out: {name}/{case}: {error}", markup=False)
                continue
            cells.append(cell)
    runs: list[RunResult] = []
    if not cells:
        return {}, runs, 0
    if recorded:
        runs = read_runs(Path(cells[0].config.results))
        wanted = {cell.config.case for cell in cells}
        runs = [run for run in runs if run.config.get("case") in wanted]
        return by_seed(name, runs), runs, 0
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    console.print(f"[b]{name}[/b]: {len(cells)} runs")
    failures = run_sweep(cells, f"claims-{name}-{stamp}", console, runs)
    return by_seed(name, runs), runs, failures


def _operations(
    name: str, study: Any, overrides: Sequence[str], recorded: bool
) -> dict[int, Figures]:
    """Return the seconds of each operation by round and backend."""
    from nnbench.cli.ops import measured_once

    times = measured_once(name, study, overrides, recorded)
    rounds = min((len(v) for by in times.values() for v in by.values()), default=0)
    return {
        i: {backend: {op: v[i] for op, v in by.items()} for backend, by in times.items()}
        for i in range(rounds)
    }


def _environment(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    from nnbench.report.notes import environment

    return environment(runs) if runs else []
