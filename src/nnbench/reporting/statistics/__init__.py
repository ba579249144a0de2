"""The statistics of comparison: ratios of times, differences of accuracies, what they tell."""

from nnbench.reporting.statistics.scores import Contrast, Scores, contrast, of_figures
from nnbench.reporting.statistics.scores import corrected as corrected_contrasts
from nnbench.reporting.statistics.student import (
    CONFIDENCE,
    FEWEST,
    Difference,
    Ratio,
    holm,
    interval,
    outliers,
    paired_ratio,
)
from nnbench.reporting.statistics.times import Comparison, compare_times, corrected

__all__ = [
    "CONFIDENCE",
    "FEWEST",
    "Comparison",
    "Contrast",
    "Difference",
    "Ratio",
    "Scores",
    "compare_times",
    "contrast",
    "corrected",
    "corrected_contrasts",
    "holm",
    "interval",
    "of_figures",
    "outliers",
    "paired_ratio",
]
