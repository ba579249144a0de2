"""`nnbench new KIND NAME`: the skeleton of something of one's own, which works as it is."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import click

from nnbench.config import catalogue, studies
from nnbench.errors import ConfigError, ResultsError
from nnbench.reporting.pages.screen import say
from nnbench.schema import told
from nnbench.writing import write

# Of each kind: its files, by the names of their skeletons, and what to type next.
FILES = {
    "backend": {"backend.py.txt": "{name}.py", "backend.yaml.txt": "backend/{name}.yaml"},
    "layer": {"layer.py.txt": "{name}.py"},
    "arch": {"arch.yaml.txt": "arch/{name}.yaml"},
    "study": {"study.yaml.txt": "experiments/{name}/study.yaml"},
}
NEXT = {
    "backend": (
        "nnbench check --config-dir {to} backend={name}",
        "nnbench --config-dir {to} backend={name} batch_size=32 epochs=2",
        "nnbench parity --config-dir {to} backend=numpy,{name} epochs=2",
    ),
    "layer": ("nnbench check --layer dense={to}/{name}.py:{title}",),
    "arch": (
        "nnbench arch --config-dir {to} arch={name} data=digits",
        "nnbench --config-dir {to} arch={name} data=digits loss=cross_entropy init=he "
        "schedule=constant schedule.lr=0.1 batch_size=32 epochs=5",
    ),
    "study": ("nnbench claims --config-dir {to} {name}",),
}


@click.command()
@click.argument("kind", type=click.Choice(list(FILES)))
@click.argument("name")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("own"),
    show_default=True,
    help="The folder to write into; --config-dir uses it.",
)
def command(kind: str, name: str, to: Path) -> int:
    """Write the skeleton of a backend, a layer, an architecture or a study: it works as it is.
    Nothing that is there is overwritten.
    """
    _check_name(kind, name)
    texts = {to / path.format(name=name): _text(each, name) for each, path in FILES[kind].items()}
    whole = all(path.exists() for path in texts)  # not of one that was killed before the end
    for path, text in texts.items():
        if path.exists() and (whole or not _is(path, text)):
            raise ConfigError(f"Received new {kind} {name}; {path} is there: choose another name.")
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, text.encode())
            say(path)
    except OSError as error:
        raise ResultsError(f"Cannot write --to {to}: {error.strerror}.") from None
    say("\nTry:")
    for line in NEXT[kind]:
        say("  " + line.format(name=name, title=_title(name), to=shlex.quote(str(to))))
    return 0


def _is(path: Path, text: str) -> bool:
    """Tell whether a file has this very text."""
    try:
        return path.is_file() and path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _check_name(kind: str, name: str) -> None:
    """Raise ConfigError for a name that cannot be, or is something else's."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        near = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_") or "mine"
        raise ConfigError(
            f"Received the name {told(name)}; must be small letters, digits and _, a letter first",
            instead=(name, near if near[0].isalpha() else f"my_{near}"),
        )
    known = studies.studies() if kind == "study" else _options(kind)
    code = kind in ("backend", "layer")
    taken = name in known or (code and importlib.util.find_spec(name) is not None)
    if taken:
        what = f"{kind}={name}" if name in known else f"a Python module {name}"
        what = f"a study {name}" if kind == "study" else what
        raise ConfigError(
            f"Received the name {name}; there is {what}: choose another",
            instead=(name, f"my_{name}"),
        )


def _text(skeleton: str, name: str) -> str:
    """Return a skeleton with `name` in place of its own, `mine`."""
    text = (files("nnbench.cli") / "skeletons" / skeleton).read_text(encoding="utf-8")
    return re.sub(r"\bmine\b", name, re.sub(r"\bMine\b", _title(name), text))


def _options(kind: str) -> Collection[str]:
    return () if kind == "layer" else catalogue.options(kind)


def _title(name: str) -> str:
    """Return the class's name: VeryOwn for very_own."""
    return "".join(part.capitalize() for part in name.split("_"))
