"""Places for runs that go on at the same time: each has cores of its own."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest

from nnbench.config.composition import compose, compose_all
from nnbench.sweeps.launchers import pool


@pytest.mark.parametrize("cores", [[0, 1], [2, 3, 5, 7], list(range(16))])
@pytest.mark.parametrize("threads", [1, 2])
def test_no_two_places_share_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: list[int], threads: int
) -> None:
    monkeypatch.setattr(pool, "_cores", lambda: cores)
    cells = compose_all([f"seed={','.join(map(str, range(20)))}", f"threads={threads}"])
    launcher = compose(["launcher=parallel"]).config.launcher
    for n in range(1, len(cores) // threads + 1):
        found = pool.places(dataclasses.replace(launcher, n_jobs=n), cells)
        assert len(found) == n
        for place in found:
            assert place.cores is not None
            assert len(set(place.cores)) >= threads
            assert set(place.cores) <= set(cores)
        for a, b in combinations(found, 2):
            assert not set(a.cores or ()) & set(b.cores or ()), (n, a.cores, b.cores)
