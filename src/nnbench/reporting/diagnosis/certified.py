"""The certificate of a corrected program: it is read again, proved, and held against A."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnbench.backends.proof import Proof, proof_data
from nnbench.reporting.diagnosis.differences import differences
from nnbench.reporting.diagnosis.mending import reading_of
from nnbench.reporting.diagnosis.sides import Side, values_of
from nnbench.reporting.diagnosis.starts import OF, PLAIN
from nnbench.reporting.explain.bridge import cell
from nnbench.reporting.explain.change import Values
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.programs import Program, read_program


@dataclass(frozen=True)
class Certified:
    """What is proved of a corrected program `file`.

    `apart` are the settings in which it still differs from what it should be (none are expected);
    `remaining` what cannot be said in its framework. `proof` is that of its own 21 steps against
    the reference of A's settings.
    """

    file: str
    like: str
    apart: tuple[str, ...]
    remaining: tuple[str, ...]
    proof: Proof | None

    @property
    def is_one_model(self) -> bool:
        """Tell whether both programs are one model, but for what remains."""
        return not self.apart and self.proof is not None and self.proof.outcome == "agrees"

    def __str__(self) -> str:
        but = f", but for: {'; '.join(self.remaining)}" if self.remaining else ""
        if self.is_one_model:
            assert self.proof is not None
            return (
                f"{Path(self.file).name} and {self.like} are one model{but}: {self.proof.steps} "
                f"steps agree in {self.proof.dtype} (largest difference "
                f"{self.proof.difference:.1e}, allowed {self.proof.envelope:.1e})."
            )
        why = "; ".join(self.apart) or (self.proof.outcome if self.proof else "not understood")
        return f"NOT CERTIFIED: {Path(self.file).name} is not {self.like} ({why})."

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "file": Path(self.file).name,
            "like": self.like,
            "one_model": self.is_one_model,
            "apart": list(self.apart),
            "remaining": list(self.remaining),
            "proof": proof_data(self.proof) if self.proof is not None else None,
            "text": str(self),
        }


def certified(
    path: Path, target: Values, side: Program, like: str, remaining: tuple[str, ...],
    folder: Path,
) -> Certified:  # fmt: skip
    """Read the corrected program and prove that it trains as `target` does."""
    course = cell(dict(target) | {OF: PLAIN})
    read = read_program(f"{path}:build", course, [0], folder / ".certificate", data_given=True)
    wanted = Side("wanted", reading_of(target, side.reading))
    found = Side(read.name, read.reading)
    apart = [f"{unknown.text}" for unknown in read.reading.unknown]
    if not apart:
        base = {key: target[key] for key in target}
        va, vb = (values_of(each, base, target["backend"]) for each in (wanted, found))
        apart = [str(each) for each in differences(wanted, found, va, vb)]
    return Certified(str(path), like, tuple(apart), remaining, read.proof)
