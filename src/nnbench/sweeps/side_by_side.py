"""Backends side by side in one process: which, and whether they agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nnbench.config.composition import compose
from nnbench.config.run import Cell, RunConfig
from nnbench.errors import ConfigError, MissingPackage
from nnbench.records.certificate import Certificate
from nnbench.records.certifying import rank
from nnbench.records.files import write_atomically
from nnbench.records.lookup import make_directory
from nnbench.records.standing import OUT
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody, part
from nnbench.sweeps.process import ask
from nnbench.sweeps.session import check_packages

ALL = ("numpy", "torch", "keras")
EPOCHS = 5
STARTING = 0.3  # of the time of a process that trains side by side, roughly


@dataclass(frozen=True)
class Agreement:
    """The certificates of one configuration; `directory` has them by epoch and layer."""

    config: RunConfig
    architecture: str
    steps: int
    certificates: tuple[Certificate, ...]
    directory: Path

    @property
    def failed(self) -> int:
        """Return how many comparisons failed, or compared nothing."""
        return sum(each.outcome in (*OUT, "not proven") for each in self.certificates)


def side_by_side(overrides: Sequence[str], default: Sequence[str] | None) -> list[Cell]:
    """Return one cell per backend named in `overrides`.

    Without any, those of `default` that are installed; None takes the configuration's own.
    Raises ConfigError where they cannot share a process.
    """
    named = [o.partition("=")[2].split(",") for o in overrides if o.startswith("backend=")]
    rest = [o for o in overrides if not o.startswith("backend=")]
    if not named and default is None:
        return [compose(rest)]
    cells = []
    for name in named[-1] if named else default or ():
        cell = compose([f"backend={name.strip('[] ')}", *rest])
        try:
            check_packages(cell.config)
        except MissingPackage:
            if named:
                raise
            continue
        cells.append(cell)
    labels = [cell.config.backend.label for cell in cells]
    if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise ConfigError(f"Received backend {twice[0]} twice; name different backends.")
    engines = {v for c in cells for v in c.config.backend.env if v.startswith("KERAS_BACKEND=")}
    if len(engines) > 1:
        raise ConfigError("Received several Keras engines; a process can have only one. Name one.")
    if cells[0].config.semantics != "matched":
        raise ConfigError(
            "Received semantics=native; only matched backends can be compared step by step. "
            "Leave it out."
        )
    return cells


def agreements(overrides: Sequence[str], tell: Tell = nobody) -> Iterator[Agreement]:
    """Certify a configuration in float64 and float32, or in the dtype that `overrides` name.

    The reference is NumPy where it takes part, else a backend of nnbench's own, else the first.
    Without backend= all that are installed take part, without epochs= for EPOCHS epochs. Raises
    ConfigError where there are not two backends.
    """
    given = {o.partition("=")[0] for o in overrides}
    added = [] if "epochs" in given else [f"epochs={EPOCHS}"]
    proved: set[str] = set()
    dtypes: list[list[str]] = [[]] if "dtype" in given else [["dtype=float64"], ["dtype=float32"]]
    for i, dtype in enumerate(dtypes):
        cells = side_by_side([*overrides, *added, *dtype], ALL)
        if len(cells) < 2:
            raise ConfigError(
                "Parity needs two backends; name them with backend=numpy,torch (`nnbench doctor` "
                "says what is installed)."
            )
        ordered = sorted(cells, key=lambda cell: rank(cell.values["backend"]))
        found = certify(ordered, part(tell, i / len(dtypes), (i + 1) / len(dtypes)))
        judged = tuple(
            replace(
                each,
                by_rounding=each.by_rounding or (each.backend in proved and each.may_be_rounding),
            )
            for each in found.certificates
        )
        proved = {each.backend for each in judged if each.outcome == "agrees"}
        yield replace(found, certificates=judged)


def certify(cells: Sequence[Cell], tell: Tell = nobody) -> Agreement:
    """Train the cells side by side and judge each against the first; keep it in the results."""

    def told(done: float, total: float, what: str) -> None:
        tell(STARTING + (1 - STARTING) * done / total if total else 0.0, 1.0, what)

    said = ask("parity", cells, told)
    first = cells[0]
    config = first.config
    directory = make_directory(Path(config.results), f"parity-{config.dtype}", "parity")
    text = json.dumps(said | {"config": first.values}, indent=1, default=str)
    write_atomically(directory / "parity.json", f"{text}\n".encode())
    found = tuple(map(Certificate.of_data, said["certificates"]))
    return Agreement(config, said["architecture"], said["steps"], found, directory)
