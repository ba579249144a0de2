"""`nnbench study NAME`: a published comparison, run once, against what was published."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nnbench.reporting.pages.screen import say


@click.command()
@click.argument("name", required=False)
@click.argument("overrides", nargs=-1)
def command(name: str | None, overrides: Sequence[str]) -> int:
    """Run a published comparison once and print published against measured, as published and
    matched, with verdicts; without NAME list the studies. OVERRIDES apply to each case, as in
    data=mnist_5k epochs=10. `nnbench claims` does the same over several seeds.
    """
    from nnbench.cli.answering import answer_claims
    from nnbench.config.studies import read_study, studies, with_origin
    from nnbench.errors import ConfigError

    if name is not None and "=" in name:
        raise ConfigError(f"Received {name} without a study; `nnbench study` lists them.")
    if name is not None:
        return answer_claims([name, *overrides], 1, False, None)
    for each in studies():
        try:
            say(f"{with_origin(each)}: {read_study(each)['title']}")
        except ConfigError as error:
            say(f"{with_origin(each)}: {error}")
    return 0
