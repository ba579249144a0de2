"""How initial weights compare: from which distributions both programs draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nnbench.model.network import ParamKey
from nnbench.model.reading import Distribution
from nnbench.reporting.diagnosis.differences import aligned
from nnbench.reporting.diagnosis.sides import Side
from nnbench.reporting.explain.layers import entry
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class InitialWeights:
    """How initial weights compare: `rows` are (parameter, A's distribution, B's) that differ."""

    rows: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        if not self.rows:
            return "the same distributions, other draws"
        parts: dict[tuple[str, str], list[str]] = {}
        for name, a, b in self.rows:
            parts.setdefault((a, b), []).append(name)
        told = [f"{a} against {b} ({', '.join(names)})" for (a, b), names in parts.items()]
        return f"other distributions: {'; '.join(told)}"


def initial_weights(
    a: Side, b: Side, va: Mapping[str, Any], vb: Mapping[str, Any]
) -> InitialWeights:
    """Return how the distributions compare that both sides draw their first weights from."""
    rows: list[tuple[str, str, str]] = []
    i = j = 0
    for old, new in aligned(a, b, va, vb):
        if old is not None and new is not None:
            rows += _drawn(a, b, i, j, entry(old)["name"])
        i, j = i + (old is not None), j + (new is not None)
    return InitialWeights(tuple(rows))


def _drawn(a: Side, b: Side, i: int, j: int, kind: str) -> Iterator[tuple[str, str, str]]:
    for key, first in a.reading.init.items():
        layer, role = ParamKey.parse(key)
        if layer != a.position(i):
            continue
        second = b.reading.init.get(str(ParamKey(b.position(j), role)))
        if second is not None and not _alike(first, second):
            yield f"{kind} {i + 1} {role}", distribution(first), distribution(second)


def _alike(a: Distribution, b: Distribution) -> bool:
    """Tell whether two distributions are one; their constants are estimates."""
    if a.name != b.name or (a.name == "values") or a.says != b.says:
        return False
    pairs = ((a.low, b.low), (a.high, b.high), (a.mean, b.mean), (a.deviation, b.deviation))
    for x, y in pairs:
        if (x is None) != (y is None):
            return False
        if x is not None and y is not None and abs(x - y) > 0.05 * max(abs(x), abs(y), 1e-12):
            return False
    return True


def distribution(of: Distribution) -> str:
    """Return a distribution in words."""
    if of.says:
        return of.says
    match of.name:
        case "uniform":
            return f"U({of.low:.3g}, {of.high:.3g})"
        case "constant":
            return f"{of.low:g} everywhere"
        case "values":
            return "values of no known distribution"
    cutoff = ", cut at two deviations" if of.name == "truncated_normal" else ""
    return f"N({of.mean or 0:.3g}, {of.deviation:.3g}{cutoff})"
