"""Whether a run may be ranked, by the certificate that its record keeps."""

from __future__ import annotations

from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Standing:
    """Whether a run may be ranked: `word` goes beside it; `reason`, a sentence, where it is out."""

    ranked: bool
    word: str
    reason: str | None = None


# What keeps a run out of every ranking; `fail` is how records below version 6 put it.
OUT = ("diverges", "figures wrong", "fail")
GOOD = ("agrees", "figures agree")
FIGURES_SINCE = 6  # the version of run.json whose certificates cover the figures


def standing(run: RunResult) -> Standing:
    """Return what a run's certificate lets one do with it; the empty word is for what is proved."""
    found = run.parity
    if found is not None and found["outcome"] in OUT:
        return Standing(False, str(found.get("word") or "diverges"), str(found["text"]))
    if run.schema_version < FIGURES_SINCE or (found is not None and "figures" not in found):
        return Standing(True, "not recorded")
    if found is None:
        return Standing(True, "not checked")
    return Standing(True, "" if found["outcome"] in GOOD else str(found["word"]))
