"""Groups of runs that differ in the seed alone, and what else differs between two of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any

from nnbench.records import identity
from nnbench.records.certificate import label as backend_of
from nnbench.records.flags import TOLD, Contended, Flag, Said
from nnbench.records.run import RunResult
from nnbench.records.settings import settings
from nnbench.records.standing import standing
from nnbench.reporting.comparison.facts import NOT_RECORDED, facts, is_drawn
from nnbench.schema.deferred import dataclass

# What a backend's name, execution and engine bring along; told by its label.
BACKEND = ("backend.",)
UNSHOWN = ("case", "seed")
MOST_WORDS = 4  # in a label, where fewer tell groups apart


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, one for each seed: the latest, where a seed was run more often.

    `settings` is the configuration by dotted key, the backend as its label; `label` is what tells
    the group from the others of its table; `repeated` counts runs that a later one replaced;
    `undisturbed_only`: times are those of runs that had their processor to themselves.
    """

    label: str
    runs: tuple[RunResult, ...]
    settings: Mapping[str, Any]
    repeated: int = 0
    undisturbed_only: bool = False

    @cached_property
    def facts(self) -> Mapping[str, Mapping[int, Any]]:
        """Return what the records hold besides settings, by dotted key and seed."""
        found: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        for run in self.runs:
            for key, value in facts(run).items():
                found[key][seed(run)] = value
        return dict(found)

    @property
    def seeds(self) -> list[int]:
        """Return the seeds of the runs."""
        return [seed(run) for run in self.runs]

    @property
    def first(self) -> RunResult:
        """Return a run, for what all have in common."""
        return self.runs[0]

    @cached_property
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

    @property
    def timed(self) -> list[RunResult]:
        """Return the finished runs whose times count."""
        return [r for r in self.finished if not (self.undisturbed_only and is_contended(r))]

    def seconds(self) -> dict[int, float]:
        """Return the epoch time by seed (`RunResult.epoch_seconds`) where it counts."""
        found = {seed(run): run.epoch_seconds for run in self.timed}
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

    @property
    def word(self) -> str:
        """Return what is not proved of all its groups alike; empty for nothing."""
        words = {group.word for group in self.groups if group.finished}
        return words.pop() if len(words) == 1 else ""


def is_contended(run: RunResult) -> bool:
    """Tell whether other processes took the run's processor."""
    return any(isinstance(flag, Contended) for flag in run.flags)


def seed(run: RunResult) -> int:
    """Return the seed that pairs runs."""
    return int(run.config.get("seed", 0))


def tables(runs: Sequence[RunResult]) -> list[Table]:
    """Return the tables that `runs` fall into, the largest first.

    Runs are kept apart by what `treatment` says of their facts. A run that lacks such a fact,
    as older records do, is with the most of those that it may belong to.
    """
    kinds: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        kinds[json.dumps(apartness(run), sort_keys=True, default=str)].append(run)
    found: list[list[RunResult]] = []
    for kind in sorted(kinds.values(), key=lambda kind: (_lacks(kind[0]), -len(kind))):
        others = [other for other in found if _lacks(kind[0]) and _may_be(kind[0], other[0])]
        if others:
            max(others, key=len).extend(kind)
        else:
            found.append(kind)
    return [_table(kind) for kind in sorted(found, key=lambda kind: -len(kind))]


def apart_flags(run: RunResult) -> list[Flag]:
    """Return the flags that keep a run out of a table with runs that lack them."""
    return [flag for flag in run.flags if not isinstance(flag, TOLD)]


def _kind(flag: Flag) -> str:
    return str(flag) if isinstance(flag, Said) else flag.name


def apartness(run: RunResult) -> dict[str, Any]:
    """Return what a run has to share with another to be ranked against it."""
    machine, digests = run.machine, run.data.get("digests") or {}
    cores, threads = machine.get("cores") or {}, machine.get("threads") or {}
    pools = [threads.get("blas"), threads.get("openmp")]
    return {
        "data": (run.data.get("name"), None if is_drawn(run) else digests.get("payload")),
        "semantics": run.semantics,
        "machine": machine.get("cpu", NOT_RECORDED),
        "GPU": machine.get("gpu"),
        "cores": cores.get("usable", NOT_RECORDED),
        "physical cores": cores.get("physical", NOT_RECORDED),
        "BLAS kernel": machine.get("blas_kernel", NOT_RECORDED),
        "threads": run.config.get("threads"),
        "threads in use": threads.get("in_use") or max(filter(None, pools), default=NOT_RECORDED),
        "flags": sorted({_kind(flag) for flag in apart_flags(run)}),
    }


def _lacks(run: RunResult) -> int:
    """Return how many of the facts that keep runs apart a run does not have."""
    return sum(value == NOT_RECORDED for value in apartness(run).values())


