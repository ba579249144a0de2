"""What else differs between two groups, besides what is compared, and what that is known to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nnbench.reporting.comparison.facts import absent, two
from nnbench.reporting.comparison.groups import Group, Table
from nnbench.reporting.comparison.treatment import UNKNOWN, rule
from nnbench.schema.deferred import dataclass

# Settings and what a difference in them does, whatever framework runs them. By the longest key
# that begins the setting's own.
EFFECTS = {
    "loss": "a different loss or reduction gives different gradients: mean squared error over ten "
    "outputs moves weights a tenth as far as summed cross-entropy",
    "optimizer.momentum": "momentum m lets a constant gradient move weights 1 / (1 - m) times as "
    "far: 0.9 is ten times the learning rate",
    "optimizer": "a different optimizer takes different steps at the same learning rate",
    "schedule": "a different learning rate takes different steps",
    "init": "different initial weights: standard deviations of 0.0206 and 0.0468 for 784-128 are "
    "PyTorch's and Keras' defaults",
    "shuffle": "the samples come in a different order",
    "batch_size": "a different batch size takes a different number of steps per epoch, and "
    "another time per step",
    "drop_last": "one side leaves the samples of a last, smaller batch out of each epoch",
    "gradient_accumulation_steps": "an update comes after another number of batches",
    "epochs": "more epochs train longer",
    "arch": "a different net with different parameters",
    "dtype": "different arithmetic: time per step and rounding differ",
    "input": "epoch time includes the framework's own loader",
    "eval": "training metrics are taken on different samples",
    "keep": "the best epoch is kept on one side, the last on the other",
    "early_stopping": "one side may stop earlier",
    "monitor": "a different metric decides which epoch is best",
    "augment": "training images are changed differently",
}
COMPARED = "backend"
MOST = 3  # exceptions that are listed one by one
_SEVERAL, _NOBODY = object(), object()  # what a group's runs have: several values, or none


@dataclass(frozen=True)
class Caution:
    """A recorded fact in which runs that are compared differ, besides settings."""

    key: str
    text: str

    def __str__(self) -> str:
        """Return the fact, its values, and what a difference in it is known to do."""
        name = self.key.removeprefix("machine.")
        return f"{name}: {self.text} ({rule(self.key).why})"


def findings(a: Group, b: Group) -> dict[str, str]:
    """Return what differs between two groups besides the backend: a sentence by setting."""
    found = {}
    for key in sorted((a.settings.keys() | b.settings.keys()) - {COMPARED, "case", "seed"}):
        first, second = a.settings.get(key), b.settings.get(key)
        if first != second:
            found[key] = f"{key}: {first} against {second} ({effect(key)})"
    return found


def cautions(groups: Sequence[Group], varying: Iterable[str] | None = None) -> list[Caution]:
    """Return the facts in which groups differ, or some of their runs from the others.

    `varying` are the settings that differ among the groups of a table; without, the groups are
    the two that a verdict is about.
    """
    settled = list(findings(*groups[:2]) if varying is None else varying)
    found = []
    for key in sorted(set().union(*(group.facts for group in groups))):
        if len({_uniform(group, key) for group in groups} - {_NOBODY}) < 2 and not any(
            _uniform(group, key) is _SEVERAL for group in groups
        ):
            continue
        how = rule(key)
        follows = any(name.startswith(begin) for begin in how.follows for name in settled)
        if how.among in ("seed", "pair"):
            skip = follows or (how.among == "pair" and varying is not None)
            text = "" if skip else _by_seed(key, groups)
        else:
            parts = _parts(groups, COMPARED if how.among == "backend" else None, follows)
            text = "; ".join(filter(None, (_odd(key, part) for part in parts)))
        if text:
            found.append(Caution(key, text))
    return found


def _parts(groups: Sequence[Group], by: str | None, alone: bool) -> list[list[Group]]:
    """Return the groups that are to be alike: each `alone`, those that share a setting, or all."""
    found: dict[Any, list[Group]] = {}
    for i, group in enumerate(groups):
        found.setdefault(i if alone else by and group.settings.get(by), []).append(group)
    return list(found.values())


def _values(group: Group, key: str) -> Mapping[int, Any]:
    """Return the fact by seed, with what it means where a run has none."""
    known = group.facts.get(key, {})
    if len(known) == len(group.runs) or rule(key).among == "both":
        return known
    lacks = absent(key, group.facts)
    return {s: known.get(s, lacks) for s in group.seeds}


def _uniform(group: Group, key: str) -> Any:
    """Return the value that all runs have, `_NOBODY` for a fact that none has and none needs."""
    values = iter(_values(group, key).values())
    first = next(values, _NOBODY)
    return first if all(value == first for value in values) else _SEVERAL


def _by_seed(key: str, groups: Sequence[Group]) -> str:
    """Say for which seeds the groups have different values."""
    by_seed: dict[int, dict[Any, None]] = {}
    for group in groups:
        for s, value in _values(group, key).items():
            by_seed.setdefault(s, {})[value] = None
    found = {s: list(values)[:2] for s, values in by_seed.items() if len(values) > 1}
    said = [f"{' against '.join(two(*v))} with seed {s}" for s, v in list(found.items())[:MOST]]
    return _listed(said, len(found), "seed")


def _odd(key: str, groups: Sequence[Group]) -> str:
    """Say which groups or runs differ from the most common value."""
    if len(groups) == 2:
        a, b = (_uniform(group, key) for group in groups)
        if _NOBODY not in (a, b) and _SEVERAL not in (a, b):
            return " against ".join(two(a, b)) if a != b else ""
    values = [(g, s, value) for g in groups for s, value in _values(g, key).items()]
    counts = Counter(value for *_, value in values)
    if len(counts) < 2:
        return ""
    usual = counts.most_common(1)[0][0]
    odd: dict[str, Any] = {}
    for group, s, value in values:
        if value != usual:
            whole = _uniform(group, key) is not _SEVERAL
            odd[group.label if whole else f"{group.label} seed {s}"] = value
    said = [f"{two(usual, value)[1]} in {where}" for where, value in list(odd.items())[:MOST]]
    return f"{two(usual, next(iter(odd.values())))[0]}, but {_listed(said, len(odd), 'other')}"


def _listed(said: Sequence[str], number: int, what: str) -> str:
    more = number - len(said)
    return ", ".join([*said, f"and {more} more {what}{'s' * (more > 1)}"] if more > 0 else said)


def effect(key: str) -> str:
    """Return what is known of a difference in the setting `key`."""
    known = [name for name in EFFECTS if key == name or key.startswith(f"{name}.")]
    return EFFECTS[max(known, key=len)] if known else UNKNOWN


def apart_sentences(tables: Sequence[Table]) -> list[str]:
    """Say why there is more than one table: what the groups of each do not share with the first."""
    sentences = []
    for number, table in enumerate(tables[1:], start=2):
        reasons = []
        for key, value in table.apart.items():
            if value != (first := tables[0].apart[key]):
                there, here = two(*(tuple(v) if isinstance(v, list) else v for v in (value, first)))
                reasons.append(f"{key} ({there} there, {here} in table 1)")
        labels = ", ".join(group.label for group in table.groups[:4])
        more = ", ..." if len(table.groups) > 4 else ""
        sentences.append(
            f"Table {number} ({labels}{more}) is not ranked against table 1, because it differs in "
            f"{'; '.join(reasons)}."
        )
    return sentences
