"""The logits that the NumPy reference makes of a run's own weights, by split.

A certificate recomputes them: what is said of a net's answers need not rest on what its backend
said of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.records.files import write_arrays
from nnbench.schema.archives import arrays
from nnbench.schema.files import Damage, note, reason

RECOMPUTED_NAME = "recomputed.npz"
Logits = Mapping[str, NDArray[Any]]


def save(directory: Path, logits: Logits) -> None:
    """Write the logits `(n, outputs)` of each split beside the record in `directory`."""
    write_arrays(directory / RECOMPUTED_NAME, logits)


def load(directory: Path, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]] | None:
    """Return the logits `(n, outputs)` of `wanted` splits, or all of them, by split.

    None where there are none, or they are damaged.
    """
    try:
        found = arrays(directory / RECOMPUTED_NAME, wanted=wanted)
    except FileNotFoundError:
        return None
    except (OSError, Damage) as error:
        note(f"{directory / RECOMPUTED_NAME} is damaged ({reason(error)}) and left out; delete it.")
        return None
    sound = all(a.ndim == 2 and np.issubdtype(a.dtype, np.floating) for a in found.values())
    return found if found and sound else None
