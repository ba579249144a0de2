"""What `nnbench doctor` looks at, nothing being changed: a function for each section."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

from nnbench.cli.doctor.probe import PACKAGES, Answer
from nnbench.config import catalogue, installation, studies
from nnbench.config.catalogue import Option, every_option, options
from nnbench.config.run import RunConfig
from nnbench.config.sources import source_of_study, sources
from nnbench.records import machine
from nnbench.records.environment import forced
from nnbench.schema.deferred import dataclass

Mark = Literal["OK", "--", "!!"]
DEFAULT_DATA = "mnist_5k"
LEAST_FREE_BYTES = 200 * 2**20


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    `mark`: OK is usable, `--` is not there and need not be, `!!` wants attention. `needed`: a run
    with no arguments depends on it.
    """

    subject: str
    mark: Mark
    found: str
    remedy: str = ""
    needed: bool = False


def python_and_packages() -> list[Finding]:
    """Compare Python and the installed packages with what the project asks for."""
    wanted = installation.python_wanted()
    here = ".".join(map(str, sys.version_info[:3]))
    fits = wanted.contains(here, prereleases=True)
    remedy = "" if fits else f"make .venv anew with a Python {wanted}: make setup PYTHON=..."
    findings = [
        Finding("Python", "OK" if fits else "!!", f"{here} (asked: {wanted})", remedy, True)
    ]
    wrong = installation.unmet()
    if not wrong:
        count = len(installation.requirements())
        findings.append(Finding("packages", "OK", f"all {count} as asked", needed=True))
    for requirement, installed in wrong:
        found = f"{installed or 'missing'} (asked: {requirement})"
        remedy = installation.install_command()
        findings.append(Finding(requirement.name, "!!", found, remedy, needed=True))
    return findings


def backends(answers: Mapping[str, Answer]) -> list[Finding]:
    """Say which backends can be used, by their version."""
    return [
        _backend("numpy", answers["numpy"], needed=True),
        _backend("torch", answers["torch"]),
        _backend("keras", answers["keras"]),
    ]


def from_elsewhere() -> dict[str, Option]:
    """Return the backends that do not come with nnbench, by what their `_target_` names."""
    known = options("backend").values()
    own = {o.values["_target_"]: o for o in reversed(known) if "_target_" in o.values}
    return {target: o for target, o in own.items() if o.source.origin}


def plugins(answers: Mapping[str, Answer]) -> list[Finding]:
    """Say what packages and folders bring, whether their backends work, and what is left out."""
    named = {name: source_of_study(path) for name, path in studies.sound().items()}
    findings = []
    for source in sources()[1:]:
        brought = [f"{o.group}={o.name}" for o in every_option() if o.source == source]
        brought += [f"study {name}" for name, owner in named.items() if owner == source]
        findings.append(Finding(source.origin, "OK", ", ".join(brought) or "nothing"))
    for target, option in from_elsewhere().items():
        answer = answers[target]
        works = answer.state in ("works", "silent")
        detail = f": {answer.detail}" if answer.detail else ""
        found = f"{target} of {option.source.origin}{detail}"
        remedy = "" if works else f"mend or uninstall {option.source.name}"
        findings.append(Finding(f"backend={option.name}", "OK" if works else "!!", found, remedy))
    wrong = [*catalogue.problems(), *studies.problems()]
    return findings + [Finding(problem.origin, "!!", problem.text) for problem in wrong]


def _backend(name: str, answer: Answer, *, needed: bool = False) -> Finding:
    packages = PACKAGES[name]
    found = ", ".join(f"{package} {machine.version(package) or 'missing'}" for package in packages)
    install = installation.install_command("" if needed else name)
    if answer.state == "missing":
        return Finding(name, "!!" if needed else "--", "not installed", install, needed)
    if answer.state == "broken":
        return Finding(name, "!!", f"{found}: {answer.detail}", f"reinstall: {install}", needed)
    if answer.state == "silent":
        remedy = f'if it stays so, see: python -c "import {packages[-1]}"'
        return Finding(name, "OK", f"{found}; import: {answer.detail}", remedy, needed)
    return Finding(name, "OK", found, needed=needed)


def devices(answers: Mapping[str, Answer]) -> list[Finding]:
    """Say what can be trained on: the processor, and CUDA for each framework."""
    cores = f"{machine.usable_cores()} usable cores"
    findings = [Finding("cpu", "OK", f"{machine.cpu_name()}, {cores}", needed=True)]
    gpu = machine.gpu_name()
    names = {"torch": "torch", "keras": "keras", "cupy": "numpy (CuPy)"}
    for key, name in names.items():
        findings.append(_cuda(f"cuda: {name}", answers[key], gpu))
    return findings


