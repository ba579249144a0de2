"""Whether a trainer takes the same steps as the NumPy reference."""

from __future__ import annotations

from nnbench.backends.parity import Agreement, drift, verdict
from nnbench.backends.protocol import TrainerFactory
from nnbench.testing.cases import Case


def equals_the_reference(make: TrainerFactory, execution: str, case: Case) -> Agreement:
    """Compare the weights after each of 21 steps; return how far apart they are in the end.

    Of a chaotic case the stable prefix is compared. Raises AssertionError naming the step and the
    layer that diverge first.
    """
    from nnbench.backends.numpy import NumpyTrainer

    reference = NumpyTrainer(case.task, case.splits)
    trainer = make(case.on(execution), case.splits)
    excluded = case.task.architecture.without_effect()
    found = [
        step["other"]
        for step in drift(reference, {"other": trainer}, case.params, case.steps(), excluded)
    ]
    judged = verdict(found)
    if judged.parted is not None:
        parted = found[judged.parted]
        layer = case.task.architecture.layers[parted.layer]
        raise AssertionError(
            f"diverges at step {judged.parted + 1} of {len(found)}, most in layer "
            f"{parted.layer + 1} ({layer.name}): weights differ by "
            f"{parted.difference:.1e} of the largest, by {parted.one_ulp:.1e} when the "
            "initial weights are perturbed by 1 ulp"
        )
    if not judged.compared:
        raise AssertionError("chaotic from the first step; there is nothing to compare")
    return found[judged.compared - 1]
