"""What else differs between two groups, besides what is compared, and what that is known to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnbench.reporting.comparison.groups import Group, Table

# Settings and what a difference in them does, whatever framework runs them. By the longest key
# that begins the setting's own.
EFFECTS = {
    "loss": "another loss or reduction has another gradient: mean squared error over ten outputs "
    "moves weights a tenth as far as summed cross-entropy",
    "optimizer.momentum": "momentum m lets a constant gradient move weights 1 / (1 - m) times as "
    "far: 0.9 is ten times the learning rate",
    "optimizer": "another optimizer takes other steps at the same learning rate",
    "schedule": "another learning rate takes other steps",
    "init": "other initial weights are another start: spreads of 0.0206 and 0.0468 for 784-128 are "
    "PyTorch's and Keras' defaults",
    "shuffle": "another order of the samples is another path",
    "batch_size": "another batch size takes another number of steps per epoch, and its time per "
    "step is another",
    "epochs": "more epochs are more training",
    "arch": "another net has other parameters",
    "dtype": "other arithmetic: another time per step, and rounding",
    "input": "batches from the framework's loader are part of its epoch time",
    "eval": "train figures are taken on other samples",
    "keep": "the best epoch is kept on one side, the last on the other",
    "early_stopping": "one side may stop earlier",
    "monitor": "another figure decides which epoch is best",
    "augment": "training images differ",
}
COMPARED = "backend"


@dataclass(frozen=True)
class Finding:
    """One difference between two groups: the setting, its two values, what it is known to do."""

    setting: str
    first: object
    second: object
    effect: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.first} against {self.second} ({self.effect})"


def findings(a: Group, b: Group, compared: str = COMPARED) -> list[Finding]:
    """Return what differs between two groups besides `compared`."""
    keys = sorted(a.settings.keys() | b.settings.keys())
    return [
        Finding(key, a.settings.get(key), b.settings.get(key), effect(key))
        for key in keys
        if key not in (compared, "case", "seed") and a.settings.get(key) != b.settings.get(key)
    ]


def effect(key: str) -> str:
    """Return what is known of a difference in the setting `key`."""
    known = [name for name in EFFECTS if key == name or key.startswith(f"{name}.")]
    return EFFECTS[max(known, key=len)] if known else "its effect is not known"


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
            f"Table {number} ({labels}{more}) is not ranked against table 1, for it differs in "
            f"{'; '.join(reasons)}."
        )
    return sentences


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value if item) or "none"
    return str(value)
