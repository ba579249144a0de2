"""`nnbench explain A B`: walk from one run to another, and say which change explains what."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nnbench.config.run import Cell
    from nnbench.records.run import RunResult
    from nnbench.reporting.explain.bridge import Bridge, Values
    from nnbench.reporting.explain.explanation import Gap

QUIET = {"name": "local", "uri": None, "experiment": "explain", "system_metrics": False}
Runs = dict[str, "RunResult"]  # by what decides them


@click.command(
    help="Say why two runs differ: walk from A to B one change at a time, in two orders, run what "
    "is missing, and tell how much of the gap in accuracy and time each change explains. A and B "
    "are recorded runs (name, id or folder), cases (STUDY/CASE) or overrides in quotes, as in "
    '`nnbench explain "loss=bce" "loss=mse backend=torch"`. OVERRIDES apply to both.'
)
@click.argument("first", metavar="A")
@click.argument("last", metavar="B")
@click.argument("overrides", nargs=-1)
@click.option("--seeds", default=1, show_default=True, help="how many seeds, counted from A's")
@click.option("--results", default="results", show_default=True, help="the results folder")
@click.option("--out", type=click.Path(path_type=Path), help="folder  [default: RESULTS/explain]")
def command(
    first: str, last: str, overrides: Sequence[str], seeds: int, results: str, out: Path | None
) -> int:
    """Run the bridge between A and B and explain the gaps; see `nnbench.reporting.explain`."""
    from nnbench.config.installation import need
    from nnbench.errors import ConfigError
    from nnbench.reporting.explain.bridge import bridge, changes, is_possible
    from nnbench.sweeps.plan import check

    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    ends = [copy.deepcopy(_values(word, overrides, results)) for word in (first, last)]
    if seeds > 1:
        ends[1]["seed"] = ends[0]["seed"]
    for values in ends:
        values |= {"results": results, "tracking": QUIET, "parity": False, "case": None}
        values |= {key: ends[0][key] for key in ("launcher", "order", "on_error", "search")}
        values["name"] = None
    found = changes(ends[0], ends[1])
    if not found:
        click.echo(f"{first} and {last} are one configuration: there is nothing to explain.")
        return 0
    if [change.name for change in found] == ["backend"] and ends[0]["semantics"] == "matched":
        return _agreement(ends)
    need("nnbench explain", "matplotlib")  # before everything is run
    way = bridge(ends[0], ends[1], is_possible(check))
    base = ends[0]["seed"]
    runs = _run(way, range(base, base + seeds))
    gaps = _gaps(way, runs, base, seeds)
    _show(first, last, gaps, out or Path(results) / "explain")
    return 0


def _values(word: str, overrides: Sequence[str], results: str) -> dict[str, Any]:
    """Return the configuration that `word` names. Raises ConfigError or ResultsError."""
    import shlex

    from nnbench.config.composition import compose
    from nnbench.config.studies import experiments
    from nnbench.errors import ConfigError
    from nnbench.records.lookup import find_run, recorded

    if word in experiments():
        return compose([f"experiment={word}", *overrides]).values
    if "=" in word and find_run(word, Path(results)) is None:
        return compose([*shlex.split(word), *overrides]).values
    run = recorded(word, Path(results))
    if overrides:
        raise ConfigError(
            f"Received {' '.join(overrides)} with the recorded run {word}; overrides apply to "
            "cases and quoted overrides."
        )
    return run.config


def _run(way: Bridge, seeds: Sequence[int]) -> Runs:
    """Run what is not finished yet of the bridge; return the runs by what decides them."""
    from datetime import datetime

    from rich.console import Console

    from nnbench.cli.sweep import check_all_ran, run_sweep
    from nnbench.records.identity import deciding
    from nnbench.reporting.explain.bridge import cell

    cells: dict[str, Cell] = {}
    for seed in seeds:
        for words, steps, path in (
            ("with", way.changes, way.forward),
            ("opposite, with", way.opposite, way.backward),
        ):
            said = ["start", *(f"{words} {step.name}" for step in steps)]
            said[-1] = "end"
            for i, (text, values) in enumerate(zip(said, path, strict=True)):
                name = f"{i}/{len(steps)} {text}" + (f" s{seed}" if len(seeds) > 1 else "")
                each = cell(_seeded(values, seed, len(seeds)), name)
                cells.setdefault(deciding(each.values), each)
    console = Console()
    runs: list[RunResult] = []
    console.print(f"{len(way.changes)} changes, {len(cells)} runs in two orders", highlight=False)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    failures = run_sweep(list(cells.values()), f"explain-{stamp}", console, runs)
    check_all_ran(len(cells), failures, runs)
    return {deciding(run.config): run for run in runs}


def _seeded(values: Values, seed: int, seeds: int) -> dict[str, Any]:
    """Return `values` with `seed`, where several are asked for."""
    return dict(values) | ({"seed": seed} if seeds > 1 else {})


def _gaps(way: Bridge, runs: Runs, base: int, seeds: int) -> list[Gap]:
    from nnbench.records.identity import deciding
    from nnbench.reporting.explain.bridge import cell
    from nnbench.reporting.explain.explanation import average, gap

    texts = {change.name: change.text for change in way.changes}
    regression = way.forward[0]["task"] == "regression"
    figures = (
        ("test loss" if regression else "test accuracy", False),
        ("time per epoch", True),
    )
    found = []
    for name, ratio in figures:
        by_seed = []
        for seed in range(base, base + seeds):
            walks = []
            for steps, path in ((way.changes, way.forward), (way.opposite, way.backward)):
                met = [runs[deciding(cell(_seeded(v, seed, seeds)).values)] for v in path]
                names = ["", *(step.name for step in steps)]
                walks.append([(n, _figure(run, name)) for n, run in zip(names, met, strict=True)])
            by_seed.append(gap(name, walks[0], walks[1], texts, ratio=ratio))
        found.append(average(by_seed))
    return found


def _figure(run: RunResult, name: str) -> float:
    """Return a figure of a run. Raises RunFailed where it has none."""
    from nnbench.errors import RunFailed

    if name == "time per epoch":
        assert run.epoch_seconds is not None
        return run.epoch_seconds
    kept = run.kept or run.epochs[-1]
    value = kept.test_accuracy if name == "test accuracy" else kept.test_loss
    if value is None:
        raise RunFailed(f"{run.name} diverged: it has no {name} to explain ({run.directory}).")
    return value


def _show(first: str, last: str, gaps: Sequence[Gap], folder: Path) -> None:
    from rich.console import Console

    from nnbench.errors import ResultsError
    from nnbench.reporting.explain.explanation import as_markdown, explanation
    from nnbench.reporting.explain.waterfall import waterfall

    title = f"From {first} to {last}"
    Console().print(explanation(title, gaps))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "explain.md").write_text(as_markdown(title, gaps), encoding="utf-8")
        for each in gaps:
            figure = waterfall(each)
            for suffix in ("svg", "png"):
                figure.savefig(folder / f"{each.figure.replace(' ', '_')}.{suffix}", dpi=150)
    except OSError as error:
        raise ResultsError(f"Cannot write {folder}: {error.strerror}; choose --out.") from None
    click.echo(f"\n{folder / 'explain.md'}, with waterfall plots beside it")


def _agreement(ends: Sequence[Values]) -> int:
    """Say whether two backends part on one configuration, and where: step and layer."""
    from nnbench.cli.parity import certify
    from nnbench.reporting.explain.bridge import cell

    click.echo("They differ in the backend alone. Do their weights part?")
    return certify([cell(values) for values in ends])