def _may_be(run: RunResult, other: RunResult) -> bool:
    """Tell whether two runs share what keeps runs apart, as far as they say."""
    pairs = zip(apartness(run).values(), apartness(other).values(), strict=True)
    return all(a == b or NOT_RECORDED in (a, b) for a, b in pairs)


def _table(runs: Sequence[RunResult]) -> Table:
    by_config: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: r.created):
        config = {key: value for key, value in run.config.items() if key != "seed"}
        by_config[identity.deciding(config)].append(run)
    flat = {key: own_settings(group[0]) for key, group in by_config.items()}
    _tell_backends_apart(flat, by_config)
    keys = sorted(set().union(*flat.values()))
    varying = [k for k in keys if len({repr(values.get(k)) for values in flat.values()}) > 1]
    varying = sorted((k for k in varying if k not in UNSHOWN), key=lambda k: k != "backend")
    labels = _labels(list(flat.values()), varying, [group[0] for group in by_config.values()])
    groups = [
        _group(group, flat[key], label)
        for (key, group), label in zip(by_config.items(), labels, strict=True)
    ]
    if not all(is_contended(run) for group in groups for run in group.finished):
        groups = [replace(group, undisturbed_only=True) for group in groups]
    shared = {k: next(iter(flat.values())).get(k) for k in keys if k not in (*varying, *UNSHOWN)}
    said = apartness(runs[0]) | {"flags": sorted(map(str, apart_flags(runs[0])))}
    return Table(tuple(groups), shared, tuple(varying), said)


def _tell_backends_apart(
    flat: Mapping[str, dict[str, Any]], by_config: Mapping[str, Sequence[RunResult]]
) -> None:
    """Add to the backend's label in `flat` what else of it differs where labels are the same."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for key, values in flat.items():
        alike[values["backend"]].append(key)
    for label, keys in alike.items():
        backends = {key: dict(by_config[key][0].config["backend"]) for key in keys}
        parts = sorted(set().union(*backends.values()))
        differ = [p for p in parts if len({repr(b.get(p)) for b in backends.values()}) > 1]
        for key in keys if differ else ():
            told = ", ".join(f"{part}={backends[key].get(part)}" for part in differ)
            flat[key]["backend"] = f"{label} ({told})"


def _group(runs: Sequence[RunResult], flat: Mapping[str, Any], label: str) -> Group:
    latest = {seed(run): run for run in runs}
    kept = tuple(latest[s] for s in sorted(latest))
    return Group(label, kept, flat, len(runs) - len(kept))


def _labels(
    flat: Sequence[Mapping[str, Any]], varying: Sequence[str], runs: Sequence[RunResult]
) -> list[str]:
    """Return what tells groups apart: cases of a study by name, others by what varies.

    Where much varies, by as few settings as tell all groups apart; where none does, by case.
    """
    cases = [str(run.config.get("case") or "").rpartition("/")[2] for run in runs]
    if not varying or len(flat) == 1:
        labels = [str(values["backend"]) for values in flat]
        return labels if len(flat) == 1 else _numbered(labels, cases)
    if all(cases) and len(set(cases)) == len(cases):
        return cases
    shown = list(varying)
    if len(shown) > MOST_WORDS:
        shown = []
        for key in varying:
            if len(set(_told(flat, [*shown, key]))) > len(set(_told(flat, shown))):
                shown.append(key)
    return _numbered(_told(flat, shown), cases)


def _numbered(labels: Sequence[str], cases: Sequence[str]) -> list[str]:
    """Return labels that differ: the same ones with their case, and where that is no help too."""
    found = [
        f"{label} ({case})" if case and labels.count(label) > 1 else label
        for label, case in zip(labels, cases, strict=True)
    ]
    return [f"{x} #{found[:i].count(x) + 1}" if found.count(x) > 1 else x
            for i, x in enumerate(found)]  # fmt: skip


def _told(flat: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    return [
        " ".join(
            str(values.get(k)) if k == "backend" else f"{short(k)}={values.get(k)}"
            for k in keys
            if values.get(k) is not None
        )
        for values in flat
    ]


def own_settings(run: RunResult) -> dict[str, Any]:
    """Return the settings that make groups, by dotted key; the backend as its label."""
    config = identity.without_added(run.config)
    flat = {k: v for k, v in settings(config).items() if not k.startswith(BACKEND)}
    return flat | {"backend": backend_of(run)}


def short(key: str) -> str:
    """Return a key as it is told in a label: `init.scale` as `scale`, `loss.name` as `loss`."""
    head, _, tail = key.rpartition(".")
    return head.rpartition(".")[2] if tail == "name" else tail
