"""Why two programs that should be one model give different results: read, explained, mended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose
from nnbench.errors import ConfigError, ResultsError
from nnbench.model.reading import Framework
from nnbench.reporting.diagnosis.certified import Certified, certified
from nnbench.reporting.diagnosis.difference import Difference
from nnbench.reporting.diagnosis.differences import differences
from nnbench.reporting.diagnosis.drawn import InitialWeights, initial_weights
from nnbench.reporting.diagnosis.explained import Explained, explained, plan
from nnbench.reporting.diagnosis.mending import Mended, mended, program
from nnbench.reporting.diagnosis.sides import Side, values_of
from nnbench.reporting.diagnosis.starts import Starts
from nnbench.reporting.explain.change import Values
from nnbench.reporting.explain.layers import slots
from nnbench.schema import to_data
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.programs import Program
from nnbench.writing import staged, write

# Who runs what was read: Keras as its users do, by `fit`.
BACKENDS: dict[Framework, str] = {"torch": "torch", "keras": "keras_fit"}
QUIET = {"name": "local", "uri": None, "experiment": "diagnose", "system_metrics": False}
SECONDS_PER_RUN = 5.0  # of a small net, most of it the import of a framework


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Programs `a` and `b`, where they differ, what that does and how B is made as A.

    `explained` is None where a side is not understood, or where nothing could be run; `why` says
    so then.
    """

    a: Program
    b: Program
    differences: tuple[Difference, ...] = ()
    initial: InitialWeights | None = None
    explained: Explained | None = None
    mended: Mended | None = None
    why: str | None = None
    seeds: tuple[int, ...] = ()
    values: tuple[Values, Values] | None = field(default=None)

    @property
    def understood(self) -> bool:
        """Tell whether both sides are read and proved."""
        return self.a.understood and self.b.understood

    @property
    def sides(self) -> tuple[Side, Side]:
        """Return both readings by their names."""
        return Side(self.a.name, self.a.reading), Side(self.b.name, self.b.reading)

    @property
    def pairs(self) -> list[tuple[int | None, int | None]]:
        """Return the positions of the layers that stand for each other, None where one lacks it."""
        i = j = 0
        found: list[tuple[int | None, int | None]] = []
        names = [[to_data(layer) for layer in side.layers] for side in self.sides]
        for old, new in slots(*names):
            found.append((i if old is not None else None, j if new is not None else None))
            i, j = i + (old is not None), j + (new is not None)
        return found

    def as_data(self) -> dict[str, Any]:
        """Return the diagnosis as plain data for JSON."""
        from nnbench.reporting.diagnosis.plain import diagnosis_data

        return diagnosis_data(self)

    def write(self, folder: Path) -> Path:
        """Write an HTML page and JSON into `folder`; return the page. Raises ResultsError."""
        from nnbench.reporting.pages.diagnosis import page

        try:
            with staged(folder) as new:
                (new / "diagnosis.html").write_text(page(self), encoding="utf-8")
                text = json.dumps(self.as_data(), indent=1, default=str)
                (new / "diagnosis.json").write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise ResultsError(f"Cannot write {folder}: {why}; choose --out.") from None
        return folder / "diagnosis.html"

    def write_mended(self, folder: Path) -> list[Path]:
        """Write the corrected programs and their certificates into `folder`; return the files.

        Raises ConfigError where there is nothing to correct.
        """
        if self.mended is None or self.values is None or not self.mended.targets:
            raise ConfigError("Nothing to write: there is no program to correct.")
        files: list[Path] = []
        for which, target in self.mended.targets.items():
            side = self.a if which == "A" else self.b
            path = folder / f"{which.lower()}_{_stem(side.name)}.py"
            _write(path, program(target, self.sides[0], side.reading.framework))
            found = self.certify(which, path, folder)
            proof = path.with_suffix(".certificate.json")
            _write(proof, f"{json.dumps(found.as_data(), indent=1)}\n")
            files += [path, proof]
        return files

    def certify(self, which: Any, path: Path, folder: Path) -> Certified:
        """Read a corrected program and hold it against what it should be."""
        assert self.mended is not None
        assert self.values is not None
        side = self.a if which == "A" else self.b
        target = self.mended.targets[which]
        mistaken = "A" in self.mended.targets
        like = f"{self.a.name}{' without its mistake' if mistaken else ''}"
        left = self.mended.remaining if which == "B" else ()
        return certified(path, target, side, like, left, folder)

    def __repr__(self) -> str:
        named = ", ".join(each.name for each in self.differences) or "nothing"
        return f"<Diagnosis {self.a.name} and {self.b.name}: {named}>"


def _write(path: Path, text: str) -> None:
    """Write a file of `--write` in one step. Raises ResultsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text.encode())
    except OSError as error:
        raise ResultsError(f"Cannot write --write {path.parent}: {error.strerror}.") from None


def _stem(name: str) -> str:
    return Path(name.rpartition(":")[0] or name).stem.replace(" ", "_") or "side"


def diagnose(
    a: Program,
    b: Program,
    values: Mapping[str, Any],
    seeds: Sequence[int],
    results: Path,
    observer: Observer | None = None,
) -> Diagnosis:
    """Hold two programs against each other; run what explains their difference.

    `values` are the configuration of data and course that both are run with.
    """
    observer = observer or Observer()
    sides = Side(a.name, a.reading), Side(b.name, b.reading)
    found = Diagnosis(a, b, seeds=tuple(seeds))
    if not (a.reading.understood and b.reading.understood):
        return found
    base = {**values, "data": a.data, "task": a.task, "results": str(results), "tracking": QUIET,
            "parity": False, "case": None, "name": None}  # fmt: skip
    va, vb = (values_of(side, base, _backend(side.reading.framework, values)) for side in sides)
    apart = differences(*sides, va, vb)
    drawn = initial_weights(*sides, va, vb)
    repairs = mended(apart, *sides, va, vb)
    found = Diagnosis(a, b, tuple(apart), drawn, None, repairs, None, tuple(seeds), (va, vb))
    if not found.understood:
        return found
    if why := _cannot_run(found):
        return _with(found, why=why)
    files = (a.weights, b.weights)
    starts = Starts.of(sides, (va, vb), files, results.resolve() / "diagnose" / "weights")
    planned = plan(va, vb, compose(["backend=numpy"]).values["backend"], apart)
    runs = len(seeds) * planned.runs
    names = ", ".join(each.name for each in apart) or "none"
    count = "1 difference" if len(apart) == 1 else f"{len(apart)} differences"
    observer.say(f"{count} besides initial weights: {names}.")
    observer.say(f"{runs} runs, about {runs * SECONDS_PER_RUN / 60:.1f} minutes.")
    told = explained(planned, apart, starts, seeds, observer)
    return _with(found, explained=told)


def _with(found: Diagnosis, **changes: Any) -> Diagnosis:
    import dataclasses

    return dataclasses.replace(found, **changes)


def _backend(framework: Framework, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the backend that runs a side's reading."""
    if framework not in BACKENDS:
        return dict(values["backend"])
    found: Mapping[str, Any] = compose([f"backend={BACKENDS[framework]}"]).values["backend"]
    return found


def _cannot_run(found: Diagnosis) -> str | None:
    """Return why nothing of it can be run, None where it can be."""
    if found.a.reading.frozen or found.b.reading.frozen:
        return (
            "Nothing is run: nnbench holds whole layers still, not single parameters; the "
            "differences are named."
        )
    seeds = [seed for seed in found.seeds if seed in found.a.weights and seed in found.b.weights]
    if not seeds:
        return "Nothing is run: there are no initial weights of both sides."
    return None
