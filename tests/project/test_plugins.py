"""Packages outside the repository: found, listed, used, and harmless where they are broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl

from hydra_plugins.nnbench_plugins import Sources
from nnbench.config import sources
from nnbench.records.folder import read_runs
from support import ROOT, SOURCE
from support.commands import PATIENCE, TINY, Nnbench

PAGE = (ROOT / "docs" / "backends.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))
MARK = 'import pathlib\npathlib.Path("imported").touch()\n'
TRAINER = "from nnbench.backends.numpy import NumpyTrainer as T\n"
OWN_STUDY = "create_nn_from_numpy"
BACKEND = "name: {}\n_target_: {}\nexecution: reference\nexecutions: [reference]\n"

# doctor imports them to see what they can; here it is asked about plug-ins.
NO_FRAMEWORKS = {
    f"{name}/__init__.py": f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')"
    for name in ("torch", "tensorflow", "keras")
}

COMMAND = ("-m", "nnbench")
PATIENT = (  # on a busy machine a probe takes longer than `doctor` waits for it
    "-c",
    "from nnbench.cli import doctor, main; doctor.PROBE_SECONDS = 600; main()",
)

Done = subprocess.CompletedProcess[str]


def nnbench_with(
    packages: Path, cwd: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Done:
    """Run `nnbench ARGUMENTS` in `cwd`, with what is installed in `packages`."""
    paths = {"PYTHONPATH": f"{packages}{os.pathsep}{SOURCE}", "COLUMNS": "250"}
    return subprocess.run(
        [sys.executable, "-P", *(PATIENT if "doctor" in arguments else COMMAND), *arguments],
        cwd=cwd,
        env=os.environ | paths | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


# A package as docs/backends.md describes it, built and installed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documented package and install it; importing it leaves a mark."""
    folder = tmp_path_factory.mktemp("package")
    prefix = "nnbench-mine/"
    write(folder, {n.removeprefix(prefix): t for n, t in FILES.items() if n.startswith(prefix)})
    code = {"__init__.py": MARK, "mine.py": FILES["own/mine.py"]}
    write(folder / "nnbench_mine", code)
    site = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    write(site, NO_FRAMEWORKS)
    return site


@pytest.mark.slow
def test_what_is_documented_of_a_package_is_true(site: Path, tmp_path: Path) -> None:
    part = PAGE.partition("<!-- run where nnbench-mine is installed -->")[2]
    commands, shown = (
        re.findall(rf"```{language}\n(.*?)```", part, flags=re.DOTALL)[0].strip().splitlines()
        for language in ("bash", "text")
    )
    said = ""
    for command in commands:
        words = command.split()[1:]
        short = {"claims": ["--seeds", "1", "tracking=local"], "-m": ["tracking=local"]}
        done = nnbench_with(site, tmp_path, *words, *short.get(words[0], []))
        assert done.returncode == (2 if words == ["backend=mien"] else 0), done.stderr
        said += " ".join((done.stdout + done.stderr).split()) + "\n"
    for line in shown:
        assert " ".join(line.split()) in said, line
    assert "mine-1: it is as accurate as NumPy" in said
    backends = {run.config["backend"]["name"] for run in read_runs(tmp_path / "results")}
    assert backends == {"numpy", "mine"}


def test_a_package_is_listed_without_being_imported(site: Path, tmp_path: Path) -> None:
    shown = nnbench_with(site, tmp_path, "--help").stdout
    assert "mine                 Dense nets in plain NumPy [nnbench-mine 1.0]" in shown
    assert "mine_vs_numpy          [nnbench-mine 1.0]" in shown
    assert "Mine against NumPy" in nnbench_with(site, tmp_path, "study").stdout
    typed = {"COMP_LINE": "nnbench backend=mine", "COMP_POINT": "20"}
    completed = nnbench_with(site, tmp_path, "-sc", "query=bash", env=typed)
    assert completed.stdout.split() == ["backend=mine"]
    assert not (tmp_path / "imported").exists()
    assert nnbench_with(site, tmp_path, "backend=mine", *TINY).returncode == 0
    assert (tmp_path / "imported").exists()


# Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write `own/`, which brings a backend with its code, and a study."""
    study = "# nnbench study own_study\ntitle: Own\nquestion: Is it?\ncases: {one: {epochs: 1}}\n"
    write(
        tmp_path,
        {
            "own/backend/mine.yaml": BACKEND.format("mine", "mine_module.T"),
            "own/mine_module.py": TRAINER,
            "own/experiments/own_study/study.yaml": study,
            **NO_FRAMEWORKS,
        },
    )
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--help",), "mine                  [own]"),
        (("--help",), "own_study              [own]"),
        pytest.param(
            ("doctor",), "own                 backend=mine, study own_study", marks=pytest.mark.slow
        ),
        (("backend=mien",), "mine (own), minitorch, numpy, numpy_compiled"),
        (("study",), "own_study from own: Own"),
        (("arch", "backend=mine", *TINY), "parameters"),
        (("backend=mine", *TINY), "finished"),
        (("-m", "backend=mine,numpy", *TINY), "parity agrees: mine against numpy"),
    ],
)
def test_a_folder_brings_the_same_to_every_command(
    nnbench: Nnbench, folder: Path, words: tuple[str, ...], expected: str
) -> None:
    words = (*words, "--config-dir", "own")
    done = nnbench_with(folder, folder, *words) if "doctor" in words else nnbench(*words)
    assert expected in done.stdout + done.stderr, done.stderr


def test_a_shell_completes_what_a_folder_brings(folder: Path) -> None:
    typed = {"COMP_LINE": "nnbench --config-dir=own backend=mine"}
    completed = nnbench_with(folder, folder, "-sc", "query=bash", env=typed)
    assert completed.stdout.split() == ["backend=mine"]


def test_without_its_flag_a_folder_brings_nothing(folder: Path) -> None:
    done = nnbench_with(folder / "nowhere", folder, "backend=mine", *TINY)
    assert done.returncode == 2
    assert "Received backend=mine; must be one of" in done.stderr
    none = nnbench_with(folder, folder, "--help", "--config-dir", "nowhere")
    assert none.stderr == "nnbench: Received --config-dir nowhere; no such folder.\n"


def test_the_search_paths_of_other_applications_stay_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_typed", [folder / "own"])
    ours = [f"file://{folder / 'own'}", "nnbench-studies://"]
    for main, added in ((str(sources.root() / "conf"), ours), (str(folder), [])):
        path = ConfigSearchPathImpl()
        path.append("main", main)
        Sources().manipulate_search_path(path)
        assert [element.path for element in path.get_path()] == [main, *added]
    monkeypatch.setattr(sources, "_typed", [sources.root() / "conf"])  # ours, not twice
    assert [s.origin for s in sources.sources() if s.conf == sources.root() / "conf"] == [""]


# What is broken


def distribution(name: str, module: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of an installed package `name` whose entry point names `module`."""
    info = f"{name}-2.0.dist-info"
    places = {
        file: f"conf/backend/{file}" if file.endswith(".yaml") and "/" not in file else file
        for file in files
    }
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n",
        f"{info}/entry_points.txt": f"[nnbench.plugins]\n{name} = {module}\n",
        **{f"{module}/{places[file]}": text for file, text in files.items()},
    }


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install packages that are wrong in every way, and two of one name."""
    folder = tmp_path_factory.mktemp("broken")
    write(folder, NO_FRAMEWORKS)
    numpy, twin = (
        BACKEND.format("numpy", "p_other.code.T"),
        BACKEND.format("twin", "p_other.code.T"),
    )
    packages = {
        "gone": {},
        "crash": {"__init__.py": "1/0", "crash.yaml": BACKEND.format("crash", "p_crash.Crash")},
        "wrong": {"unread.yaml": "name: [\n", "list.yaml": "- 1\n", "short.yaml": "name: a\n"},
        "other": {"numpy.yaml": numpy, "fake.yaml": numpy, "a.yaml": twin, "code.py": TRAINER},
        "second": {"a.yaml": twin, "b.yaml": twin},
        "study": {f"experiments/{name}/study.yaml": "title: [\n" for name in ("bad", OWN_STUDY)},
    }
    for name, files in packages.items():
        write(folder, distribution(name, f"p_{name}", files))
    return folder


LEFT_OUT = [
    "gone 2.0: entry point gone = p_gone: there is no package p_gone",
    "wrong 2.0: .*/list.yaml: must hold KEY: VALUE lines, received .*",
    "wrong 2.0: .*/short.yaml: lacks _target_, execution, executions",
    "wrong 2.0: .*/unread.yaml:2: not valid YAML: .*",
    "other 2.0: .*/numpy.yaml: nnbench has backend=numpy; rename the file",
    "second 2.0: .*/a.yaml: other 2.0 has backend=a; rename the file",
    "study 2.0: .*/bad/study.yaml:2: not valid YAML: .*",
    "study 2.0: .*/create_nn_from_numpy/study.yaml: nnbench has a study create_nn_from_numpy",
]


def test_a_broken_package_costs_one_line(broken: Path, tmp_path: Path) -> None:
    shown = nnbench_with(broken, tmp_path, "--help")
    assert shown.returncode == 0, shown.stderr
    for line in LEFT_OUT:
        assert len(re.findall(rf"^  {line}$", shown.stdout, flags=re.MULTILINE)) == 1, line
    report = nnbench_with(broken, tmp_path, "doctor")
    assert report.returncode == 0, report.stderr
    marked = [line for line in report.stdout.splitlines() if line.startswith("!!")]
    for line in LEFT_OUT:
        origin, _, text = line.partition(": ")
        assert sum(bool(re.search(f"{origin} +{text}", row)) for row in marked) == 1, line


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("crash", "Cannot use backend=crash: importing p_crash.Crash failed (ZeroDivisionError: "),
        ("unread", "unread.yaml:2: not valid YAML: "),
        ("list", "list.yaml: must hold KEY: VALUE lines"),
        ("short", "short.yaml: lacks _target_, execution, executions."),
    ],
)
def test_asked_for_it_says_what_is_wrong(
    broken: Path, tmp_path: Path, backend: str, message: str
) -> None:
    done = nnbench_with(broken, tmp_path, f"backend={backend}", *TINY)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow  # composes every case; test_studies.py has one whose neighbour is broken
