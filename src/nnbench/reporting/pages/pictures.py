"""Plots of answers: sample images, confusion matrices, agreement between nets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnbench.formatting import cut
from nnbench.reporting.comparison.answers import (
    MOST_CLASSES,
    MOST_GROUPS,
    AllAnswers,
    agreement,
    confusion,
    samples,
)
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.pages import room

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure | None"]
COLUMNS = 5  # of sample images
LABEL = 34  # characters
SIDE = 2.5  # inches of a matrix
WRONG, RIGHT = "#b5443c", "#1c1e21"


def pictures(groups: Sequence[Group], answers: AllAnswers) -> dict[str, Draw]:
    """Return what can be drawn of the `answers` of `groups`, by name."""
    if not answers:
        return {}
    return {
        "sample_predictions": lambda: _samples(groups, answers),
        "confusion": lambda: _confusion(answers),
        "agreement": lambda: _agreement(answers),
    }


def _samples(groups: Sequence[Group], answers: AllAnswers) -> Figure | None:
    from matplotlib.figure import Figure

    shown = samples(groups, answers)
    if not shown:
        return None
    rows = -(-len(shown) // COLUMNS)
    # In inches, set by hand: an automatic layout needs to draw twice to see the answers.
    image, above, below = 1.6, 0.3, 0.1 + 0.15 * len(shown[0].answers)
    height = rows * (image + above + below)
    figure = Figure(figsize=(12.0, height))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - above / height, bottom=below / height,
                           hspace=(above + below) / image)  # fmt: skip
    for axes in grid.flat:
        axes.axis("off")
    for axes, sample in zip(grid.flat, shown, strict=False):
        gray = sample.image.ndim == 2
        axes.imshow(sample.image, cmap="gray_r" if gray else None, interpolation="nearest")
        axes.set_title(f"label {sample.target}", fontsize="small")
        for i, (label, (answer, confidence)) in enumerate(sample.answers.items()):
            axes.annotate(
                f"{cut(label, LABEL)}: {answer} ({100 * confidence:.0f} %)",
                (0.5, 0.0),
                (0.0, -4.0 - 10.5 * i),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=7,
                color=RIGHT if answer == sample.target else WRONG,
                parse_math=False,
            )
    return figure


def _confusion(answers: AllAnswers) -> Figure | None:
    matrices = {label: confusion(by_seed) for label, by_seed in list(answers.items())[:MOST_GROUPS]}
    classes = max(len(matrix) for matrix in matrices.values())
    if classes > MOST_CLASSES:
        return None
    columns = min(3, len(matrices))
    rows = -(-len(matrices) // columns)
    around = room.Around(0.5, 0.9, 0.5, 0.3, across=0.5, down=0.75)
    figure = room.figure(SIDE, SIDE, around, columns, rows)
    grid = np.atleast_1d(np.asarray(figure.subplots(rows, columns)))
    image: Any = None
    for axes in grid.flat:
        axes.axis("off")
    for axes, (label, matrix) in zip(grid.flat, matrices.items(), strict=False):
        axes.axis("on")
        axes.grid(visible=False)
        image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
        axes.set_title(cut(label, LABEL), fontsize="small", parse_math=False)
        axes.set_xlabel("predicted", fontsize="small")
        axes.set_ylabel("label", fontsize="small")
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        axes.tick_params(labelsize=6)
        for i, j in zip(*np.nonzero(matrix >= 0.005), strict=True):
            color = "white" if matrix[i, j] > 0.5 else "black"
            axes.text(j, i, f"{100 * matrix[i, j]:.0f}", ha="center", va="center", fontsize=5,
                      color=color)  # fmt: skip
    width = figure.get_size_inches()[0]
    beside = figure.add_axes((1 - 0.75 / width, 0.25, 0.12 / width, 0.5))
    figure.colorbar(image, cax=beside, label="fraction of the label's samples")
    return figure


def _agreement(answers: AllAnswers) -> Figure | None:
    pairs = agreement(answers)
    labels = [label for label in answers if any(label in pair for pair in pairs)]
    if len(labels) < 2:
        return None
    matrix = np.eye(len(labels))
    for (a, b), share in pairs.items():
        i, j = labels.index(a), labels.index(b)
        matrix[i, j] = matrix[j, i] = share
    names = [cut(label, LABEL) for label in labels]
    size, texts = 0.5 + 0.5 * len(labels), 0.7 * room.before(names)
    figure = room.figure(size, size, room.Around(texts, bottom=texts + 0.3))
    axes = figure.subplots()
    axes.grid(visible=False)
    low = min(0.5, float(matrix.min()))
    axes.imshow(matrix, vmin=low, vmax=1, cmap="Greens")
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(range(len(labels)), names, fontsize=7)
    axes.tick_params(axis="x", rotation=90)
    for i, j in np.ndindex(matrix.shape):
        color = "white" if matrix[i, j] > low + 0.6 * (1 - low) else "black"
        axes.text(j, i, f"{100 * matrix[i, j]:.1f}", ha="center", va="center", fontsize=6,
                  color=color)  # fmt: skip
    axes.set_xlabel("% of test samples with the same prediction", fontsize="small")
    return figure
