"""The Markdown note that MLflow shows with a run: its result, its settings, how to do it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from nnbench.formatting import EPOCH_TIME, ONE_EPOCH, sparkline
from nnbench.records.run import RunResult
from nnbench.tracking.content import LEFT_OUT, TAG_CHARACTERS, as_text, cut, settings

EXPERIMENT_NOTE = """\
Neural-network frameworks compared by **nnbench**: the same description of a run, the same initial
weights and the same walk over the data for each.

- `final/*` are the figures of the epoch whose weights were kept; accuracies are shares from 0 to 1.
- `train/*` and `test/*` are taken with frozen weights after every epoch; `train/running_loss` is
  the mean while they move.
- `generalization_gap` is train minus test accuracy (in regression test minus train loss).
- `time/epoch_seconds` is training alone; evaluation and tracking are outside it.
- `time/median_epoch_seconds` is the median of all epochs but the first; of a single epoch it
  includes warming up.
- Compare runs of one `nnbench.semantics` only: `matched` runs differ in the framework alone.
"""
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
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_NOT_TEXT = re.compile(r"null|true|false|nan|[+-]?inf|[+-]?[0-9.][0-9_.]*(e[+-]?[0-9]+)?", re.I)


def note(run: RunResult) -> str:
    """Return the note for `run`, cut to what a tag holds."""
    name = (run.config.get("backend") or {}).get("name", "?")
    parts = [
        f"**{run.architecture}** ({run.parameters:,} parameters) with **{name}**, "
        f"{run.semantics} semantics: **{run.status}** after {_count(len(run.epochs), 'epoch')}."
    ]
    if run.message:
        parts.append(f"> {run.message.splitlines()[0]}")
    parts += [f"> {flag}" for flag in run.flags]
    parts += [_result_table(run), _course(run), _settings_table(run), _again(run)]
    if run.directory is not None:
        parts.append(f"Files: `{run.directory.absolute()}`")
    return cut("\n\n".join(part for part in parts if part), TAG_CHARACTERS)


def experiment_note(runs: Sequence[RunResult]) -> str:
    """Return what an experiment's page says: what the figures are, and the latest sweep."""
    rows = [
        "| run | status | test | gap | epoch | test figure, epoch by epoch |",
        "|---|---|---:|---:|---:|---|",
    ]
    for run in runs[:MOST_ROWS]:
        kept = run.kept
        share = kept is not None and kept.test_accuracy is not None
        shown = _percent if share else _figure
        test = shown(kept.test_accuracy if share else kept.test_loss) if kept else ""
        gap = shown(kept.generalization_gap) if kept else ""
        where = run.tracking.get("mlflow_run_id")
        name = re.sub(r"[|\\[\]`<>]", " ", run.name)
        experiment = run.tracking.get("experiment_id")
        linked = f"[{name}](#/experiments/{experiment}/runs/{where})" if where else name
        seconds = "" if run.epoch_seconds is None else f"{1e3 * run.epoch_seconds:.1f} ms"
        rows.append(f"| {linked} | {run.status} | {test} | {gap} | {seconds} | {_curve(run, 16)} |")
    more = len(runs) - MOST_ROWS
    tail = f"\n\nand {more} more." if more > 0 else ""
    title = f"### The latest sweep: {_count(len(runs), 'run')}"
    return cut("\n\n".join([EXPERIMENT_NOTE, title, "\n".join(rows)]) + tail, TAG_CHARACTERS)


def _curve(run: RunResult, width: int) -> str:
    """Return the course of test accuracy, in regression of test loss, as a line of bars."""
    accuracies = [record.test_accuracy for record in run.epochs]
    losses = [record.test_loss for record in run.epochs]
    return sparkline(accuracies if any(a is not None for a in accuracies) else losses, width)


def _course(run: RunResult) -> str:
    if len(run.epochs) == 1:  # a point is no curve
        return ""
    share = any(record.test_accuracy is not None for record in run.epochs)
    return f"Test {'accuracy' if share else 'loss'}: `{_curve(run, 48)}`"


def command(config: Mapping[str, Any]) -> str:
    """Return the command line that asks for `config`, every setting spelled out.

    Groups come first by name, then their values, as Hydra reads them.
    """
    groups: dict[str, list[str]] = {}
    for key, value in config.items():
        if key in LEFT_OUT or value is None:
            continue
        if not isinstance(value, Mapping):
            groups.setdefault("", []).append(_override(key, value))
            continue
        chosen = [_override(key, value["name"])] if "name" in value else []
        rest = {f"{key}.{name}": item for name, item in value.items() if name != "name"}
        groups[key] = chosen + [
            _override(name, item) for name, item in rest.items() if name not in LEFT_OUT
        ]
    lines = [" ".join(group) for group in groups.values() if group]
    return " \\\n  ".join(["nnbench", *lines])


def _result_table(run: RunResult) -> str:
    kept = run.kept
    if kept is None:
        return ""
    rows = ["| | train | test | gap |", "|---|---:|---:|---:|"]
    if kept.test_accuracy is not None:
        figures = (kept.train_accuracy, kept.test_accuracy, kept.generalization_gap)
        rows.append("| accuracy | " + " | ".join(map(_percent, figures)) + " |")
    figures = (kept.train_loss, kept.test_loss, _minus(kept.test_loss, kept.train_loss))
    rows.append("| loss | " + " | ".join(map(_figure, figures)) + " |")
    seconds, what = _figure(run.epoch_seconds), ONE_EPOCH if len(run.epochs) == 1 else EPOCH_TIME
    return "\n".join(rows) + f"\n\nEpoch kept: {kept.epoch}. Epoch time: {seconds} s ({what})."


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


def _again(run: RunResult) -> str:
    return f"Run it again:\n\n```\n{command(run.config)}\n```"


def _override(key: str, value: Any) -> str:
    return (
        shlex.quote(f"{key}={_hydra(value)}") if _needs_shell(value) else f"{key}={_hydra(value)}"
    )


def _needs_shell(value: Any) -> bool:
    return not isinstance(value, bool | int | float) and not _PLAIN.fullmatch(_hydra(value))


def _hydra(value: Any) -> str:
    """Return a value in Hydra's override grammar, text quoted where it could be read otherwise."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or _NOT_TEXT.fullmatch(value)):
        escaped = value.replace('"', '\\"')
        return f'"{escaped}"'
    return as_text(value)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.2f} %"  # noqa: RUF001 - an empty cell


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001 - an empty cell


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
