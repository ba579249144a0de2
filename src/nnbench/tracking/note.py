"""The Markdown note that MLflow shows with a run: its result, its settings, how to do it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import mean, median

from nnbench.formatting import (
    EPOCH_TIME,
    ONE_EPOCH,
    count,
    cut,
    duration,
    finite,
    number,
    percent,
    sparkline,
)
from nnbench.records.certificate import label
from nnbench.records.run import RunResult
from nnbench.records.settings import as_text, command, settings

TAG_CHARACTERS = 5000  # 8000 in MLflow 3, 5000 in the older servers a newer client may meet
EXPERIMENT_NOTE = """\
Neural-network frameworks compared by **nnbench**: the same description of a run, the same initial
weights and the same order of the samples for each.

- `final/*` are the figures of the epoch whose weights were kept; accuracies lie between 0 and 1.
- `train/*` and `test/*` are taken with frozen weights after every epoch; `train/running_loss` is
  the mean while they move.
- `generalization_gap` is train minus test accuracy (in regression test minus train loss).
- `time/epoch_seconds` is training alone; evaluation and tracking are outside it.
- `time/median_epoch_seconds` is the median of all epochs but the first; of a single epoch it
  includes warming up.
- Compare runs of one `nnbench.semantics` only: `matched` runs differ in the framework alone.
"""
MOST_BACKENDS, CURVE = 5, 24  # in the line that comes first, and characters of a run's curve
MOST_ROWS = 16  # of the table in an experiment's note, which a tag must hold
HIGHLIGHTS = {
    "data": ("data.name", "data.train_samples"),
    "loss": ("loss.name", "loss.over_outputs", "loss.over_batch"),
    "optimizer": ("optimizer.name", "optimizer.momentum", "optimizer.weight_decay"),
    "schedule": ("schedule.name", "schedule.lr", "schedule.starts", "schedule.rates"),
    "initial weights": ("init.name", "init.scale", "init.low", "init.high", "init.run"),
    "seed, batch size": ("seed", "batch_size"),
    "arithmetic": ("dtype", "device.name", "threads"),
}


def note(run: RunResult) -> str:
    """Return the note for `run`, cut to what a tag holds."""
    parts = [_headline(run), _what(run)]
    if run.message:
        parts.append(f"> {run.message.splitlines()[0]}")
    parts += [f"> {flag}" for flag in run.flags]
    parts.append(_result_table(run))
    parts.append(_settings_table(run))
    parts.append(f"Run it again:\n\n```\n{command(run.config)}\n```")
    if run.directory is not None:
        parts.append(f"Files: `{run.directory.absolute()}`")
    return cut("\n\n".join(part for part in parts if part), TAG_CHARACTERS)


def _headline(run: RunResult) -> str:
    """Return what is wanted first, as MLflow folds all but a few lines: figures and course."""
    kept = run.kept
    if kept is None:
        return f"**{run.status}** before the end of an epoch."
    figure, curve = _test_figure(run), ""
    if len(run.epochs) > 1:  # a point is no curve
        curve = f" `{_curve(run, CURVE)}`"
    gap = percent if _has_accuracy(run) else number
    return (
        f"Test {'accuracy' if _has_accuracy(run) else 'loss'} **{figure}**{curve}, gap "
        f"{gap(kept.generalization_gap)}, **{duration(run.epoch_seconds)}** per epoch."
    )


def _what(run: RunResult) -> str:
    name = (run.config.get("backend") or {}).get("name", "?")
    return (
        f"**{run.architecture}** ({run.parameters:,} parameters) with **{name}**, "
        f"{run.semantics} semantics: **{run.status}** after {count(len(run.epochs), 'epoch')}."
    )


def _test_figure(run: RunResult) -> str:
    """Return the test accuracy of the kept epoch, in regression the test loss, as text."""
    if run.kept is None:
        return "-"
    accuracy = run.kept.test_accuracy
    return number(run.kept.test_loss) if accuracy is None else percent(accuracy)


def _by_backend(runs: Sequence[RunResult]) -> str:
    """Return the figures of a sweep by backend in a line: means, and medians of times."""
    found: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.kept is not None and run.epoch_seconds is not None:
            found.setdefault(label(run), []).append(run)
    told = []
    for name, its in list(found.items())[:MOST_BACKENDS]:
        figure = "test_accuracy" if _has_accuracy(its[0]) else "test_loss"
        values = finite(run.figure(figure) for run in its)
        shown = percent if figure == "test_accuracy" else number
        seconds = median(run.epoch_seconds or 0.0 for run in its)
        test = shown(mean(values)) if values else "-"
        told.append(f"**{_plain(name)}** {test}, {duration(seconds)} per epoch")
    more = f"; and {len(found) - MOST_BACKENDS} more" if len(found) > MOST_BACKENDS else ""
    return f"Latest sweep, {count(len(runs), 'run')}: {'; '.join(told)}{more}." if told else ""


def _plain(name: str) -> str:
    """Return a name without what Markdown would take for more than text."""
    return re.sub(r"[|\\[\]`<>*]", " ", name)


def experiment_note(runs: Sequence[RunResult]) -> str:
    """Return what an experiment's page says: what the figures are, and the latest sweep."""
    rows = [
        "| run | status | test | gap | epoch | test figure, epoch by epoch |",
        "|---|---|---:|---:|---:|---|",
    ]
    for run in runs[:MOST_ROWS]:
        kept = run.kept
        share = kept is not None and kept.test_accuracy is not None
        shown = percent if share else number
        test = _test_figure(run) if kept else ""
        gap = shown(kept.generalization_gap) if kept else ""
        where = run.tracking.get("mlflow_run_id")
        name = _plain(run.name)
        experiment = run.tracking.get("experiment_id")
        linked = f"[{name}](#/experiments/{experiment}/runs/{where})" if where else name
        seconds = duration(run.epoch_seconds)
        rows.append(f"| {linked} | {run.status} | {test} | {gap} | {seconds} | {_curve(run, 16)} |")
    more = len(runs) - MOST_ROWS
    tail = f"\n\nand {more} more." if more > 0 else ""
    title = f"### The latest sweep: {count(len(runs), 'run')}"
    parts = [_by_backend(runs), EXPERIMENT_NOTE, title, "\n".join(rows)]
    return cut("\n\n".join(filter(None, parts)) + tail, TAG_CHARACTERS)


