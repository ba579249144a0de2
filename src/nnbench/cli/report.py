"""`nnbench report`: what the recorded runs tell, as a page, Markdown, tables and plots."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say
from nnbench.schema.progress import part

ASKING = 0.45  # of the time of a report; the rest is drawing and writing


@click.command()
@click.argument("words", nargs=-1)
@click.option("--runs", "filters", multiple=True, help="The same as WORDS.")
@options.results
@click.option("--uri", help="Read an MLflow store instead, as http://... or sqlite:///...")
@click.option("--experiment", help="Of this MLflow experiment.")
@click.option("--sweep", help="Of this sweep, or the beginning of its name.")
@click.option("--baseline", help="The group or backend that ratios are taken against.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: RESULTS/report]")
@click.option("--png", is_flag=True, help="Write the plots as PNG, too, beside SVG and PDF.")
@click.option("--title", default="nnbench report", show_default=True)
@click.option(
    "--fail-if",
    multiple=True,
    help="Exit with 1 if this is met, as 'torch.time.low > 1.1 * numpy.time'; see "
    "docs/pipelines.md.",
)
@click.option("--json", metavar="FILE", help="Write verdicts as JSON; - prints them.")
@click.option("--junit", metavar="FILE", help="Write verdicts and conditions as JUnit XML.")
@click.option("--summary", metavar="FILE", help="Write a short summary as Markdown.")
def command(
    words: tuple[str, ...],
    filters: tuple[str, ...],
    results: Path,
    out: Path | None,
    png: bool,
    fail_if: tuple[str, ...],
    **asked: Any,
) -> int:
    """Compare recorded runs: verdicts with intervals, tables, plots, and what else differs. WORDS
    choose runs, as backend=numpy batch_size=32 or parts of names; all must fit.
    """
    from nnbench.cli.progress import Display
    from nnbench.config.installation import need
    from nnbench.reporting.asking import FORMS, Form, report
    from nnbench.reporting.claims.expression import check_condition
    from nnbench.reporting.comparison.conditions import judge
    from nnbench.reporting.pages.screen import Screen
    from nnbench.reporting.pages.terminal import report_text

    need("nnbench report", "pandas", "pyarrow", "matplotlib", "seaborn")
    for condition in fail_if:
        check_condition(condition)
    files: dict[Form, str | None] = {form: asked.pop(form) for form in FORMS}
    printed = _check_files(files)
    screen = Screen(stderr=printed)
    with _uncollected(), Display(screen).work("report") as work:
        found = report([*words, *filters], results, tell=part(work, 0.0, ASKING), **asked)
        conditions = judge(fail_if, found.content)
        page = found.write(out or results / "report", ("png",) * png, part(work, ASKING, 1.0))
        for form, file in files.items():
            if file is not None:
                _write(form, file, found.written(form, conditions))
    for line in found.left_out:
        say(f"left out: {line}", err=True)
    screen.print(report_text(found.content), highlight=False)
    say(f"\n{page}", err=printed)
    met = [condition for condition in conditions if condition.met]
    for each in met:
        say(f"nnbench: {each}", err=True)
    return 1 if met else 0


def _check_files(files: Mapping[Any, str | None]) -> bool:
    """Tell whether one of `files` is standard output. Raises NNBenchError for what cannot be."""
    from nnbench.errors import ConfigError, ResultsError

    printed = [f"--{form} -" for form, file in files.items() if file == "-"]
    if len(printed) > 1:
        raise ConfigError(
            f"Received {' '.join(printed)}; print one, and name files for the others."
        )
    for form, file in files.items():
        folder = Path(file or "-").absolute().parent
        if file == "" or Path(file or "-").is_dir() or not folder.is_dir():
            why = f"there is no folder {folder}" if file else "it has no name"
            why = "it is a folder" if file and Path(file).is_dir() else why
            raise ResultsError(f"Cannot write --{form} {file}: {why}; name a file, or -.")
    return bool(printed)


def _write(form: str, file: str, text: str) -> None:
    """Write `text` to a file, a pipe or a device, or print it. Raises ResultsError."""
    from nnbench.credentials import hidden
    from nnbench.errors import ResultsError
    from nnbench.writing import write

    text = hidden(text)
    if file == "-":
        say(text.removesuffix("\n"))
        return
    path = Path(file)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            write(path, text.encode())
    except OSError as error:
        raise ResultsError(f"Cannot write --{form} {file}: {error.strerror}.") from None


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave cyclic garbage alone: looking for it among many records is a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
