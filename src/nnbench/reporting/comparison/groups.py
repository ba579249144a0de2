"""Groups of runs that differ in the seed alone, and what else differs between two of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnbench.records import identity
from nnbench.records.certificate import label as backend_of
from nnbench.records.certificate import standing
from nnbench.records.run import RunResult
from nnbench.tracking.content import settings

# What a backend's name, execution and engine bring along; told by its label.
BACKEND = ("backend.",)
UNSHOWN = ("case", "seed")
MOST_WORDS = 4  # in a label, where fewer tell groups apart
SEEDED = ("synthetic", "sequences")  # data that is drawn anew for each seed


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, one for each seed: the latest, where a seed was run more often.

    `settings` is the configuration by dotted key, the backend as its label; `label` is what tells
    the group from the others of its table; `repeated` counts runs that a later one replaced.
    """

    label: str
    runs: tuple[RunResult, ...]
    settings: Mapping[str, Any]
    repeated: int = 0

    @property
    def first(self) -> RunResult:
        """Return a run, for what all have in common."""
        return self.runs[0]

    @property
    def finished(self) -> list[RunResult]:
        """Return the runs with an end and figures that are numbers and not known to be wrong."""
        ended = (run for run in self.runs if run.status == "finished" and run.kept)
        return [run for run in ended if standing(run).ranked]

    @property
    def out(self) -> list[RunResult]:
        """Return the runs that their certificates keep out of every ranking."""
        return [run for run in self.runs if not standing(run).ranked]

    @property
    def word(self) -> str:
        """Return what is not proved of the runs that are ranked; empty where all of it is."""
        return "; ".join(dict.fromkeys(filter(None, (standing(r).word for r in self.finished))))

    @property
    def diverged(self) -> list[RunResult]:
        """Return the runs whose loss was no longer finite."""
        return [run for run in self.runs if run.status == "diverged"]

    def seconds(self) -> dict[int, float]:
        """Return the epoch time by seed (`RunResult.epoch_seconds`)."""
        found = {seed(run): run.epoch_seconds for run in self.finished}
        return {s: seconds for s, seconds in found.items() if seconds is not None}

    def figures(self, name: str) -> dict[int, float]:
        """Return a figure of the kept epoch by seed, where there is one."""
        found = {seed(run): run.figure(name) for run in self.finished}
        return {s: value for s, value in found.items() if value is not None}


@dataclass(frozen=True)
class Table:
    """Groups that may be ranked against each other; `apart` says what keeps them from others."""

    groups: tuple[Group, ...]
    shared: Mapping[str, Any]
    varying: tuple[str, ...]
    apart: Mapping[str, Any] = field(default_factory=dict)


def seed(run: RunResult) -> int:
    """Return the seed that pairs runs."""
    return int(run.config.get("seed", 0))


def tables(runs: Sequence[RunResult]) -> list[Table]:
    """Return the tables that `runs` fall into, the largest first.

    Kept apart are other data, other semantics, another kind of machine, other numbers of threads,
    runs that were timed beside others, and runs that the test data steered.
    """
    kinds: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        kinds[json.dumps(apartness(run), sort_keys=True, default=str)].append(run)
    found = [_table(group) for group in kinds.values()]
    return sorted(found, key=lambda table: -sum(len(g.runs) for g in table.groups))


def apartness(run: RunResult) -> dict[str, Any]:
    """Return what a run has to share with another to be ranked against it."""
    machine, name = run.machine, run.data.get("name")
    digest = None if name in SEEDED else (run.data.get("digests") or {}).get("payload")
    return {
        "data": (name, digest),
        "semantics": run.semantics,
        "machine": (machine.get("cpu"), machine.get("gpu")),
        "BLAS kernel": machine.get("blas_kernel"),
        "threads": run.config.get("threads"),
        "flags": sorted(map(str, run.flags)),
    }


def _table(runs: Sequence[RunResult]) -> Table:
    by_config: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: r.created):
        config = {key: value for key, value in run.config.items() if key != "seed"}
        by_config[identity.deciding(config)].append(run)
    flat = {key: _settings(group[0]) for key, group in by_config.items()}
    keys = sorted(set().union(*flat.values()))
    varying = [k for k in keys if len({repr(values.get(k)) for values in flat.values()}) > 1]
    varying = sorted((k for k in varying if k not in UNSHOWN), key=lambda k: k != "backend")
    labels = _labels(list(flat.values()), varying, [group[0] for group in by_config.values()])
    groups = [
        _group(group, flat[key], label)
        for (key, group), label in zip(by_config.items(), labels, strict=True)
    ]
    shared = {k: next(iter(flat.values())).get(k) for k in keys if k not in (*varying, *UNSHOWN)}
    return Table(tuple(groups), shared, tuple(varying), apartness(runs[0]))


def _group(runs: Sequence[RunResult], flat: Mapping[str, Any], label: str) -> Group:
    latest = {seed(run): run for run in runs}
    kept = tuple(latest[s] for s in sorted(latest))
    return Group(label, kept, flat, len(runs) - len(kept))


def _labels(
    flat: Sequence[Mapping[str, Any]], varying: Sequence[str], runs: Sequence[RunResult]
) -> list[str]:
    """Return what tells groups apart: cases of a study by name, others by what varies.

    Where much varies, by as few settings as tell all groups apart.
    """
    if not varying or len(flat) == 1:
        return [str(values["backend"]) for values in flat]
    cases = [str(run.config.get("case") or "").rpartition("/")[2] for run in runs]
    if all(cases) and len(set(cases)) == len(cases):
        return cases
    if len({repr(values) for values in flat}) < len(flat):  # what differs in the case alone
        told = _told(flat, varying)
        return [f"{t} ({c})".strip() if c else t for t, c in zip(told, cases, strict=True)]
    shown = list(varying)
    if len(shown) > MOST_WORDS:
        shown = []
        for key in varying:
            if len(set(_told(flat, [*shown, key]))) > len(set(_told(flat, shown))):
                shown.append(key)
    return _told(flat, shown)


def _told(flat: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    return [
        " ".join(
            str(values.get(k)) if k == "backend" else f"{short(k)}={values.get(k)}"
            for k in keys
            if values.get(k) is not None
        )
        for values in flat
    ]


def _settings(run: RunResult) -> dict[str, Any]:
    flat = {k: v for k, v in settings(run.config).items() if not k.startswith(BACKEND)}
    return flat | {"backend": backend_of(run)}


def short(key: str) -> str:
    """Return a key as it is told in a label: `init.scale` as `scale`, `loss.name` as `loss`."""
    head, _, tail = key.rpartition(".")
    return head.rpartition(".")[2] if tail == "name" else tail
