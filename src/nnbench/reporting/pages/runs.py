"""A recorded run in the terminal, with all that is known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from nnbench.data.reading import sayings
from nnbench.formatting import (
    EPOCH_TIME,
    ONE_EPOCH,
    duration,
    memory,
    near,
    number,
    percent,
    sparkline,
)
from nnbench.records import contention
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.learning import hint
from nnbench.reporting.comparison.run_notes import forced_kernel_notes
from nnbench.reporting.pages.grid import fold, right
from nnbench.reporting.pages.layers import layer_table, optimizer_text


def summary(run: RunResult) -> Group:
    """Return the summary of one run: what it was, its figures, its time, where it is kept."""
    config = run.config
    table = Table(
        Column(style="bold"),
        fold(),
        title=f"{run.shown}: {run.status}",
        title_justify="left",
        show_header=False,
        box=box.SIMPLE,
    )
    samples = run.data.get("samples") or {}
    counts = ", ".join(f"{samples[k]:,} to {k}" for k in ("train", "test") if k in samples)
    backend = config["backend"]
    rows = [
        ("backend", f"{backend['name']} ({_how(backend)}), {run.semantics}"),
        ("net", f"{run.architecture}, {run.parameters:,} parameters"),
        ("data", f"{run.data.get('name', '?')}, {counts}"),
        *[
            ("read as", "; ".join(said))
            for said in [sayings(run.data.get("guessed") or {})]
            if said
        ],
        ("training", _training(run)),
        *_effective(run),
    ]
    if run.kept:
        rows += _figures(run)
    what = ONE_EPOCH if len(run.epochs) == 1 else EPOCH_TIME
    rows += [("epoch time", f"{duration(run.epoch_seconds)} ({what})"), ("run time", _ledger(run))]
    rows.append(("processor", contention.sentence(run)))
    if run.peak_memory_bytes:
        rows.append(("memory", f"{memory(run.peak_memory_bytes)} at the peak"))
    proved = standing(run).word
    rows.append(("certificate", proved or str((run.parity or {}).get("outcome"))))
    for name, value in rows:
        table.add_row(name, value)
    notes = [*map(str, run.flags), *forced_kernel_notes([run])]
    if reason := standing(run).reason:
        notes.insert(0, f"not ranked: {reason}")
    if run.status == "finished" and (unlearnt := hint(run)):
        notes.insert(0, unlearnt)
    if run.status == "finished" and run.message:
        notes.insert(0, run.message)
    if run.status == "diverged":
        notes.append(
            f"The loss was no longer finite in epoch {run.epochs[-1].epoch + 1}; "
            "a smaller learning rate or init.scale may help."
        )
    parts: list[Any] = [table, layer_table(run.layers)] if run.layers else [table]
    where = f"  results: {run.directory and near(run.directory)}"
    parts.append(Text(where, no_wrap=True, overflow="ignore"))  # to be copied whole
    return Group(*parts, *(f"note: {note}" for note in notes))


def _how(backend: dict[str, Any]) -> str:
    engine = backend.get("engine")
    return backend["execution"] + (f" on {engine}" if engine not in (None, "tensorflow") else "")


def _training(run: RunResult) -> str:
    config = run.config
    loss, optimizer = (config.get(key) or {} for key in ("loss", "optimizer"))
    over = f" ({loss['over_outputs']} over outputs)" if "over_outputs" in loss else ""
    return (
        f"{loss.get('name', '?')}{over}, {optimizer.get('name', '?')}, "
        f"batch {config.get('batch_size', '?')}, {len(run.epochs)} epochs, "
        f"{config.get('dtype', '?')}, seed {config.get('seed', '?')}"
        + (", losses in deviations of the targets" if run.data.get("target_scale") else "")
    )


def _effective(run: RunResult) -> list[tuple[str, str]]:
    """Return what the optimizer computed with; constants of layers are in their table."""
    return [("optimizer", optimizer_text(run.effective))] if run.effective else []


def _figures(run: RunResult) -> list[tuple[str, str]]:
    kept = run.kept
    assert kept is not None
    which = "" if kept is run.epochs[-1] else f" (kept: epoch {kept.epoch + 1})"
    loss = f"train {number(kept.train_loss)}, test {number(kept.test_loss)}{which}"
    if kept.test_accuracy is None:
        gap = f"{number(kept.generalization_gap)} in loss"
        return [("loss", loss), ("generalization gap", gap)]
    accuracy = f"train {percent(kept.train_accuracy)}, test {percent(kept.test_accuracy)}"
    gap = percent(kept.generalization_gap)
    return [("loss", loss), ("accuracy", accuracy), ("generalization gap", gap)]


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


def course(run: RunResult) -> Table:
    """Return how the figures of a run went, epoch by epoch: first, curve, last."""
    columns = (Column(style="bold"), right(), "", right())
    table = Table(*columns, box=box.SIMPLE, show_header=False)
    figures: list[tuple[str, str, Callable[[float | None], str]]] = [
        ("test accuracy", "test_accuracy", percent),
        ("train accuracy", "train_accuracy", percent),
        ("test loss", "test_loss", number),
        ("train loss", "train_loss", number),
        ("learning rate", "learning_rate", number),
        ("epoch time", "train_seconds", duration),
    ]
    for title, name, shown in figures:
        values = [getattr(record, name) for record in run.epochs]
        if any(value is not None for value in values):
            table.add_row(title, shown(values[0]), sparkline(values), shown(values[-1]))
    return table
