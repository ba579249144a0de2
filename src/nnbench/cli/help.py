"""`nnbench --help`: written for people, read off conf/ so that it is never out of date."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nnbench.cli import COMMANDS
from nnbench.config import catalogue, sources, studies
from nnbench.errors import ConfigError
from nnbench.schema import suggest

HEAD = """\
nnbench: fair comparisons of neural-network frameworks

  nnbench KEY=VALUE...             train one run; a bare `nnbench` is a good first one
  nnbench -m KEY=A,B KEY=1,2...    train every combination and compare them
  nnbench COMMAND [--help]         one of the commands below
  nnbench --help GROUP             every option of a group with its values, as optimizer

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


def show_help(topics: Sequence[str] = ()) -> int:
    """Print the help, or that of `topics`: groups, values, studies; return 0.

    Raises ConfigError for a topic that there is not.
    """
    pages = [_page(topic) for topic in topics] or [_all()]
    sys.stdout.write("\n".join(pages))
    return 0


def _page(topic: str) -> str:
    """Return the page of a group, or of a value."""
    key = topic.lstrip("+~").partition("=")[0]
    group = key.partition(".")[0]
    if group in catalogue.groups():
        return group_page(group)
    if group == "experiment":
        cases = [f"  experiment={case}" for case in studies.experiments()]
        return "\n".join(["experiment: a case of a study, STUDY/CASE", "", *cases, ""])
    if lines := _value_lines(group):
        return "\n".join([*lines, ""])
    known = [*COMMANDS, *catalogue.groups(), "experiment", *catalogue.main_values()]
    listed = f"there is {', '.join(catalogue.groups())}, any command and any value"
    raise ConfigError(f"Received --help {topic}; {listed}{suggest(topic, known)}")


def _all() -> str:
    lines = [HEAD, "Commands"]
    lines += [f"  {name:<12} {text}" for name, text in COMMANDS.items()]
    lines += ["", "Groups (GROUP=OPTION; an option's values are set as GROUP.KEY=VALUE)"]
    for group in catalogue.groups():
        lines.append(f"  {group}")
        lines += [_line(option) for option in catalogue.options(group).values()]
    lines += _from_elsewhere()
    lines += ["", "Values"]
    lines += [f"  {line}" for line in _values()]
    return "\n".join([*lines, "", TAIL])


def group_page(group: str) -> str:
    """Return every option of a group: what it is, and its values with what they mean."""
    usual = catalogue.usual(group)
    lines = [f"{group}=OPTION; values are set as {group}.KEY=VALUE  [default: {group}={usual}]"]
    for option in catalogue.options(group).values():
        lines += ["", _line(option).replace("    ", "  ", 1)]
        for key, value in option.settings.items():
            typed = f"{key}: {value.text}"
            lines.append(f"      {typed:<28}  {value.meaning}".rstrip())
    wrong = [f"  {each}" for each in catalogue.problems()]
    lines += ["", "Left out", *wrong] if wrong else []
    lines += ["", f"Of the command of that name: nnbench {group} --help"] * (group in COMMANDS)
    return "\n".join([*lines, ""])


def _line(option: catalogue.Option) -> str:
    origin = f" [{option.source.origin}]" if option.source.origin else ""
    return f"    {option.name:<20} {option.text}{origin}"


def _from_elsewhere() -> list[str]:
    """Return the studies that do not come with nnbench, and what of plug-ins is left out."""
    lines, wrong = [], [f"  {each}" for each in (*catalogue.problems(), *studies.problems())]
    for name, path in studies.sound().items():
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


def _value_lines(key: str) -> list[str]:
    """Return the lines of `_values` that are about `key`."""
    found: list[str] = []
    inside = False
    for line in _values():
        if not line.startswith(" "):
            inside = line.startswith(f"{key}:")
        found += [line] if inside else []
    return found
