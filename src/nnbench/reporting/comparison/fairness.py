"""What else differs between two groups, besides what is compared, and what that is known to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnbench.formatting import count
from nnbench.reporting.comparison.facts import absent, two
from nnbench.reporting.comparison.groups import Group, Table
from nnbench.reporting.comparison.treatment import UNKNOWN, rule

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


def cautions(a: Group, b: Group) -> list[Caution]:
    """Return the facts in which two groups differ, or one of their runs from the others."""
    settled, one_backend = findings(a, b), _backend(a) == _backend(b)
    found = []
    for key in sorted(a.facts.keys() | b.facts.keys()):
        how = rule(key)
        alike = [_uniform(group, key) for group in (a, b)]
        if alike[0] is not _SEVERAL and alike[0] == alike[1]:
            continue
        follows = any(s.startswith(begin) for begin in how.follows for s in settled)
        apart = follows or (how.among == "backend" and not one_backend)
        if how.among == "seed":
            text = "" if follows else _by_seed(key, a, b)
        elif apart or _NOBODY in alike:
            text = "; ".join(filter(None, (_odd(key, [group]) for group in (a, b))))
        elif _SEVERAL in alike:
            text = _odd(key, [a, b])
        else:
            text = " against ".join(two(*alike))
        if text:
            found.append(Caution(key, text))
    return found


def within(group: Group) -> list[Caution]:
    """Return the facts in which a run of the group differs from the others."""
    keys = [k for k in sorted(group.facts) if _uniform(group, k) is _SEVERAL]
    found = [Caution(key, _odd(key, [group])) for key in keys if rule(key).among != "seed"]
    return [each for each in found if each.text]


def _backend(group: Group) -> Any:
    return group.settings.get(COMPARED)


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


def _by_seed(key: str, a: Group, b: Group) -> str:
    first, second = _values(a, key), _values(b, key)
    shared = [s for s in first if s in second and first[s] != second[s]]
    said = [f"{' against '.join(two(first[s], second[s]))} with seed {s}" for s in shared[:MOST]]
    more = len(shared) - MOST
    return ", ".join([*said, f"and with {count(more, 'more seed')}"] if more > 0 else said)


def _odd(key: str, groups: Sequence[Group]) -> str:
    """Say which runs differ from the most common value among `groups`."""
    values = [(g, s, value) for g in groups for s, value in _values(g, key).items()]
    counts = Counter(value for *_, value in values)
    if len(counts) < 2:
        return ""
    usual = counts.most_common(1)[0][0]
    odd = [each for each in values if each[-1] != usual]
    said = [f"{two(usual, v)[1]} in {g.label} seed {s}" for g, s, v in odd[:MOST]]
    more = len(odd) - MOST
    listed = ", ".join([*said, f"and {count(more, 'more run')}"] if more > 0 else said)
    return f"{two(usual, odd[0][-1])[0]}, but {listed}"


def effect(key: str) -> str:
    """Return what is known of a difference in the setting `key`."""
    known = [name for name in EFFECTS if key == name or key.startswith(f"{name}.")]
    return EFFECTS[max(known, key=len)] if known else UNKNOWN


def apart_sentences(tables: Sequence[Table]) -> list[str]:
    """Say why there is more than one table: what the groups of each do not share with the first."""
    sentences = []
    for number, table in enumerate(tables[1:], start=2):
        reasons = [
            f"{key} ({_words(value)} there, {_words(tables[0].apart[key])} in table 1)"
            for key, value in table.apart.items()
            if value != tables[0].apart[key]
        ]
        labels = ", ".join(group.label for group in table.groups[:4])
        more = ", ..." if len(table.groups) > 4 else ""
        sentences.append(
            f"Table {number} ({labels}{more}) is not ranked against table 1, because it differs in "
            f"{'; '.join(reasons)}."
        )
    return sentences


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value if item) or "none"
    return str(value)
