"""What the records of two ends say before anything is walked: other data, versions, machines.

Settings are what `explain` walks. A run's record holds more that decides its figures, and an end
may be one that cannot be repeated here to the figures on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnbench import data
from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.formatting import duration, number, percent
from nnbench.records import identity
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.facts import NOT_RECORDED, two
from nnbench.reporting.comparison.fairness import Caution, cautions
from nnbench.reporting.comparison.groups import Group, apartness, own_settings, seed
from nnbench.sweeps.plan import Planner

TIMED_BY = ("python", "platform", "cores", "memory_bytes")  # what times depend on besides
SETTINGS = ("semantics", "threads")  # that keep runs apart, and are walked as changes


def said_first(ends: Sequence[tuple[str, RunResult]]) -> list[str]:
    """Return what to say before the explanation of recorded `ends`: what was typed, its record."""
    found = []
    if len(ends) == 2 and (differing := between(ends[0][1], ends[1][1])):
        found.append(
            f"{ends[0][0]} and {ends[1][0]} differ in what is recorded besides their settings: "
            f"{'; '.join(differing)}."
        )
    for name, run in ends:
        if ending := ended(run):
            found.append(f"{name} {ending}.")
        if changed := changed_since(run):
            found.append(
                f"{name} cannot be repeated to its recorded figures: {'; '.join(changed)}."
            )
    return found


def between(first: RunResult, last: RunResult) -> list[str]:
    """Return the recorded facts in which two runs differ, what keeps runs apart first."""
    keys = apartness(first).keys() - set(SETTINGS)
    pairs = {k: (apartness(first)[k], apartness(last)[k]) for k in apartness(first) if k in keys}
    apart = [(k, *v) for k, v in pairs.items() if v[0] != v[1] and NOT_RECORDED not in v]
    found = [f"{name}: {' against '.join(two(_plain(a), _plain(b)))}" for name, a, b in apart]
    groups = [Group(str(i), (run,), own_settings(run)) for i, run in enumerate((first, last))]
    return [*found, *map(str, _untold(cautions(groups), [name for name, *_ in apart]))]


def _untold(found: Sequence[Caution], told: Sequence[str]) -> list[Caution]:
    """Return the cautions that what keeps runs apart has not said already."""
    known = {
        "data": ("data",), "machine": ("machine.cpu",), "GPU": ("machine.gpu",),
        "cores": ("machine.cores.usable",), "physical cores": ("machine.cores.physical",),
        "BLAS kernel": ("machine.blas_kernel",), "threads in use": ("machine.threads",),
        "flags": ("flags",),
    }  # fmt: skip
    begins = tuple(begin for name in told for begin in known.get(name, ()))
    return [c for c in found if not (begins and f"{c.key}.".startswith(begins))]


def _plain(value: object) -> object:
    """Return the value of a fact: of data, the digest where there is one, else the name."""
    if isinstance(value, tuple):
        return value[-1] or value[0]
    return tuple(value) if isinstance(value, list) else value


def ended(run: RunResult) -> str | None:
    """Say how a run ended, where not as it should."""
    epochs = f"{len(run.epochs)} of {run.config.get('epochs')} epochs"
    if run.status == "diverged":
        return f"diverged: its loss was no longer finite after {epochs}"
    if run.status != "finished":
        return f"is no finished run ({run.status} after {epochs})"
    return None


def changed_since(run: RunResult) -> list[str]:
    """Return what has changed since `run` was recorded, so that it would be another run here."""
    try:
        config = Cell.read({k: v for k, v in run.config.items() if k != "config_name"}).config
        now = Planner(Path()).where(config)
        outline = data.outline(config.data, kind=config.task, seed=config.seed)
    except (NNBenchError, OSError) as error:
        return [str(error).rstrip(".")]
    found = identity.differing(run.config, run.machine, run.config, now)
    recorded = (run.data.get("digests") or {}).get("payload")
    if recorded != outline.payload_digest:
        digests = two(outline.payload_digest, recorded)
        found.insert(0, f"its data have changed: digest {digests[0]} (was {digests[1]})")
    for key in TIMED_BY:
        before, after = run.machine.get(key), now.get(key)
        if before is not None and before != after:
            found.append(f"{key} {after} (was {before})")
    return found


def repeated(name: str, run: RunResult, now: RunResult) -> str | None:
    """Say where the run that stands for an end has other figures than the record of it."""
    if now.run_id == run.run_id or seed(now) != seed(run):
        return None
    for figure, as_text in (("test_accuracy", percent), ("test_loss", "{:.4g}".format)):
        before, after = run.figure(figure), now.figure(figure)
        if before is not None and after is not None and before != after:
            return (
                f"{name} was recorded with {figure.replace('_', ' ')} {as_text(before)}; repeated "
                f"here it has {as_text(after)}, which is what is explained."
            )
    return None


def on_record(ends: Sequence[tuple[str, RunResult]]) -> list[str]:
    """Return the recorded figures of two runs in one line: accuracy (or loss) and time."""
    if len(ends) != 2:
        return []
    (_, a), (_, b) = ends
    told = []
    name = "test_loss" if a.config.get("task") == "regression" else "test_accuracy"
    before, after = a.figure(name), b.figure(name)
    if before is not None and after is not None:
        scores = [number(x) if name == "test_loss" else percent(x) for x in (before, after)]
        less = after - before
        moved = f"{less:+.4g}" if name == "test_loss" else f"{100 * less:+.2f} points"
        told.append(f"{name.replace('_', ' ')} {scores[0]} against {scores[1]} ({moved})")
    if a.epoch_seconds and b.epoch_seconds:
        told.append(
            f"time per epoch {duration(a.epoch_seconds)} against {duration(b.epoch_seconds)} "
            f"(x {b.epoch_seconds / a.epoch_seconds:.2f})"
        )
    if not told:
        return ["On record: no figures to compare."]
    alone = " One run each: another seed may say otherwise; use --seeds 3." if a != b else ""
    return [f"On record: {'; '.join(told)}.{alone}"]
