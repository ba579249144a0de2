"""Plots of answers: sample images, confusion matrices, agreement between nets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nnbench.records.colors import COLORS
from nnbench.reporting.comparison.answers import (
    ALIKE,
    MOST_CLASSES,
    MOST_GROUPS,
    AllAnswers,
    agreement,
    confusion,
    samples,
)
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.pages import room
from nnbench.reporting.pages.drawn import Drawn
from nnbench.reporting.pages.looks import INK, SOFT, fitted
from nnbench.reporting.pages.scene import seeds, sentences

COLUMNS = 5  # of sample images
LABEL = 28  # characters
SIDE = 2.3  # inches of a matrix
BLUE = COLORS["blue"][0]
ON_BLUE, DEEP = "#fefefe", 0.65  # white, on dark pages too, where a cell is so blue
MOST_MATRIX = 12  # groups of a matrix
FEWEST = 3  # groups of which a matrix says more than a sentence


def pictures(groups: Sequence[Group], answers: AllAnswers) -> dict[str, Callable[[], Drawn | None]]:
    """Return what can be drawn of the `answers` of `groups`, by name."""
    if not answers:
        return {}
    return {
        "sample_predictions": partial(_samples, groups, answers),
        "confusion": partial(_confusion, answers),
        "agreement": partial(_agreement, answers),
    }


def _cells(color: str) -> Any:
    """Return a scale of colours that begins with none, so that a dark page stays dark."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list("cells", [to_rgba(color, 0.0), to_rgba(color, 1.0)])


def _samples(groups: Sequence[Group], answers: AllAnswers) -> Drawn | None:
    from matplotlib.figure import Figure

    shown = samples(groups, answers)
    if not shown:
        return None
    rows = -(-len(shown) // COLUMNS)
    # In inches, set by hand: an automatic layout needs to draw twice to see the answers.
    image, above, below = 1.3, 0.3, 0.1 + 0.15 * len(shown[0].answers)
    height = rows * (image + above + below)
    figure = Figure(figsize=(10.0, height))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - above / height, bottom=below / height,
                           hspace=(above + below) / image)  # fmt: skip
    names = fitted(list(shown[0].answers), LABEL)
    for axes in grid.flat:
        axes.axis("off")
    for axes, sample in zip(grid.flat, shown, strict=False):
        gray = sample.image.ndim == 2
        axes.imshow(sample.image, cmap="gray_r" if gray else None, interpolation="nearest")
        axes.set_title(f"label {sample.target}", fontsize="small")
        for i, (name, (answer, confidence)) in enumerate(
            zip(names, sample.answers.values(), strict=True)
        ):
            wrong = answer != sample.target
            axes.annotate(
                f"{name}: {answer}{' ✗' * wrong} ({100 * confidence:.0f} %)",
                (0.5, 0.0),
                (0.0, -4.0 - 10.5 * i),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=7,
                color=INK if wrong else SOFT,
                parse_math=False,
            )
    caption = sentences(
        "Test samples that tell most.",
        "Those that groups answer differently come first, then those that they are least sure of; "
        "with the seed that all have, confidence in brackets, ✗ for a wrong answer.",
    )
    return Drawn(figure, caption, wide=True)