def test_a_broken_study_stops_no_other(broken: Path, tmp_path: Path) -> None:
    shown = nnbench_with(broken, tmp_path, "claims", "--recorded")
    assert shown.returncode == 0, shown.stderr
    assert "study.yaml:2: not valid YAML" in shown.stdout
    assert "cnn-1a" in shown.stdout


def test_a_broken_study_that_is_asked_for_costs_one_line(broken: Path, tmp_path: Path) -> None:
    named = nnbench_with(broken, tmp_path, "claims", "bad")
    assert named.returncode == 2
    assert len(named.stderr.strip().splitlines()) == 1


@pytest.mark.slow  # test_sweeps.py has one that breaks in its worker
def test_other_backends_run_beside_a_broken_one(broken: Path, tmp_path: Path) -> None:
    done = nnbench_with(broken, tmp_path, "-m", "backend=crash,numpy", *TINY)
    assert (done.returncode, "1 of 2 runs failed" in done.stderr) == (1, True)
    (run,) = (r for r in read_runs(tmp_path / "results") if r.status == "finished")
    assert run.config["backend"]["name"] == "numpy"


@pytest.mark.slow  # test_certify.py has backends of one name that a folder brings
def test_backends_of_one_name_are_told_apart_by_their_origin(broken: Path, tmp_path: Path) -> None:
    done = nnbench_with(broken, tmp_path, "-m", "backend=numpy,fake,a,b", *TINY)
    assert done.returncode == 0, done.stderr
    for label in ("numpy (other)", "twin (other)", "twin (second)"):
        assert f"parity agrees: {label} against numpy, float32" in done.stdout
    report = nnbench_with(broken, tmp_path, "report")
    for label in ("numpy", "numpy (other)", "twin (other)", "twin (second)"):
        assert re.search(rf"^  {re.escape(label)}  +1 ", report.stdout, flags=re.MULTILINE), label
    both = ("backend=numpy,fake", "dtype=float64", "data=synthetic", "epochs=1")
    assert "numpy (other)   agrees" in nnbench_with(broken, tmp_path, "parity", *both).stdout
    same = nnbench_with(broken, tmp_path, "parity", "backend=numpy,numpy")
    assert same.stderr == "nnbench: Received backend numpy twice; name different backends.\n"


# The working directory


def test_a_study_in_the_working_directory_is_data_alone(nnbench: Nnbench, tmp_path: Path) -> None:
    head = "title: Here\nquestion: Is it?\ncases:\n  one: "
    write(tmp_path, {"experiments/here/study.yaml": head + "{epochs: 1}\n"})
    assert "here                   [./experiments]" in nnbench("--help").stdout
    done = nnbench("experiment=here/one", *TINY)
    assert done.returncode == 0, done.stderr
    for value in (
        "backend._target_: code.T",
        "backend.env: [PYTHONPATH=.]",
        "hydra.callbacks.x._target_: code.T",
        "hydra/launcher: basic",
    ):
        write(tmp_path, {"experiments/here/study.yaml": f"{head}{{{value}}}\n", "code.py": MARK})
        done = nnbench("experiment=here/one", *TINY)
        assert done.returncode == 2, value
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert not (tmp_path / "imported").exists()
