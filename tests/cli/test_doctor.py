from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

import nnbench
from nnbench.cli.doctor import checkup, doctor, probe, show
from nnbench.cli.doctor.checkup import Finding
from nnbench.cli.doctor.probe import Answer
from nnbench.config import installation
from support.commands import PATIENCE

SOURCE = Path(nnbench.__file__).parents[1]
ROOT = SOURCE.parent
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n"
HANG = "import time; time.sleep(600)\n"
BROKEN = "print('noise'); raise ImportError('libgone.so: cannot open')\n"
MISSING = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put packages with the given sources first on the path of child processes."""

    def planted(**sources: str) -> None:
        for name, source in sources.items():
            package = tmp_path / "planted" / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(source)
        paths = [str(tmp_path / "planted"), str(SOURCE)]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    return planted


def only(findings: list[Finding], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_a_crashing_and_a_broken_import_are_told_apart(plant) -> None:
    plant(torch=CRASH, cupy=BROKEN)
    answers = probe.ask(["numpy", "torch", "cupy"], seconds=PATIENCE)
    assert answers["numpy"].state == "works"
    assert answers["torch"].detail == "import crashed (SIGSEGV)"
    assert answers["cupy"].detail == "ImportError: libgone.so: cannot open"
    found = checkup.backends(answers | {"keras": Answer("keras", "works")})
    assert only(found, "torch").mark == "!!"
    assert not checkup.lacking(found)


def test_an_import_that_hangs_is_left_alone(plant) -> None:
    plant(torch=HANG)
    answer = probe.ask(["torch"], seconds=2)["torch"]
    assert (answer.state, answer.detail) == ("silent", "no answer in 2 s")


def test_a_missing_package_and_one_that_misses_another_are_told_apart(plant) -> None:
    plant(torch=MISSING, cupy="import fastrlock_gone\n")
    answers = probe.ask(["torch", "cupy"], seconds=PATIENCE)
    assert answers["torch"].state == "missing"
    assert answers["cupy"].state == "broken"
    assert "fastrlock_gone" in answers["cupy"].detail


def test_files_in_the_working_directory_are_not_taken_for_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    assert probe.ask(["numpy"], seconds=PATIENCE)["numpy"].state == "works"


def test_a_missing_backend_names_the_extra_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    answers = {name: Answer(name, "missing", f"no package {name}") for name in probe.PROBES}
    found = checkup.backends(answers)
    torch = only(found, "torch")
    assert torch.mark == "--"
    assert "pip install -e '.[torch]' -c constraints.txt" in torch.remedy
    assert "'.[keras]'" in only(found, "keras").remedy
    assert not checkup.lacking([torch])
    assert checkup.lacking([only(found, "numpy")])


def test_remedies_work_from_any_folder_and_never_name_another_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [installation.install_command(extra) for extra in ("", "torch", "cuda12", "cuda13")]
    assert f"-e '{ROOT}[torch]' -c {ROOT / 'constraints.txt'}" in commands[1]
    assert not [c for c in commands if "install nnbench" in c]


def test_unmet_requirements_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not checkup.lacking(checkup.python_and_packages())
    wanted = [Requirement("numpy<1"), Requirement("no-such-distribution>=2"), Requirement("scipy")]
    monkeypatch.setattr(installation, "requirements", lambda extra="": wanted)
    found = checkup.python_and_packages()
    assert "asked: numpy<1" in only(found, "numpy").found
    assert "missing" in only(found, "no-such-distribution").found
    assert checkup.lacking(found)


def test_the_gpu_reason_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    works = {name: Answer(name, "works") for name in probe.PROBES}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(checkup.machine, "gpu_name", lambda: None)
    assert "no NVIDIA GPU" in only(checkup.devices(works), "cuda: torch").found
    monkeypatch.setattr(checkup.machine, "gpu_name", lambda: "H1")
    without = only(checkup.devices(works), "cuda: torch")
    assert without.found == "H1; installed without CUDA"
    assert "[cuda12]" in without.remedy
    monkeypatch.setattr(checkup.machine, "gpu_driver", lambda: "580.159.04")
    assert "[cuda13]" in only(checkup.devices(works), "cuda: torch").remedy
    seen = works | {"torch": Answer("torch", "works", devices=("H1",))}
    assert only(checkup.devices(seen), "cuda: torch").mark == "OK"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    hidden = only(checkup.devices(works), "cuda: torch")
    assert hidden.remedy == "unset CUDA_VISIBLE_DEVICES"


def test_forced_kernels_are_worth_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    found = checkup.blas_and_threads(probe.ask(["numpy"], seconds=PATIENCE)["numpy"])
    (forced,) = [f for f in found if "OPENBLAS_CORETYPE" in f.found]
    assert (forced.mark, "unset OPENBLAS_CORETYPE" in forced.remedy) == ("!!", True)
    assert only(found, "threads").found.startswith("1 in runs")
    assert not checkup.lacking(found)


def test_runs_are_counted_in_a_store_that_mlflow_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = [client.create_run("0") for _ in range(3)]
    client.delete_run(runs[0].info.run_id)
    assert only(checkup.results_folder(tmp_path), "tracking").found.endswith("mlflow.db, 2 runs")


def test_a_damaged_store_is_seen(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, by far" * 50)
    tracking = only(checkup.results_folder(tmp_path), "tracking")
    assert tracking.mark == "!!"
    assert "move" in tracking.remedy


def test_a_store_in_wal_mode_is_read_without_changing_it(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE runs (lifecycle_stage TEXT)")
        store.execute("INSERT INTO runs VALUES ('active')")
    store.close()
    before = path.read_bytes()
    assert only(checkup.results_folder(tmp_path), "tracking").found.endswith("mlflow.db, 1 run")
    assert path.read_bytes() == before


def test_results_that_cannot_be_written_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = checkup.results_folder(tmp_path / "file" / "results")
    assert only(found, "folder").mark == "!!"
    assert checkup.lacking(found)
    missing = checkup.results_folder(tmp_path / "not" / "yet")
    assert not checkup.lacking(missing)
    assert not (tmp_path / "not").exists()


def test_plain_output_keeps_lines_whole_and_brackets(tmp_path: Path) -> None:
    remedy = "pip install -e '.[torch]' -c constraints.txt " + "and so on " * 9
    file = io.StringIO()
    report = {"Backends": [Finding("torch", "--", "not installed", remedy)]}
    show(report, Console(file=file, width=80))
    text = file.getvalue()
    assert remedy.strip() in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\x1b" not in text


@pytest.mark.slow  # imports every framework, as people's doctor does
def test_doctor_reports_all_sections_and_stays_light(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nnbench.cli import doctor as module;"
        f"from nnbench.cli.doctor import doctor; module.PROBE_SECONDS = {PATIENCE};"
        "code = doctor(Path('results'));"
        "print(sorted({'torch', 'tensorflow', 'keras', 'mlflow', 'pandas'} & set(sys.modules)));"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for section in ("Python", "Backends", "Devices", "BLAS", "Data sets", "Results", "mnist_5k"):
        assert section in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert list(tmp_path.iterdir()) == []


def test_doctor_fails_when_numpy_does(plant, tmp_path: Path, monkeypatch, capsys) -> None:
    plant(numpy=CRASH, torch=MISSING, tensorflow=BROKEN, cupy=BROKEN)
    monkeypatch.setattr("nnbench.cli.doctor.PROBE_SECONDS", PATIENCE)
    assert doctor(tmp_path / "results") == 1
    assert "cannot run yet; see the remedy for: numpy" in capsys.readouterr().out
