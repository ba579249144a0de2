"""A step of training as one HTML page that plays it: needs nothing beside it, and no network.

The script, `templates/trace.js`, holds the formulas; here is chosen what fits on a page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE = 1200  # numbers of an array that are shown whole; of a larger one a part is
BATCH, WIDTH, IMAGE = 4, 10, 6  # of a part: samples, numbers in a row, rows and columns of an image


def page(said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the page of a traced step: `said` are its facts, `arrays` those of its npz."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    backends = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    shown = {name: _shown(name.partition("/")[2], array) for name, array in arrays.items()}
    parts = sorted({name.partition("/")[2] for name, each in shown.items() if each["kept"]})
    data = {
        "backends": backends,
        "arrays": shown,
        "single": any(array.dtype == np.float32 for array in arrays.values()),
        **{key: said[key] for key in ("layers", "net", "output_activation", "loss", "optimizer")},
        **{key: said[key] for key in ("rate", "augmented", "step")},
    }
    environment = Environment(
        loader=PackageLoader("nnbench.reporting.pages"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("trace.html.j2").render(
        said=said,
        backends=backends,
        parts=parts,
        data=json.dumps(data).replace("<", "\\u003c"),
        script=(files("nnbench.reporting.pages") / "templates" / "trace.js").read_text("utf-8"),
    )


def _shown(what: str, array: NDArray[Any]) -> dict[str, Any]:
    """Return shape and values in order; `kept`, where a part is shown: which places of each axis.

    Which those are depends on the lengths alone, so that what goes together is shown together.
    """
    shape = array.shape
    kept = None
    if array.size > WHOLE:
        kept = [_middle(length, _most(what, axis, len(shape))) for axis, length in enumerate(shape)]
        array = array[np.ix_(*kept)]
    return {"shape": shape, "kept": kept, "values": [_plain(v) for v in array.ravel().tolist()]}


def _most(what: str, axis: int, axes: int) -> int:
    """Return how many places of an axis are shown of an array of `axes`."""
    of_weights = what.partition(".")[2].partition(".")[0] != "output" and what[:1].isdigit()
    if axis == 0 and not of_weights:
        return BATCH
    return IMAGE if axes == 4 else WIDTH


def _middle(length: int, most: int) -> list[int]:
    """Return `most` places from the middle of an axis; of a square image in one row, its middle."""
    side = math.isqrt(length)
    start = max(0, (length - most) // 2)
    if side * side == length and side >= most:
        start = side // 2 * side + (side - most) // 2
    return list(range(start, min(length, start + most)))


def _plain(value: float) -> float | str:
    """Return a number that JSON has, or its name."""
    return value if math.isfinite(value) else str(value)
