"""The certificate of a run: what is proved of its weights and of its figures.

Weights: matched runs that differ in the backend alone are compared after their first steps and
after every epoch (`nnbench.records.trajectory`), the kept ones in full. One more run of the
reference, its initial weights moved by one ulp, tells how much rounding does. Figures: those
of the kept epoch are recomputed from the run's own weights (`nnbench.records.figures`), those of
the other epochs held against the reference's.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from nnbench.backends.parity import Agreement, Verdict, verdict
from nnbench.config.backend import label_of
from nnbench.formatting import count
from nnbench.records import identity
from nnbench.records.figures import Figures
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass

MOST_WRONG = 3  # figures that are named


@dataclass(frozen=True)
class Place:
    """Where backends part: `epoch` and `step` from 1, `layer` from 0; no `step`: not known."""

    epoch: int
    step: int | None
    layer: int


@dataclass(frozen=True)
class Certificate:
    """What is proved of a run of `backend`, against one of `reference` where there is one.

    `first` are the agreements after so many of the first steps, `epochs` those after each epoch of
    `steps` steps. `place` is where they part. `figures` is None where none were to be checked;
    `doubt` says why nothing is proved although nothing is wrong. `by_rounding`: rounding parts
    them. At `place` the reference takes the other's step from the other's weights; or, without a
    place, they part in float32 after the first steps and agree in float64.
    """

    backend: str
    dtype: str
    seed: int
    reference: str | None = None
    steps: int = 1
    first: Mapping[int, Agreement] = dataclasses.field(default_factory=dict)
    epochs: tuple[Agreement, ...] = ()
    layers: tuple[str, ...] = ()
    place: Place | None = None
    figures: Figures | None = None
    doubt: str | None = None
    by_rounding: bool = False

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on the weights, the first steps before the epochs."""
        found = verdict([*self.first.values(), *self.epochs])
        if found.parted is not None and self.by_rounding:
            return Verdict("chaotic" if found.parted else "not proven", found.parted)
        return found

    @property
    def compared_epochs(self) -> int:
        """Return how many epochs were compared."""
        return max(self.verdict.compared - len(self.first), 0)

    @property
    def compared_steps(self) -> int:
        """Return after how many steps weights were compared last."""
        if self.compared_epochs:
            return self.compared_epochs * self.steps
        return [0, *self.first][self.verdict.compared]

    @property
    def last(self) -> Agreement | None:
        """Return the agreement that tells most: where they part, else the last compared."""
        found, judged = [*self.first.values(), *self.epochs], self.verdict
        if judged.parted is not None:
            return found[judged.parted]
        return found[max(judged.compared - 1, 0)] if found else None

    @property
    def parted_epoch(self) -> int | None:
        """Return the epoch, from 0, by whose end the weights part; None where they do not."""
        at = self.verdict.parted
        return None if at is None else max(at - len(self.first), 0)

    def widened(self, other: Certificate) -> Certificate:
        """Return it with what `other`, of the same runs, has found rounding to do."""
        first = {step: each.widened(other.first.get(step)) for step, each in self.first.items()}
        found = dict(enumerate(other.epochs))
        epochs = tuple(each.widened(found.get(i)) for i, each in enumerate(self.epochs))
        return dataclasses.replace(self, first=first, epochs=epochs)

    @property
    def may_be_rounding(self) -> bool:
        """Tell whether they part in float32 and not in the first steps."""
        parted = self.verdict.parted
        return self.dtype == "float32" and parted is not None and 0 < len(self.first) <= parted

    @property
    def outcome(self) -> str:
        """Return one of `OUTCOMES`."""
        if self.reference is not None and self.verdict.outcome == "diverges":
            return "diverges"
        if self.figures is not None and self.figures.wrong:
            return "figures wrong"
        if self.why_not is not None:
            return "not proven"
        return self.verdict.outcome if self.reference is not None else "figures agree"

    @property
    def why_not(self) -> str | None:
        """Return what keeps this from proving anything, None for nothing."""
        if self.doubt is not None:
            return self.doubt
        if self.figures is not None and self.figures.unchecked is not None:
            return f"figures not checked: {self.figures.unchecked}"
        if self.reference is not None and self.verdict.outcome == "not proven":
            return "chaotic from the first step" if self.last else "no weights to compare"
        return None

    @property
    def word(self) -> str:
        """Return the outcome in a few words."""
        match self.outcome:
            case "diverges":
                return f"diverges ({self._where()})"
            case "figures wrong":
                assert self.figures is not None
                return f"figures wrong ({self.figures.wrong[0]})"
            case "not proven":
                return f"not proven ({self.why_not})"
            case "chaotic":
                return f"chaotic after step {self.compared_steps:,}"
        return self.outcome

    def __str__(self) -> str:
        """Return the verdict as a sentence."""
        pair = f"{self.backend} against {self.reference}" if self.reference else self.backend
        pair += f", {self.dtype}, seed {self.seed}"
        about = "parity " if self.reference and self.outcome != "figures wrong" else ""
        match self.outcome:
            case "chaotic":
                detail = f"until then {self._apart()}; {self._why_chaotic()}"
                return f"{about}{self.word}: {pair}: {detail}"
            case "agrees":
                whole, steps = self.compared_epochs, self.compared_steps
                length = count(whole, "epoch") if whole else count(steps, "step")
                detail = f"after {length} {self._apart()}"
            case "diverges":
                detail = f"at {self._where()}: {self._apart()}"
            case "figures wrong":
                wrong = self.figures.wrong if self.figures else ()
                more = f"; and {len(wrong) - MOST_WRONG} more" if len(wrong) > MOST_WRONG else ""
                detail = "; ".join(wrong[:MOST_WRONG]) + more
            case _:
                detail = self.why_not or "recomputed from its weights"
        return f"{about}{self.outcome}: {pair}: {detail}"

    def _apart(self) -> str:
        off, allowed = (self.last.difference, self.last.envelope) if self.last else (0.0, 0.0)
        return f"weights differ by {off:.1e} of the largest, allowed {allowed:.1e}"

    def _why_chaotic(self) -> str:
        if not self.by_rounding:
            return "one ulp alone then grows past any comparison"
        if self.place is None:
            return "then rounding parts them: in float64 they agree"
        step = f"step {self.place.step:,} of epoch {self.place.epoch}"
        return f"rounding decides {step}, which the reference takes, too, from the same weights"

    def _where(self) -> str:
        assert self.parted_epoch is not None
        assert self.last is not None
        place = self.place or Place(self.parted_epoch + 1, None, self.last.layer)
        step = f", step {place.step:,}" if place.step is not None else ""
        return f"epoch {place.epoch}{step}, layer {place.layer + 1} ({self.layers[place.layer]})"

    def as_data(self) -> dict[str, Any]:
        """Return what run.json keeps."""
        place = self.place
        first = list(self.first.values())
        return {
            "outcome": self.outcome,
            "word": self.word,
            "text": str(self),
            "backend": self.backend,
            "dtype": self.dtype,
            "seed": self.seed,
            "reference": self.reference,
            "steps": self.steps,
            "compared_epochs": self.compared_epochs,
            "compared_steps": self.compared_steps,
            "parted_epoch": place.epoch - 1 if place else self.parted_epoch,
            "parted_step": place.step if place else None,
            "parted_layer": place.layer if place else None,
            "difference": [a.difference for a in self.epochs],
            "envelope": [a.envelope for a in self.epochs],
            "layer_differences": [a.differences for a in self.epochs],
            "layer_one_ulps": [a.one_ulps for a in self.epochs],
            "first_steps": list(self.first),
            "first_difference": [a.difference for a in first],
            "first_envelope": [a.envelope for a in first],
            "first_layer_differences": [a.differences for a in first],
            "first_layer_one_ulps": [a.one_ulps for a in first],
            "layers": self.layers,
            "doubt": self.doubt,
            "by_rounding": self.by_rounding,
            "figures": self.figures.as_data() if self.figures else None,
        }

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Certificate:
        """Return the certificate that `as_data` wrote."""
        first = _agreements(data, "first_")
        epoch, layer = data["parted_epoch"], data["parted_layer"]
        return cls(
            backend=data["backend"],
            dtype=data["dtype"],
            seed=data["seed"],
            reference=data["reference"],
            steps=data["steps"],
            first=dict(zip(data["first_steps"], first, strict=True)),
            epochs=_agreements(data, ""),
            layers=tuple(data["layers"]),
            place=None if layer is None else Place(epoch + 1, data["parted_step"], layer),
            figures=Figures.of_data(data["figures"]) if data["figures"] else None,
            doubt=data["doubt"],
            by_rounding=data["by_rounding"],
        )


