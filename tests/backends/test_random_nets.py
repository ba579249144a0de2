"""Random nets agree across the backends; hypothesis draws them, and shrinks one that does not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from nnbench.backends.drift import judge
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import Verdict
from nnbench.testing.cases import Case
from nnbench.testing.random_nets import dark_case, random_case, seeded, seeded_dark
from support.backends import factory

# make parity asks for other nets, a process for each seed: programs that XLA has compiled stay.
COUNT = 50
FEW = 2
SEED = int(os.environ.get("NNBENCH_RANDOM_NETS_SEED", "20261121"))
ENOUGH, SHARE_SHORT = 10, 0.02
SERIES = (seeded, seeded_dark)
Pair = tuple[str, str]  # backend and execution
OTHERS: tuple[Pair, ...] = (("numpy", "fused"), ("torch", "eager"), ("keras", "xla"))
BY_TURNS: tuple[Pair, ...] = (("keras", "graph"), ("keras", "fit"))  # beside them, one a net


@st.composite
def cases(draw: st.DrawFn) -> Case:
    make = draw(st.sampled_from((random_case, dark_case)))
    return make(lambda options: draw(st.sampled_from(options)))


def judged(case: Case, others: Sequence[Pair]) -> dict[str, Verdict]:
    """Return the verdict on each execution over the case's 18 or 21 steps."""
    size, excluded = case.task.step_samples, case.task.architecture.without_effect()
    reference, found = NumpyTrainer(case.task, case.splits), {}
    for name, execution in others:
        trainer = factory(name)(case.on(execution), case.splits)
        _, verdict = judge(reference, trainer, case.params, case.steps(), size, excluded)
        found[f"{name} {execution}"] = verdict
    return found


@pytest.mark.timeout(COUNT * 60)
@pytest.mark.parametrize("count", [FEW, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_random_nets_agree(count: int) -> None:
    """Half of them dark; of chaotic ones the stable prefix is compared, which is hardly short."""
    outcomes: Counter[str] = Counter()

    @seed(SEED)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    @given(case=cases())
    def agree(case: Case) -> None:
        turn = BY_TURNS[outcomes["nets"] % 2] if count == COUNT else OTHERS[0]
        outcomes["nets"] += 1
        for name, found in judged(case, tuple(dict.fromkeys((*OTHERS, turn)))).items():
            outcomes[found.outcome] += 1
            outcomes["short"] += found.compared < ENOUGH
            assert found.outcome != "diverges", (name, case.task, found)

    agree()
    print(dict(outcomes))  # noqa: T201 - shown by pytest -s
    short, _ = outcomes.pop("short"), outcomes.pop("nets")
    assert sum(outcomes.values()) >= count * len(OTHERS)
    assert short <= max(sum(outcomes.values()) * SHARE_SHORT, len(OTHERS))


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 150])
def test_nearly_every_net_is_compared_over_ten_steps(count: int) -> None:
    """As many nets of any kind as dark ones: ReLU, zero biases, at least half the pixels zero."""
    found = [judged(make(i), OTHERS[:1])["numpy fused"] for make in SERIES for i in range(count)]
    assert all(each.outcome != "diverges" for each in found)
    short = sum(each.compared < ENOUGH for each in found)
    print(f"{short} of {len(found)} nets are compared over fewer than {ENOUGH} steps")  # noqa: T201
    assert short <= SHARE_SHORT * len(found)


def test_dark_cases_are_dark() -> None:
    for i in range(20):
        case = seeded_dark(i)
        images = case.splits["train"].inputs
        assert ((images == 0).mean(axis=(1, 2, 3)) >= 0.5).all()
        assert images.max() > 0
        biases = [p for key, p in case.params.items() if key.role == "bias"]
        assert all((p == 0).all() for p in biases)
        kinds = [getattr(layer, "name", "") for layer in case.task.architecture.layers]
        assert "relu" in kinds[kinds.index("conv2d") :]