def _curve(run: RunResult, width: int) -> str:
    """Return the course of test accuracy, in regression of test loss, as a line of bars."""
    what = "test_accuracy" if _has_accuracy(run) else "test_loss"
    return sparkline([getattr(record, what) for record in run.epochs], width)


def _has_accuracy(run: RunResult) -> bool:
    return any(record.test_accuracy is not None for record in run.epochs)


def _result_table(run: RunResult) -> str:
    kept = run.kept
    if kept is None:
        return ""
    rows = ["| | train | test | gap |", "|---|---:|---:|---:|"]
    if kept.test_accuracy is not None:
        figures = (kept.train_accuracy, kept.test_accuracy, kept.generalization_gap)
        rows.append("| accuracy | " + " | ".join(map(percent, figures)) + " |")
    losses = kept.train_loss, kept.test_loss
    gap = None if None in losses else kept.test_loss - kept.train_loss
    rows.append("| loss | " + " | ".join(map(number, (*losses, gap))) + " |")
    seconds, what = duration(run.epoch_seconds), ONE_EPOCH if len(run.epochs) == 1 else EPOCH_TIME
    return "\n".join(rows) + f"\n\nEpoch kept: {kept.epoch}. Epoch time: {seconds} ({what})."


def _settings_table(run: RunResult) -> str:
    flat = settings(run.config)
    rows = ["| setting | value |", "|---|---|"]
    for title, keys in HIGHLIGHTS.items():
        words = [
            as_text(flat[key])
            if key.endswith("name")
            else f"{key.rpartition('.')[2]} {as_text(flat[key])}"
            for key in keys
            if flat.get(key) is not None
        ]
        if words:
            rows.append(f"| {title} | {', '.join(words)} |")
    return "\n".join(rows)
