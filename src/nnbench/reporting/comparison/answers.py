"""What nets answer on the test samples: who is right, who agrees with whom, and where they part."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.formatting import percent
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.groups import Group, seed
from nnbench.reporting.comparison.tested import Read, read_tested, split_of
from nnbench.schema.deferred import dataclass

MOST_GROUPS = 6  # that fit beside each other
MOST_SAMPLES = 10
MOST_CLASSES = 20
ALIKE = 0.995  # the share of equal answers from which on there is nothing to tell groups apart by


@dataclass(frozen=True)
class Answers:
    """The labels and confidences `(n,)` that one run gives the test samples, and the truth.

    The label -1 is no answer: the run's logits are no numbers there.
    """

    predicted: NDArray[np.integer]
    confidence: NDArray[np.floating]
    targets: NDArray[np.integer]


@dataclass(frozen=True)
class Sample:
    """A test sample: its image, its label, and each group's answer with its confidence."""

    image: NDArray[Any]
    target: int
    answers: Mapping[str, tuple[int, float]]


AllAnswers = Mapping[str, Mapping[int, Answers]]  # by group and seed


def read_answers(run: RunResult, read: Read = read_tested) -> Answers | None:
    """Return what `run` answers; None in regression and where its predictions are not at hand."""
    found = read(run)
    if found is None or found.predicted is None or found.confidence is None:
        return None
    return Answers(found.predicted, found.confidence, found.targets)


def all_answers(groups: Sequence[Group], read: Read = read_tested) -> dict[str, dict[int, Answers]]:
    """Return the answers of each group by seed; groups without any are left out.

    Only runs over the same test samples are comparable: those of the first run that has answers.
    """
    found: dict[str, dict[int, Answers]] = {}
    targets = None
    for group in groups:
        by_seed = {}
        for run in group.finished:
            answers = read_answers(run, read)
            if answers is None:
                continue
            targets = len(answers.targets) if targets is None else targets
            if len(answers.targets) == targets:
                by_seed[seed(run)] = answers
        if by_seed:
            found[group.label] = by_seed
    return found


def agreement(answers: AllAnswers) -> dict[tuple[str, str], float]:
    """Return the share of test samples that two groups answer alike, the mean over their seeds."""
    found = {}
    for a, b in itertools.combinations(answers, 2):
        shares = [
            float(np.mean(answers[a][s].predicted == answers[b][s].predicted))
            for s in answers[a].keys() & answers[b].keys()
        ]
        if shares:
            found[a, b] = mean(shares)
    return found


def agreement_sentences(answers: AllAnswers) -> list[str]:
    """Say which groups answer most and least alike, and how often all of them do."""
    pairs = agreement(answers)
    if not pairs:
        return []
    found = []
    (a, b), least = min(pairs.items(), key=lambda pair: pair[1])
    (c, d), most = max(pairs.items(), key=lambda pair: pair[1])
    if least >= ALIKE and len(pairs) > 1:
        groups = len({label for pair in pairs for label in pair})
        share = "all" if least == 1.0 else f"{percent(least)} or more"
        return [f"Any two of the {groups} groups answer {share} of the test samples alike."]
    found.append(f"{c} and {d} give the same answer to {percent(most)} of the test samples.")
    if (a, b) != (c, d):
        found.append(f"{a} and {b} agree least: {percent(least)}.")
    return found


def confusion(by_seed: Mapping[int, Answers]) -> NDArray[np.float64]:
    """Return how often a label (row) is answered so (column), as shares of the label's samples."""
    classes = 1 + max(int(max(a.targets.max(), a.predicted.max())) for a in by_seed.values())
    counts = np.zeros((classes, classes))
    for answers in by_seed.values():
        known = answers.predicted >= 0
        np.add.at(counts, (answers.targets[known], answers.predicted[known]), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def samples(groups: Sequence[Group], answers: AllAnswers) -> list[Sample]:
    """Return the test samples that tell most: those that groups answer differently come first.

    Then those that they are least sure of; all with the first seed that all groups have. There
    are none where the data are no images, or not to be had here.
    """
    labels = list(answers)[:MOST_GROUPS]
    shared = set.intersection(*(set(answers[label]) for label in labels)) if labels else set()
    if not shared:
        return []
    chosen = min(shared)
    given = {label: answers[label][chosen] for label in labels}
    run = next(r for g in groups if g.label == labels[0] for r in g.finished if seed(r) == chosen)
    images = _images(run)
    first = given[labels[0]]
    if images is None or len(images) != len(first.targets):
        return []
    predicted = np.stack([a.predicted for a in given.values()])
    confidence = np.stack([a.confidence for a in given.values()]).mean(axis=0)
    different = (predicted != predicted[0]).sum(axis=0)
    wrong = (predicted != first.targets).sum(axis=0)
    order = np.lexsort((confidence, -wrong, -different))[:MOST_SAMPLES]
    return [
        Sample(
            images[i],
            int(first.targets[i]),
            {k: (int(a.predicted[i]), float(a.confidence[i])) for k, a in given.items()},
        )
        for i in order
    ]


def _images(run: RunResult) -> NDArray[Any] | None:
    """Return the test images of `run`, None where there are none."""
    if len((run.data.get("inputs") or {}).get("shape") or ()) not in (2, 3):
        return None
    split = split_of(run)
    return None if split is None else split.inputs