def _confusion(answers: AllAnswers) -> Drawn | None:
    matrices = {label: confusion(by_seed) for label, by_seed in list(answers.items())[:MOST_GROUPS]}
    classes = max(len(matrix) for matrix in matrices.values())
    if classes > MOST_CLASSES:
        return None
    alike: dict[bytes, list[str]] = {}  # equal matrices are drawn once
    for label, matrix in matrices.items():
        alike.setdefault(matrix.round(3).tobytes(), []).append(label)
    drawn_labels = [labels[0] for labels in alike.values()]
    columns = min(3, len(alike))
    rows = -(-len(alike) // columns)
    around = room.Around(0.5, 0.9, 0.5, 0.3, across=0.5, down=0.75)
    figure = room.figure(SIDE, SIDE, around, columns, rows)
    grid = np.atleast_1d(np.asarray(figure.subplots(rows, columns)))
    image: Any = None
    for axes in grid.flat:
        axes.axis("off")
    for axes, label in zip(grid.flat, drawn_labels, strict=False):
        image = _matrix(axes, matrices[label], classes)
    for axes, name in zip(grid.flat, _titles(list(alike.values())), strict=False):
        axes.set_title(name, fontsize="small", parse_math=False)
    width = figure.get_size_inches()[0]
    beside = figure.add_axes((1 - 0.75 / width, 0.25, 0.12 / width, 0.5))
    figure.colorbar(image, cax=beside, label="fraction of the label's samples")
    caption = sentences(
        "What is taken for what.",
        "Per cent of the test samples of a label (row) that get an answer (column), over all "
        f"seeds ({seeds(map(len, answers.values()))}).",
        "Groups with the same matrix share one." if len(alike) < len(matrices) else "",
    )
    return Drawn(figure, caption, wide=columns > 1)


def _titles(alike: list[list[str]]) -> list[str]:
    """Return what is over each matrix: its group, and how many have the same."""
    first = fitted([labels[0] for labels in alike], LABEL)
    return [name + f" and {len(labels) - 1} more" * (len(labels) > 1)
            for name, labels in zip(first, alike, strict=True)]  # fmt: skip


def _matrix(axes: Any, matrix: Any, classes: int) -> Any:
    """Draw one confusion matrix; return its image."""
    axes.axis("on")
    axes.grid(visible=False)
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap=_cells(BLUE))
    axes.set(xlabel="predicted", ylabel="label")
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    axes.tick_params(labelsize=6)
    for i, j in zip(*np.nonzero(matrix >= 0.005), strict=True):
        color = ON_BLUE if matrix[i, j] > DEEP else INK
        axes.text(j, i, f"{100 * matrix[i, j]:.0f}", ha="center", va="center", fontsize=5,
                  color=color)  # fmt: skip
    return image


def _agreement(answers: AllAnswers) -> Drawn | None:
    """Draw how often groups answer alike; what a sentence says as well is not drawn."""
    pairs = agreement(answers)
    shares = pairs | {(b, a): share for (a, b), share in pairs.items()}
    alike: list[list[str]] = []  # groups that answer as the first of them does are one
    for label in answers:
        same = [each for each in alike if shares.get((each[0], label), 0.0) >= ALIKE]
        if same:
            same[0].append(label)
        elif any(label in pair for pair in pairs):
            alike.append([label])
    if len(alike) < FEWEST:
        return None
    shown = alike[:MOST_MATRIX]
    matrix = np.array([[shares.get((a[0], b[0]), float(a is b)) for b in shown] for a in shown])
    caption = sentences(
        "How often two groups give the same answer.",
        f"Per cent of the test samples, means over {seeds(map(len, answers.values()))}.",
        "Groups that nearly always do share a row." if len(alike) < len(answers) else "",
        f"The first {len(shown)} of {len(alike)} rows are drawn." if shown != alike else "",
    )  # fmt: skip
    return Drawn(_agreeing(matrix, _titles(shown)), caption)


def _agreeing(matrix: Any, names: list[str]) -> Any:
    """Draw the shares `(n, n)` of answers that are the same."""
    size, texts = 0.5 + 0.42 * len(names), 0.7 * room.before(names)
    figure = room.figure(size, size, room.Around(texts, bottom=texts + 0.1))
    axes = figure.subplots()
    axes.grid(visible=False)
    low = min(0.5, float(matrix.min()))
    axes.imshow(matrix, vmin=low, vmax=1, cmap=_cells(BLUE))
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(range(len(names)), names, fontsize=7)
    axes.tick_params(axis="x", rotation=90)
    for i, j in np.ndindex(matrix.shape):
        color = ON_BLUE if matrix[i, j] > low + DEEP * (1 - low) else INK
        axes.text(j, i, f"{100 * matrix[i, j]:.1f}", ha="center", va="center", fontsize=6,
                  color=color)  # fmt: skip
    return figure
