"""`nnbench --help`: written for people, read off conf/ so that it is never out of date."""

from __future__ import annotations

import sys

from nnbench.cli import COMMANDS
from nnbench.config import catalogue, sources, studies

HEAD = """\
nnbench: fair comparisons of neural-network frameworks

  nnbench KEY=VALUE...             train one run; a bare `nnbench` is a good first one
  nnbench -m KEY=A,B KEY=1,2...    train every combination and compare them
  nnbench COMMAND [--help]         one of the commands below

Examples
  nnbench backend=numpy batch_size=1 init.scale=0.01
  nnbench -m backend=numpy,torch,keras seed=0,1 epochs=20
  nnbench data=mnist arch=mlp arch.hidden=[128,64] loss=cross_entropy batch_size=32 \\
          schedule=constant schedule.lr=0.1 shuffle=true epochs=3
  nnbench experiment=create_nn_from_numpy/matched_torch_b1
"""

TAIL = """\
More
  --cfg job            print the configuration without running it
  --config-dir DIR     use the options, studies and code in DIR too (every command takes it)
  --version            print the version
Every run is kept under results/ (results=DIR); docs/ explains the rest.
"""


def show_help() -> int:
    """Print the help; return 0."""
    lines = [HEAD, "Commands"]
    lines += [f"  {name:<12} {text}" for name, text in COMMANDS.items()]
    lines += ["", "Groups (GROUP=OPTION; an option's values are set as GROUP.KEY=VALUE)"]
    for group in catalogue.groups():
        lines.append(f"  {group}")
        lines += [_line(option) for option in catalogue.options(group).values()]
    lines += _from_elsewhere()
    lines += ["", "Values"]
    lines += [f"  {line}" for line in _values()]
    sys.stdout.write("\n".join([*lines, "", TAIL]))
    return 0


def _line(option: catalogue.Option) -> str:
    origin = f" [{option.source.origin}]" if option.source.origin else ""
    return f"    {option.name:<20} {option.text}{origin}"


def _from_elsewhere() -> list[str]:
    """Return the studies that do not come with nnbench, and what of plug-ins is left out."""
    lines, wrong = [], [f"  {each}" for each in (*catalogue.problems(), *studies.problems())]
    for name, path in studies.studies().items():
        if origin := sources.source_of_study(path).origin:
            lines.append(f"  {name:<22} [{origin}]")
    if lines:
        lines = ["", "Studies of your own (nnbench study NAME, nnbench claims NAME)", *lines]
    return [*lines, *(["", "Left out", *wrong] if wrong else [])]


def _values() -> list[str]:
    """Return the values of conf/config.yaml with their comments."""
    text = (sources.root() / "conf" / "config.yaml").read_text(encoding="utf-8")
    body = text.split("\n\n", 1)[1].split("\nhydra:", 1)[0]
    return [line for line in body.splitlines() if line]
