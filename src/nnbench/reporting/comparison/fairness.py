"""What else differs between two groups, besides what is compared, and what that is known to do."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.reporting.comparison.groups import Group, Table

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


def findings(a: Group, b: Group) -> dict[str, str]:
    """Return what differs between two groups besides the backend: a sentence by setting."""
    found = {}
    for key in sorted((a.settings.keys() | b.settings.keys()) - {COMPARED, "case", "seed"}):
        first, second = a.settings.get(key), b.settings.get(key)
        if first != second:
            found[key] = f"{key}: {first} against {second} ({effect(key)})"
    return found


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
            f"Table {number} ({labels}{more}) is not ranked against table 1, because it differs in "
            f"{'; '.join(reasons)}."
        )
    return sentences


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value if item) or "none"
    return str(value)
