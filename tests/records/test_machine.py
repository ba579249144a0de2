from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from nnbench.records import machine
from nnbench.records.environment import FORCINGS, forced, switches

SOURCE = machine.PACKAGE


def in_fresh_interpreter(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE.parent)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "nnbench"
    package.mkdir(parents=True)
    (package / "a.py").write_text("x = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return package


def test_description_is_plain_json_and_names_this_machine() -> None:
    found = machine.describe(("scipy", "no_such_package"))
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == metadata.version("numpy")
    assert found["versions"]["no_such_package"] is None
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cores"]["usable"] >= 1
    assert found["memory_bytes"] > 2**28
    assert found["gpu"] is None
    assert found["blas_kernel"]


def test_thread_count_and_kernel_are_those_of_the_loaded_blas() -> None:
    code = (
        "import json; from nnbench.records import machine;"
        "print(json.dumps(machine.describe(('numpy',))))"
    )
    one = json.loads(in_fresh_interpreter(code, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"))
    assert one["threads"]["blas"] == 1
    assert one["threads"]["environment"] == {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if one["blas"][0]["internal_api"] != "openblas" or one["platform"].find("x86_64") < 0:
        pytest.skip("kernels can be forced on OpenBLAS for x86 only")
    forced = json.loads(in_fresh_interpreter(code, OPENBLAS_CORETYPE="Nehalem"))
    assert forced["blas_kernel"] == "Nehalem"
    assert forced["environment"]["OPENBLAS_CORETYPE"] == "Nehalem"


def test_describing_imports_no_framework() -> None:
    code = (
        "import sys; from nnbench.records import machine;"
        "machine.describe(('torch', 'keras', 'tensorflow'));"
        "print(sorted({'torch', 'keras', 'tensorflow', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    assert in_fresh_interpreter(code).strip() == "[]"


def test_tensorflow_is_found_under_its_cpu_distribution() -> None:
    try:
        expected = metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        pytest.skip("tensorflow-cpu is not installed")
    assert machine.version("tensorflow") == expected


def test_commit_is_the_checkouts_and_says_dirty(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = machine.commit(checkout)
    assert clean is not None
    assert len(clean) == 40
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert machine.commit(checkout) == clean
    (checkout / "a.py").write_text("x = 2\n")
    assert machine.commit(checkout) == f"{clean}-dirty"


def test_no_commit_outside_a_checkout_of_its_own(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "lib" / "site-packages" / "nnbench"
    installed.mkdir(parents=True)
    assert machine.commit(installed) is None
    monkeypatch.setenv("PATH", "")
    assert machine.commit(checkout) is None


def test_gpu_is_asked_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.gpu_name() is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "Test GPU ${3}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert machine.describe((), device="cuda")["gpu"] == "Test GPU --id=1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert machine.gpu_name() is None


def test_secrets_of_other_tools_are_not_recorded() -> None:
    environment = {
        "TF_VAR_password": "secret",
        "TF_CLI_CONFIG_FILE": "x",
        "MY_TOKEN": "y",
        "XLA_FLAGS": "--a",
        "MKL_CBWR": "AVX2",
    }
    assert switches(environment) == {"MKL_CBWR": "AVX2", "XLA_FLAGS": "--a"}


@pytest.mark.parametrize("name", [name for forcing in FORCINGS for name in forcing.names])
def test_a_forcing_variable_is_warned_of_in_one_line(name: str) -> None:
    (found,) = forced({name: "7", "HOME": "/"})
    assert found.setting == f"{name}=7"
    assert f"unset {name}" in found.remedy
    assert "\n" not in found.effect + found.remedy


def test_nothing_forced_nothing_warned() -> None:
    assert forced({"HOME": "/", "TF_VAR_x": "1"}) == []
