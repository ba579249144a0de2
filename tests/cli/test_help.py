"""`--help`: after anything, about anything, plug-ins included."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnbench.cli import COMMANDS
from nnbench.config import catalogue
from support.commands import here


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_helps_after_anything(name: str, flag: str) -> None:
    for typed in (
        [name, flag],
        [name, "x", flag],
        [name, flag, "--nope"],
        [name, "--nope", "results=there", flag],
    ):
        done = here(typed)
        assert (done.returncode, done.stderr) == (0, ""), typed
        assert done.stdout.startswith(f"Usage: nnbench {name}"), typed


def test_of_a_group_and_a_command_of_one_name_each_has_its_help() -> None:
    assert here(["--help", "show"]).stdout.startswith("Usage: nnbench show")
    done = here(["--help", "arch"])
    assert done.stdout.startswith("arch=OPTION")
    assert "nnbench arch --help" in done.stdout


def test_a_command_inside_a_command_helps() -> None:
    assert here(["data", "fetch", "-h"]).stdout.startswith("Usage: nnbench data fetch")


@pytest.mark.parametrize(
    "typed",
    [
        ["--help"],
        ["help"],
        ["backend=numpy", "--help"],
        ["-m", "backend=numpy,torch", "-h"],
        ["batch_sise=nothing", "-h"],
        ["--cfg", "job", "--help"],
        ["--nope", "-h"],
        ["-h", "--plan"],
    ],
)
def test_a_run_helps_after_anything(typed: list[str]) -> None:
    done = here(typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nnbench: fair comparisons")


@pytest.mark.parametrize("group", catalogue.groups())
def test_a_group_shows_every_option_with_its_values_and_what_they_mean(group: str) -> None:
    done = here(["--help", group])
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"[default: {group}={catalogue.usual(group)}]" in lines[0]
    for option in catalogue.options(group).values():
        assert f"  {option.name:<20} {option.text}" in lines
        for key, value in option.settings.items():
            assert value.meaning, f"conf/{group}/{option.name}.yaml: {key} has no comment"
            assert any(f" {key}: {value.text} " in line for line in lines)


def test_an_option_shows_what_it_takes_from_another_with_its_own_value() -> None:
    jax = catalogue.options("backend")["keras_jax"].settings
    assert jax["engine"] == ("jax", "tensorflow | torch | jax")
    assert jax["execution"].text == "auto"


def test_options_of_a_folder_are_shown_with_where_they_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnbench.config.sources._typed", [])
    (tmp_path / "schedule").mkdir()
    (tmp_path / "backend").mkdir()
    (tmp_path / "schedule" / "mine.yaml").write_text(
        "# Down the stairs\nname: step\nlr: 0.5  # where it begins\nevery: 3\nfactor: 0.5\n"
    )
    (tmp_path / "backend" / "own.yaml").write_text(
        "# My loop\nname: own\n_target_: own.Own\nexecution: quick\nexecutions: [quick, slow]\n"
    )
    for typed in (["--config-dir", str(tmp_path), "-h", "schedule"],
                  ["-h", "schedule", "--config-dir", str(tmp_path)]):  # fmt: skip
        shown = here(typed).stdout
        assert f"mine                 Down the stairs [{tmp_path}]" in shown
        assert "lr: 0.5                       where it begins" in shown
    shown = here(["--config-dir", str(tmp_path), "-h", "backend"]).stdout
    assert "execution: quick              quick | slow" in shown


def test_a_value_a_study_and_a_typo() -> None:
    assert here(["--help", "keep"]).stdout.splitlines()[1].startswith("  weights: last ")
    assert "experiment=create_nn_from_numpy/" in here(["--help", "experiment"]).stdout
    done = here(["--help", "optimzer"])
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("did you mean 'optimizer'?")
    assert len(done.stderr.splitlines()) == 1
