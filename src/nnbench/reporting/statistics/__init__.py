"""The statistics of comparison: ratios of times, differences of accuracies, what they tell."""

from nnbench.reporting.statistics.scores import Contrast, Scores, contrast, crossed, of_figures
from nnbench.reporting.statistics.scores import corrected as corrected_contrasts
from nnbench.reporting.statistics.student import (
    CONFIDENCE,
    FEWEST,
    Difference,
    Part,
    Ratio,
    half_width,
    holm,
    interval,
    outliers,
    paired_ratio,
    parts_of_mean,
)
from nnbench.reporting.statistics.times import Comparison, compare_times, corrected, spread_of_times

__all__ = [
    "CONFIDENCE",
    "FEWEST",
    "Comparison",
    "Contrast",
    "Difference",
    "Part",
    "Ratio",
    "Scores",
    "compare_times",
    "contrast",
    "corrected",
    "corrected_contrasts",
    "crossed",
    "half_width",
    "holm",
    "interval",
    "of_figures",
    "outliers",
    "paired_ratio",
    "parts_of_mean",
    "spread_of_times",
]
