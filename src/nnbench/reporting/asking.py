"""Asking for a report: which runs it is about, and the report as pages and tables."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from nnbench.errors import ConfigError, ResultsError
from nnbench.formatting import count
from nnbench.reporting.comparison.conditions import Condition
from nnbench.reporting.comparison.content import Report as Content
from nnbench.reporting.comparison.content import build
from nnbench.reporting.comparison.frame import epochs_frame, groups_frame, runs_frame
from nnbench.reporting.comparison.select import (
    check_keys,
    fitting,
    local,
    of_explanation,
    select,
)
from nnbench.reporting.pages import html, markdown
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import noting
from nnbench.schema.progress import Tell, nobody, part
from nnbench.sweeps.notebook import observer as here
from nnbench.tracking.download import from_store
from nnbench.writing import staged

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["json", "junit", "summary"]
FORMS: tuple[Form, ...] = get_args(Form)
TITLE = "nnbench report"
READING = 0.3  # of the time of reading and comparing, measured with 1,000 runs
TABLES = 0.1  # of the time of writing


@dataclass(frozen=True, repr=False)
class Report:
    """A report on recorded runs: `content` is all that it says, `left_out` what it is not about."""

    content: Content
    title: str = TITLE
    left_out: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Return the comparisons of backends alone, as sentences."""
        return self.content.verdicts

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """Return its tables: `groups`, `runs` and `epochs`, a row for each."""
        return {
            "groups": groups_frame(self.content),
            "runs": runs_frame(self.content),
            "epochs": epochs_frame(self.content),
        }

    def html(self) -> str:
        """Return one page that needs nothing beside it, plots included."""
        from nnbench.reporting.pages.plots import write_plots

        with tempfile.TemporaryDirectory() as folder, here().work("report") as work:
            plots = write_plots(self.content, Path(folder), tell=work)
            return html.html(self.content, self.title, plots)

    def markdown(self) -> str:
        """Return the report as Markdown, without plots."""
        return markdown.markdown(self.content, self.title)

    def as_data(self, conditions: Sequence[Condition] = ()) -> dict[str, Any]:
        """Return the report as plain data for JSON, with the `conditions` asked of it."""
        from nnbench.reporting.pages.data import report_data

        return report_data(self.content, self.title, conditions, self.left_out)

    def written(self, form: Form, conditions: Sequence[Condition] = ()) -> str:
        """Return the report for a pipeline: JSON, JUnit XML, or a short summary as Markdown."""
        from nnbench.reporting.pages.junit import junit
        from nnbench.reporting.pages.summary import summary

        if form == "json":
            return json.dumps(self.as_data(conditions), indent=1, allow_nan=False) + "\n"
        return (junit if form == "junit" else summary)(self.content, self.title, conditions)

    def write(self, folder: Path, plots_also: Sequence[str] = (), tell: Tell = nobody) -> Path:
        """Write the page, Markdown, data and plots into `folder`; return the page.

        Plots are SVG and PDF, and in the formats `plots_also`, as "png".
        """
        from nnbench.reporting.pages.plots import write_plots

        try:
            tell(0.0, 1.0, "writing tables")
            with staged(folder) as new:
                for name, frame in self.frames.items():
                    _write_frame(new / name, frame)
                plots = write_plots(
                    self.content, new / "plots", ("pdf", *plots_also), part(tell, TABLES, 1.0)
                )
                captions = {f"plots/{name}.svg": plot.caption for name, plot in plots.items()}
                text = markdown.markdown(self.content, self.title, captions)
                (new / "report.md").write_text(text, encoding="utf-8")
                page = html.html(self.content, self.title, plots)
                (new / "report.html").write_text(page, encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise ResultsError(f"Cannot write {folder}: {why}; choose --out.") from None
        return folder / "report.html"

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, for notebooks."""
        return (
            f'<iframe srcdoc="{escape(self.html())}" sandbox="allow-scripts" '
            'style="width: 100%; height: 40em; border: 1px solid #ccc"></iframe>'
        )

    def __repr__(self) -> str:
        count = len(self.content.runs)
        return f"<Report on {count} run{'s' * (count != 1)}: {' '.join(self.verdicts)}>"


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV and parquet; Arrow writes in a tenth of the time that pandas takes."""
    from pyarrow import Table, csv, parquet

    table = Table.from_pandas(frame, preserve_index=False, nthreads=1)
    csv.write_csv(table, path.with_suffix(".csv"))
    parquet.write_table(table, path.with_suffix(".parquet"))


def report(
    words: Sequence[str] = (),
    results: Path = Path("results"),
    *,
    uri: str | None = None,
    experiment: str | None = None,
    sweep: str | None = None,
    baseline: str | None = None,
    title: str = TITLE,
    tell: Tell = nobody,
) -> Report:
    """Compare the runs that fit `words` (`KEY=VALUE` settings or parts of names; all must fit).

    They are those of `results`, or of the MLflow store at `uri`; `experiment` and `sweep` narrow
    them down, ratios are taken against `baseline`, a group or backend. Raises NNBenchError.
    """
    if named := [word for word in words if word.startswith("results=")]:
        raise ConfigError(f"Received {named[0]} among the words; name the folder as `results`.")
    reading, comparing = part(tell, 0.0, READING), part(tell, READING, 1.0)
    if uri:
        with tempfile.TemporaryDirectory() as folder:
            runs = from_store(uri, experiment or "nnbench", Path(folder), reading)
            return Report(build(select(runs, words, None, sweep), baseline, comparing), title)
    try:
        runs, problems = local(results, reading)
    except ResultsError:
        check_keys(words)  # a mistake that running something will not mend
        raise
    left_out = list(problems)
    compared = [run for run in runs if not of_explanation(run)]
    if experiment is None and sweep is None and 0 < len(compared) < len(runs):
        fits = fitting(words, runs)
        others = sum(fits(run) for run in runs if of_explanation(run))
        left_out += [f"{count(others, 'run')} of nnbench explain (--sweep explain)"] * bool(others)
        runs = compared
    with noting() as noted:
        content = build(select(runs, words, experiment, sweep), baseline, comparing)
    return Report(content, title, (*left_out, *noted))
