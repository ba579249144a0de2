"""The plots of a report, as files and as its page has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from nnbench.reporting.comparison.content import Report
from nnbench.reporting.pages import bars, curves
from nnbench.reporting.pages.drawn import Drawn, Plot, write
from nnbench.reporting.pages.looks import STYLE
from nnbench.reporting.pages.pictures import pictures
from nnbench.reporting.pages.scene import Scene
from nnbench.reporting.pages.typeface import typeface
from nnbench.schema.progress import Tell, counted, nobody

FEW = 6  # groups: their curves say more than their ratios, which come first where there are more


def write_plots(
    report: Report, folder: Path, also: Sequence[str] = (), tell: Tell = nobody
) -> dict[str, Plot]:
    """Write every plot as SVG, in the formats `also` too; return them by name, the first first."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    with matplotlib.rc_context(STYLE), typeface():
        for name, draw in counted(list(_drawings(report).items()), tell, "drawing plot"):
            if (drawn := draw()) is not None:
                plots[name] = write(name, drawn, folder, also)
    return plots


def _drawings(report: Report) -> dict[str, Callable[[], Drawn | None]]:
    scene = Scene(report.tables[0], report)
    rates = any(curves.by_epoch(group, "test_accuracy") for group in scene.groups)
    gap = "train minus test accuracy" if rates else "test minus training loss"
    test = partial(curves.curve, scene, "test_loss", "test loss", log=True)
    by_epoch: dict[str, Callable[[], Drawn | None]] = {
        "test_accuracy": partial(curves.curve, scene, "test_accuracy", "test accuracy"),
        **({} if rates else {"test_loss": test}),
        "generalization_gap": partial(curves.curve, scene, "generalization_gap", gap),
        "train_loss": partial(curves.curve, scene, "train_loss", "training loss", log=True),
    }
    first: dict[str, Callable[[], Drawn | None]] = {
        "accuracy_against_time": partial(curves.against_time, scene),
        "time_ratios": partial(bars.epoch_ratios, scene),
        "target_ratios": partial(bars.target_ratios, scene),
    }
    if len(scene.content.table.groups) > FEW:
        first = {name: first[name] for name in ("time_ratios", "accuracy_against_time",
                                                "target_ratios")}  # fmt: skip
    return {
        **first,
        **by_epoch,
        "time_ledger": partial(bars.time_ledger, scene),
        "effects": partial(bars.effects, scene),
        "parity_drift": partial(bars.parity_drift, scene),
        **pictures(scene.content.table.groups, report.answers),
    }
