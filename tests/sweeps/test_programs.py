"""Programs in processes of their own: whatever they do, the answer is a reading or one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.sweeps import programs
from nnbench.sweeps.importing import import_program
from nnbench.sweeps.programs import Program, read_program
from support.commands import Nnbench, is_gone, wait_for

COURSE = ["data=digits", "batch_size=32", "epochs=2", "shuffle=true", "data.train_samples=160"]
NET = (
    "import torch\nfrom torch import nn\n\n\ndef build():\n    print('x' * 100_000)\n"
    "    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    "    optimizer = torch.optim.Adam(model.parameters(), 0.001)\n"
    "    return model, optimizer, nn.CrossEntropyLoss()\n"
)


def asked(source: str, folder: Path, *words: str) -> Program:
    """Return what a file with this source is read as."""
    path = folder / "program.py"
    path.write_text(source)
    return read_program(f"{path}:build", compose([*COURSE, *words]), [0, 1], folder / "kept")


# What a file does, none of them with a framework, and what is said of it.
WRONG = {
    "cannot be imported": ("import not_there\n", "fails on import in line 1: ModuleNotFoundError"),
    "is no Python": ("def build(:\n", "is not Python, line 1"),
    "has no build": ("def build_model():\n    pass\n", "there is build_model"),
    "returns something else": ("def build():\n    return 7\n", "returned int; it must return"),
    "raises": ("def build():\n    raise ValueError('no luck')\n", "line 2: ValueError: no luck"),
    "leaves": ("import sys\nsys.exit(3)\n", "fails on import in line 2: it leaves by exit()"),
    "ends its process": ("import os\nos._exit(0)\n", "ended with exit code 0 before it was read"),
    "crashes": ("import ctypes\nctypes.string_at(0)\n", "was killed by signal 11 before it was"),
    "writes past Python": ("import os\nos.write(1, b'{}\\n')\nimport gone\n", "line 3: ModuleNot"),
    "asks": ("def build():\n    return input('model? ')\n", "line 2: EOFError"),
    "answers itself": ("print('{\"reading\": 1}')\nimport os\nos._exit(0)\n", "ended with exit"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that(what: str, tmp_path: Path) -> None:
    source, said = WRONG[what]
    with pytest.raises(ConfigError) as error:
        asked(source, tmp_path)
    assert said in str(error.value)
    assert "program.py" in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).count("Error") <= 1


def test_one_that_never_ends_is_stopped_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "BUILD_SECONDS", 6)
    child = tmp_path / "child"
    source = (
        "import subprocess, time\ndone = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(child)!r}, 'w').write(str(done.pid))\nwhile True:\n    time.sleep(1)\n"
    )
    with pytest.raises(ConfigError, match=r"program.py: not done with building after 6 s; stopped"):
        asked(source, tmp_path)
    wait_for(lambda: is_gone(int(child.read_text())))


@pytest.mark.skipif(os.name != "posix", reason="limits are of POSIX")
@pytest.mark.slow
def test_one_without_memory_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    source = NET.replace("nn.Linear(64, 16)", "nn.Linear(64, 10**9)")
    with pytest.raises(ConfigError, match="Out of memory"):
        asked(source, tmp_path)


def test_one_that_prints_is_read_and_proved_and_imported(tmp_path: Path, nnbench: Nnbench) -> None:
    pytest.importorskip("torch")
    found = asked(NET, tmp_path)
    assert found.understood
    assert found.proof is not None
    assert (found.proof.outcome, found.proof.compared) == ("agrees", 10)
    assert sorted(found.weights) == [0, 1]
    assert all(path.is_file() for path in found.weights.values())
    assert [layer.name for layer in found.reading.layers] == ["dense", "relu", "dense"]
    words = import_program(f"{tmp_path / 'program.py'}", "mine", COURSE, tmp_path / "own").words
    assert words == (
        "arch=mine", "loss=mine", "optimizer=mine", "schedule=mine", "init=torch_default",
    )  # fmt: skip
    shown = nnbench("arch", "--config-dir", str(tmp_path / "own"), *words, *COURSE[:1])
    assert shown.returncode == 0, shown.stderr
    assert "dense units=16" in shown.stdout


@pytest.mark.slow
def test_what_is_not_understood_ends_with_2_and_writes_nothing(
    tmp_path: Path, nnbench: Nnbench
) -> None:
    pytest.importorskip("torch")
    odd = tmp_path / "odd.py"
    odd.write_text(NET.replace("nn.ReLU()", "nn.ELU()"))
    own = tmp_path / "own"
    done = nnbench("import", str(odd), "--as", "odd", "--into", str(own), *COURSE)
    assert done.returncode == 2
    assert "nn.ELU is not a layer that nnbench has (line 7)" in done.stderr
    assert not own.exists()


@pytest.mark.slow
def test_data_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    source = (
        "import numpy as np\nimport torch\nfrom torch import nn\n\n\ndef data():\n"
        "    rng = np.random.default_rng(0)\n    x = rng.random((120, 6))\n"
        "    return x, x.sum(axis=1) + rng.random(120)\n\n\ndef build():\n"
        "    model = nn.Sequential(nn.Linear(6, 1))\n"
        "    return model, torch.optim.SGD(model.parameters(), 0.01), nn.MSELoss()\n"
    )
    found = asked(source, tmp_path)
    assert (found.task, found.data["name"]) == ("regression", "npz")
    assert found.understood
    assert [finding.key for finding in found.reading.findings] == ["broadcast_targets"]
