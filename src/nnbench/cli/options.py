"""What several commands take: a results folder, overrides, a recorded run's in their place."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="The results folder; results=DIR says the same.",
)


def _settings_of_runs(
    _context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> list[str]:
    """Return overrides, those of a recorded run in place of its name, id or `@last`.

    What is typed beside it comes later, and counts. Raises ResultsError where there is no such run.
    """
    named = [word for word in words if "=" not in word and word[:1] not in ("+", "~")]
    if not named:
        return list(words)
    from nnbench.cli.results import folder
    from nnbench.records.lookup import recorded
    from nnbench.records.settings import command

    where = next((folder(word) for word in words if word.startswith("results=")), "results")
    typed = [word for word in words if word not in named]
    found: list[str] = []
    for name in named:
        found += shlex.split(command(recorded(name, Path(where)).config).replace("\\\n", " "))[1:]
    backend = any(word.startswith("backend=") for word in typed)
    kept = [word for word in found if not (backend and word.startswith("backend"))]
    groups = {word.partition("=")[0] for word in typed if word.partition("=")[0] in _GROUPED}
    kept = [word for word in kept if word.split("=")[0].split(".")[0] not in groups]
    return [*kept, *typed]


_GROUPED = ("arch", "data", "init", "loss", "optimizer", "schedule", "device", "tracking")
overrides = click.argument(
    "overrides", nargs=-1, metavar="[RUN] [KEY=VALUE]...", callback=_settings_of_runs
)
