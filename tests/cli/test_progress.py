"""Progress of real commands: in a pipe, in a pseudo-terminal, never in what is parsed."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from nnbench.cli import progress
from nnbench.cli.progress import Display, Plain, Terminal, lines
from nnbench.sweeps import surface
from nnbench.sweeps.surface import Row
from support.commands import PATIENCE, TINY, fresh, here

SIDES = ["backend=numpy,numpy_reference", *TINY]
# Commands that take seconds with inputs of people's size, with what their progress is called.
COMMANDS = {
    "report": ["report"],
    "parity": ["parity", *SIDES],
    "trace": ["trace", *SIDES],
    "profile": ["profile", *TINY],
    "ops": ["ops", "--size", "8", "--rounds", "1", "backend=numpy,numpy_reference"],
    "explain": ["explain", "seed=0", "seed=0 init.scale=0.5", *TINY],
}
AT_ONCE = """
from nnbench.cli import main, progress
from nnbench.sweeps import surface
surface.SHOWN_SECONDS = progress.FIRST_SECONDS = progress.PLAIN_SECONDS = 0.0
progress.TICK_SECONDS = 0.01
for words in {commands!r}:
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0, words
"""
MOVES = re.compile(r"\x1b\[\d*[A-K]|\x1b\[\?25[lh]")  # a cursor's
LOOKS = re.compile(r"\x1b\[[\d;]*m")
TIME = r"\d+ (?:s|min) (?:left|so far)"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two recorded runs."""
    folder = tmp_path_factory.mktemp("recorded")
    done = fresh(folder, ["-m", "seed=0,1", "parity=false", *TINY])
    assert done.returncode == 0, done.stderr
    assert not re.search(TIME, done.stdout)
    return folder


@pytest.fixture(autouse=True)
def _said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests have nothing said."""
    monkeypatch.delenv(progress.SILENT)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything shown, however soon it is over."""
    for module, name in ((surface, "SHOWN_SECONDS"), (progress, "FIRST_SECONDS"),
                         (progress, "PLAIN_SECONDS")):  # fmt: skip
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "parity")) for n in COMMANDS],
)
@pytest.mark.usefixtures("at_once")
def test_a_pipe_gets_lines_on_standard_error(
    name: str, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    done = here(COMMANDS[name])
    assert done.returncode == 0, done.stderr
    label = {"explain": r"\[\d/\d\] \d/\d|all runs"}.get(name, name)
    assert re.search(rf"^({label})[^:\n]*: .*{TIME}", done.stderr, re.MULTILINE), done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not re.search(TIME, done.stdout)


def in_terminal(
    folder: Path, commands: Sequence[Sequence[str]], piped: bool = False
) -> tuple[str, str]:
    """Run commands in a pseudo-terminal; return what it got, and the pipe that stdout may be."""
    ours, theirs = pty.openpty()
    code = AT_ONCE.format(commands=[list(words) for words in commands])
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=theirs, stderr=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        env=env | {"COLUMNS": "100", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b"".join(_read(ours))
    out = process.stdout.read() if process.stdout else b""
    assert process.wait(PATIENCE) == 0, shown.decode()
    return shown.decode(), out.decode()


def _read(end: int) -> Iterator[bytes]:
    try:
        while some := os.read(end, 4096):
            yield some
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(end)


def test_a_terminal_has_a_line_that_renews_itself(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    shown, _ = in_terminal(tmp_path, [COMMANDS[name] for name in ("report", "explain")])
    frames = [frame.strip() for frame in re.split(r"\r|\n", LOOKS.sub("", MOVES.sub("", shown)))]
    for name in ("report", "all runs"):
        assert any(re.match(rf"{name}\b.*{TIME}", frame) for frame in frames), name
    assert MOVES.search(shown)


@pytest.mark.slow  # every other test's process has that variable, too
def test_a_variable_has_none_of_it_said(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    """In a pipe and in a terminal; what has ended is said all the same."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(progress.SILENT, "1")
    done = here(["-m", "seed=0,1", *TINY, "--fresh"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "[2/2]" in done.stdout
    shown, _ = in_terminal(tmp_path, [COMMANDS["report"]])
    assert "report.html" in shown
    assert not re.search(rf"{TIME}|\x1b\[2K", shown)


@pytest.mark.slow
def test_what_is_parsed_has_no_progress_in_it(recorded: Path, tmp_path: Path) -> None:
    """Standard output is a file, standard error the terminal: that is where it is drawn."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    shown, out = in_terminal(tmp_path, [COMMANDS["report"]], piped=True)
    assert "report" in shown
    assert "\x1b[2K" in shown
    assert "\x1b" not in out
    assert not re.search(TIME, out)
    assert "report.html" in out


def test_colours_that_are_forced_do_not_make_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    assert isinstance(Display(Console(file=file, force_terminal=True)).surface, Plain)
    assert not isinstance(Display(Console(file=file, force_terminal=True)).surface, Terminal)


def test_a_line_fits_a_narrow_terminal() -> None:
    now = [0.0]
    row = Row(
        "[12/40] " + "a name that somebody gave " * 3, lambda: now[0], "epoch 3/100, loss 0.1"
    )
    now[0] = 30.0
    row.pace.reach(0.5)
    for width in (40, 60, 80, 200):
        console = Console(width=width, file=io.StringIO())
        with console.capture() as capture:
            console.print(lines([row], width))
        (line,) = capture.get().splitlines()
        assert "about 30 s left" in line
        assert ("━" in line) == (width >= progress.WITH_BAR)
