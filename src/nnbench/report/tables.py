"""Tables for the terminal: one run's summary, a sweep's comparison, a listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from nnbench import weights
from nnbench.certificate import label, pair_key, sentences
from nnbench.errors import NNBenchError
from nnbench.record import RunResult
from nnbench.report.layers import layer_table
from nnbench.switches import forced_kernels

Cells = list[tuple[str, Callable[[RunResult], str]]]


def percent(value: float | None) -> str:
    """Format a share from 0 to 1 as per cent."""
    return "-" if value is None else f"{100 * value:.2f}%"


def number(value: float | None) -> str:
    """Format a loss or difference."""
    return "-" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Format seconds with the unit that suits."""
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} us"
    return f"{1e3 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def memory(count: float) -> str:
    """Format bytes as the most that a process had in memory."""
    return f"{count / 2**20:,.0f} MiB at most"


def summary(run: RunResult) -> Group:
    """Return the summary of one run: what it was, its figures, its time, where it is kept."""
    config = run.config
    table = Table(
        title=f"{run.name}: {run.status}", title_justify="left", show_header=False, box=box.SIMPLE
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    samples = run.data["samples"]
    backend = config["backend"]
    rows = [
        ("backend", f"{backend['name']} ({_how(backend)}), {run.semantics}"),
        ("net", f"{run.architecture}, {run.parameters:,} parameters"),
        ("data", f"{run.data['name']}, {samples['train']:,} to train, {samples['test']:,} to test"),
        ("training", _training(run)),
    ]
    if run.kept:
        rows += _figures(run)
    rows += [
        ("epoch time", f"{duration(run.epoch_seconds)} (median of {len(run.epochs)})"),
        ("run time", _ledger(run)),
        *([("memory", memory(run.peak_memory_bytes))] if run.peak_memory_bytes else []),
        ("results", str(_short(run.directory))),
    ]
    for name, value in rows:
        table.add_row(name, value)
    notes = [*run.flags, *_forced_kernels([run])]
    if run.status == "finished" and run.message:
        notes.insert(0, run.message)
    if run.status == "diverged":
        notes.append(
            f"The loss was no longer finite in epoch {run.epochs[-1].epoch + 1}; "
            "a smaller learning rate or init.scale may help."
        )
    parts: list[Any] = [table, layer_table(run.layers)] if run.layers else [table]
    return Group(*parts, *(f"note: {note}" for note in notes))


def _how(backend: dict[str, Any]) -> str:
    engine = backend.get("engine")
    return backend["execution"] + (f" on {engine}" if engine not in (None, "tensorflow") else "")


def _training(run: RunResult) -> str:
    config = run.config
    loss = config["loss"]
    over = "" if loss["name"] == "cross_entropy" else f" ({loss['over_outputs']} over outputs)"
    return (
        f"{loss['name']}{over}, {config['optimizer']['name']}, batch {config['batch_size']}, "
        f"{len(run.epochs)} epochs, {config['dtype']}, seed {config['seed']}"
    )


def _figures(run: RunResult) -> list[tuple[str, str]]:
    kept = run.kept
    assert kept is not None
    which = "" if kept is run.epochs[-1] else f" (kept: epoch {kept.epoch + 1})"
    rows = [("loss", f"train {number(kept.train_loss)}, test {number(kept.test_loss)}{which}")]
    if kept.test_accuracy is not None:
        rows.append(
            (
                "accuracy",
                f"train {percent(kept.train_accuracy)}, test {percent(kept.test_accuracy)}",
            )
        )
        rows.append(("generalization gap", percent(kept.generalization_gap)))
    else:
        rows.append(("generalization gap", f"{number(kept.generalization_gap)} in loss"))
    return rows


def _ledger(run: RunResult) -> str:
    p = run.phases
    parts = {
        "start": p.import_seconds,
        "data and build": p.data_seconds + p.build_seconds,
        "warm-up": p.warm_up_seconds,
        "training": p.train_seconds,
        "evaluation": p.evaluate_seconds,
        "records": p.track_seconds,
        "unattributed": p.unattributed_seconds,
    }
    listed = ", ".join(f"{name} {duration(value)}" for name, value in parts.items())
    return f"{duration(p.wall_seconds)}: {listed}"


def comparison(runs: Sequence[RunResult]) -> Group:
    """Return one table over the runs of a sweep, grouped by semantics, with differences.

    Runs of different semantics are never in one table. The last column is the largest difference
    of any weight from the first backend's run of the same configuration.
    """
    by_semantics: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        by_semantics[run.semantics].append(run)
    parts: list[Any] = []
    for semantics, group in by_semantics.items():
        parts += [_comparison_table(group, semantics), *_agreement(group)]
    notes = [*flag_notes(runs), *_forced_kernels(runs)]
    return Group(*parts, *(f"note: {note}" for note in notes))


def flag_notes(runs: Sequence[RunResult]) -> list[str]:
    """Return the flags of `runs`, each with the runs that it is about."""
    flags = dict.fromkeys(flag for run in runs for flag in run.flags)
    return [f"{', '.join(r.name for r in runs if flag in r.flags)}: {flag}" for flag in flags]


def _forced_kernels(runs: Sequence[RunResult]) -> list[str]:
    """Say which environment variables chose the kernels that were timed."""
    found = {name for run in runs for name in forced_kernels(run.machine.get("environment", {}))}
    if not found:
        return []
    return [
        f"times are those of {', '.join(sorted(found))}, not of this processor (nnbench doctor)"
    ]


def _comparison_table(runs: Sequence[RunResult], semantics: str) -> Table:
    title = f"{len(runs)} run{'s' * (len(runs) > 1)}, {semantics} semantics"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    regression = all(r.kept is None or r.kept.test_accuracy is None for r in runs)
    table.add_column("run", overflow="fold", min_width=12)
    for name in ["status"] * any(r.status != "finished" for r in runs):
        table.add_column(name)
    figures = _loss_cells() if regression else _accuracy_cells()
    figures += [("epoch", lambda r: duration(r.epoch_seconds))]
    for name, _ in figures:
        table.add_column(name, justify="right")
    if semantics == "matched" and len({label(r) for r in runs}) > 1:
        table.add_column("dW", justify="right")
    first = _first_of_each(runs)
    for run in runs:
        row = [run.name]
        row += [run.status] if any(r.status != "finished" for r in runs) else []
        row += [cell(run) for _, cell in figures]
        if len(row) < len(table.columns):
            row.append(_difference(first[pair_key(run)], run))
        table.add_row(*row)
    return table


def _accuracy_cells() -> Cells:
    return [
        ("test acc", lambda r: percent(_kept(r, "test_accuracy"))),
        ("train acc", lambda r: percent(_kept(r, "train_accuracy"))),
        ("gap", lambda r: percent(_kept(r, "generalization_gap"))),
        ("test loss", lambda r: number(_kept(r, "test_loss"))),
    ]


def _loss_cells() -> Cells:
    return [
        ("test loss", lambda r: number(_kept(r, "test_loss"))),
        ("train loss", lambda r: number(_kept(r, "train_loss"))),
        ("gap", lambda r: number(_kept(r, "generalization_gap"))),
    ]


def _kept(run: RunResult, figure: str) -> float | None:
    return getattr(run.kept, figure) if run.kept else None


def _first_of_each(runs: Sequence[RunResult]) -> dict[str, RunResult]:
    first: dict[str, RunResult] = {}
    for run in runs:
        first.setdefault(pair_key(run), run)
    return first


def _difference(a: RunResult, b: RunResult) -> str:
    """Return the largest difference of any weight of two runs."""
    if a is b:
        return "-"
    found = weight_difference(a, b)
    return "-" if found is None else f"{found:.1e}"


def weight_difference(a: RunResult, b: RunResult) -> float | None:
    """Return the largest absolute difference of the kept weights, None where there are none."""
    try:
        assert a.directory is not None
        assert b.directory is not None
        return weights.largest_difference(
            weights.load_weights(a.directory), weights.load_weights(b.directory)
        )
    except NNBenchError:
        return None


def _agreement(runs: Sequence[RunResult]) -> list[str]:
    """Say in words how far the backends agree, where they were matched.

    Certificates speak for themselves; without them, the largest difference of any weight does.
    """
    certified = sentences([run for run in runs if run.parity])
    first = _first_of_each(runs)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        reference = first[pair_key(run)]
        if run.parity or run.semantics != "matched" or label(reference) == label(run):
            continue
        difference = weight_difference(reference, run)
        if difference is not None:
            found[f"{label(reference)} and {label(run)}"].append(difference)
    return certified + [
        f"{pair}: same initial weights, order and loss; after training no weight differs by more "
        f"than {max(values):.1e} (dW)."
        for pair, values in found.items()
    ]


def listing(runs: Sequence[RunResult]) -> Group:
    """Return a table of recorded runs, and what has to be known about them."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("created", "name", "status"):
        table.add_column(name)
    for name in ("epochs", "test accuracy", "test loss", "epoch time"):
        table.add_column(name, justify="right")
    table.add_column("id")
    for run in runs:
        table.add_row(
            run.created[:19].replace("T", " "),
            run.name,
            run.status,
            str(len(run.epochs)),
            percent(_kept(run, "test_accuracy")),
            number(_kept(run, "test_loss")),
            duration(run.epoch_seconds),
            run.run_id,
        )
    return Group(table, *(f"note: {note}" for note in flag_notes(runs)))


def _short(path: Path | None) -> Path | None:
    """Return `path` relative to the working directory where it lies below it."""
    if path is not None and path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd())
    return path
