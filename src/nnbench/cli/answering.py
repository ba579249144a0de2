"""Answers to published claims, printed: what `nnbench claims` and `nnbench study` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench.reporting.pages.screen import say

if TYPE_CHECKING:
    from nnbench.reporting.claims.asking import Asked


def answer_claims(words: Sequence[str], seeds: int, recorded: bool, out: Path | None) -> int:
    """Answer the claims of the studies among `words` and print them; return the exit code.

    Raises SweepFailed, when all is printed, where runs failed.
    """
    from nnbench.cli.progress import Display
    from nnbench.errors import ConfigError, SweepFailed
    from nnbench.reporting.claims.asking import ask
    from nnbench.reporting.claims.text import claims_text
    from nnbench.reporting.pages.screen import Screen

    if out is not None and out.suffix != ".md":
        raise ConfigError(f"Received --out {out}; its name must end in .md.")
    console = Screen()
    names = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word]
    asked = ask(names, overrides, seeds, recorded, Display(console))
    console.print(claims_text(asked.studies))
    if out is not None:
        count = [] if seeds == 3 else [f"--seeds {seeds}"]
        _write(out, asked, " ".join(["nnbench claims", *words, *count]))
    if asked.missing:
        raise SweepFailed(f"{asked.missing} runs failed (see above).")
    return 0


def _write(out: Path, asked: Asked, typed: str) -> None:
    from nnbench.errors import ResultsError
    from nnbench.reporting.claims.text import claims_markdown
    from nnbench.reporting.comparison.notes import environment
    from nnbench.writing import write

    page = claims_markdown(asked.studies, environment(asked.runs), typed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, page.encode())
    except OSError as error:
        raise ResultsError(f"Cannot write --out {out}: {error.strerror}.") from None
    say(out)