def _cuda(subject: str, answer: Answer, gpu: str | None) -> Finding:
    if answer.devices:
        return Finding(subject, "OK", ", ".join(answer.devices))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip()
    if hidden in ("", "-1"):
        found = f"hidden by CUDA_VISIBLE_DEVICES={hidden}"
        return Finding(subject, "--", found, "unset CUDA_VISIBLE_DEVICES")
    if gpu is None:
        return Finding(subject, "--", "no NVIDIA GPU with a driver here", "use device=cpu")
    if answer.state in ("broken", "silent"):
        return Finding(subject, "!!", f"{gpu}; {answer.detail}", "see its backend above")
    if answer.facts.get("cuda_build"):
        return Finding(subject, "!!", f"{gpu}; not seen by it", "update the NVIDIA driver")
    lacks = answer.detail or "installed without CUDA"
    return Finding(subject, "--", f"{gpu}; {lacks}", installation.install_command(_cuda_extra()))


def _cuda_extra() -> str:
    """Return the extra for the NVIDIA driver here; CUDA 13 needs version 580."""
    major = (machine.gpu_driver() or "").partition(".")[0]
    return "cuda13" if major.isdigit() and int(major) >= 580 else "cuda12"


def blas_and_threads(numpy: Answer) -> list[Finding]:
    """Say which BLAS kernel and how many threads NumPy takes here, and what is forced."""
    findings = []
    if numpy.state == "works":
        pool = numpy.facts["blas"][0] if numpy.facts["blas"] else {}
        made_by = f"{pool.get('internal_api', '')} {pool.get('version', '')}".strip()
        kernel = f"{numpy.facts['blas_kernel'] or 'unknown'} kernel"
        findings.append(Finding("BLAS", "OK", f"{made_by}, {kernel}" if made_by else kernel))
        threads = numpy.facts["threads"]["blas"] or "unknown"
        found = f"{RunConfig.threads} in runs (threads=N sets it); {threads} outside"
        findings.append(Finding("threads", "OK", found))
    for each in forced():
        found = f"{each.setting} {each.effect}"
        findings.append(Finding("environment", "!!", found, each.remedy))
    return findings


def data_sets() -> list[Finding]:
    """Say which data sets can be used without being asked for files."""
    from nnbench.data.catalog import available

    return [
        Finding(
            subject=entry.name,
            mark="OK" if entry.usable else "!!" if entry.name == DEFAULT_DATA else "--",
            found=entry.description,
            remedy=entry.remedy,
            needed=entry.name == DEFAULT_DATA,
        )
        for entry in available()
    ]


def results_folder(results: Path) -> list[Finding]:
    """Say whether runs can be written, and what the tracking store holds."""
    shown = f"{results}{os.sep}"
    folder = next(p for p in (results, *results.absolute().parents) if p.exists())
    elsewhere = "choose another folder with results=DIR"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        found = f"{shown} cannot be written ({error.strerror})"
        return [Finding("folder", "!!", found, elsewhere, needed=True)]
    made = "writable" if results.exists() else "made by the first run"
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE_BYTES
    space = f"{free / 2**30:.1f} GiB free"
    return [
        Finding("folder", "OK", f"{shown} {made}", needed=True),
        Finding(
            "disk", "OK" if enough else "!!", space, "" if enough else f"free some, or {elsewhere}"
        ),
        _tracking_store(results / "mlflow.db"),
    ]


def _tracking_store(path: Path) -> Finding:
    """Look into MLflow's database without MLflow."""
    if not path.exists() or path.stat().st_size == 0:
        return Finding("tracking", "OK", f"{path} is made by the first run")
    aside = f"move {path} away; the next run makes a new one"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            count = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
            runs = store.execute(count).fetchone()[0]
    except sqlite3.Error as error:
        return Finding("tracking", "!!", f"{path} cannot be read ({error})", aside)
    if not os.access(path, os.W_OK):
        return Finding("tracking", "!!", f"{path} cannot be written", "chmod u+w it")
    return Finding("tracking", "OK", f"{path}, {runs} run{'' if runs == 1 else 's'}")


def lacking(findings: Iterable[Finding]) -> list[str]:
    """Return what a run with no arguments needs and is not usable."""
    return [finding.subject for finding in findings if finding.needed and finding.mark != "OK"]