def _agreements(data: Mapping[str, Any], which: str) -> tuple[Agreement, ...]:
    """Return the agreements that `as_data` took apart; what was no number is None in JSON."""
    names = ("difference", "envelope", "layer_differences", "layer_one_ulps")
    columns = (data[f"{which}{name}"] for name in names)
    return tuple(Agreement.of_numbers(*row) for row in zip(*columns, strict=True))


def pair_key(run: RunResult) -> str:
    """Return what two runs must share to differ in the backend alone."""
    return pairing(run.config)


def pairing(config: Mapping[str, Any]) -> str:
    """Return what two configurations must share to differ in the backend alone."""
    kept = {k: v for k, v in config.items() if k not in (*identity.LEFT_OUT, "backend", "case")}
    return json.dumps(kept, sort_keys=True, default=str)


def label(run: RunResult) -> str:
    """Return what tells a run's backend from others."""
    return label_of(run.config["backend"])


def sentences(runs: Sequence[RunResult]) -> list[str]:
    """Return one sentence for all runs of a pair that agree, one for each other in doubt."""
    agreed: defaultdict[tuple[str, ...], list[tuple[str, float, float]]] = defaultdict(list)
    lines = []
    for run in runs:
        found = run.parity
        if found is None or found["outcome"] == "figures agree":
            continue
        end = _end(found) if found["outcome"] in ("agrees", "pass") else None
        if end is None:
            lines.append(str(found["text"]))
        else:
            key = (found["outcome"], label(run), str(found["reference"]), run.config["dtype"])
            agreed[key].append((str(found["text"]), *end))
    for (outcome, backend, reference, dtype), group in agreed.items():
        if len(group) == 1:
            lines.append(group[0][0])
            continue
        _, worst, allowed = max(group, key=lambda each: each[1] / each[2])
        lines.append(
            f"parity {outcome}: {backend} against {reference}, {dtype}, {len(group)} pairs of "
            f"runs: final weights differ by at most {worst:.1e} of the largest, allowed "
            f"{allowed:.1e}"
        )
    return lines


def _end(parity: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return how far the final weights of a pair are apart, and what is allowed, if recorded."""
    for difference, envelope in zip(
        parity["difference"][-1:], parity["envelope"][-1:], strict=False
    ):
        if difference is not None and envelope:
            return difference, envelope
    return None
