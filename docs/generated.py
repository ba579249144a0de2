"""What the reference is made of when the site is built: commands, settings, docstrings.

Nothing is written down twice: defaults and meanings come from conf/, types and allowed values from
the dataclasses that check them, the rest from `--help` and docstrings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click

import nnbench.api
import nnbench.extend
from nnbench.cli import COMMANDS, help, module
from nnbench.config import catalogue
from nnbench.config.run import RunConfig
from nnbench.model.layers import Layer
from nnbench.schema.limits import UNKNOWN

WIDTH = 92  # characters, of --help
NOUNS = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null"}
HEAD = ["| key | may be | default | meaning |", "|---|---|---|---|"]


def commands() -> str:
    """Return the help of every command, as it prints it."""
    parts = [_block(help.HEAD.split("\nExamples")[0] + "\n" + help.TAIL)]
    for name, text in COMMANDS.items():
        command = module(name).command
        parts += [f"## {name}", f"{text[0].upper()}{text[1:]}.", _help(command, f"nnbench {name}")]
        inner = command.commands if isinstance(command, click.Group) else {}
        for each in inner.values():
            parts += [f"### {name} {each.name}", _help(each, f"nnbench {name} {each.name}")]
    return "\n\n".join(parts)


def _help(command: click.Command, typed: str) -> str:
    context = click.Context(command, info_name=typed, terminal_width=WIDTH, max_content_width=WIDTH)
    return _block(command.get_help(context))


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def settings() -> str:
    """Return every value, and every option of every group with its values."""
    file = catalogue.root() / "conf" / "config.yaml"
    lines = file.read_text("utf-8").splitlines()
    rows = _rows(catalogue.main_values(), lines, RunConfig)
    parts = ["## Values", "\n".join([*HEAD, *rows])]
    for group in catalogue.groups():
        usual = catalogue.usual(group)
        parts += [f"## {group}", f"`{group}=OPTION`; `{group}={usual}` is the default."]
        for option in catalogue.options(group).values():
            parts += [f"### {group}={option.name}", f"{_cell(option.text)}."]
            kind = _kind(group, option.inherited("name"))
            rows = [
                _row(f"{group}.{key}", _allowed(kind, key), value.text, value.meaning)
                for key, value in option.settings.items()
            ]
            parts += ["\n".join([*HEAD, *rows])] * bool(rows)
    return "\n\n".join([*parts, *_layers()])


def _layers() -> Iterator[str]:
    """Yield what is said of the layers that `arch.layers` may have, each with its keys."""
    yield "## layers of arch.layers"
    yield "`{name: LAYER, KEY: VALUE}`; a layer without keys of its own is its name alone."
    for kind in get_args(Layer):
        yield f"### {', '.join(get_args(get_type_hints(kind)['name']))}"
        yield str(inspect.getdoc(kind))
        rows = []
        for field in dataclasses.fields(kind):
            needed = field.default is dataclasses.MISSING
            default = "???" if needed else catalogue._typed(field.default)
            if field.name != "name":
                rows.append(_row(field.name, _allowed(kind, field.name), default, "")[:-3])
        if rows:
            yield "\n".join(["| key | may be | default |", "|---|---|---|", *rows])


def _rows(values: Any, lines: list[str], kind: Any, path: str = "") -> Iterator[str]:
    """Yield the rows of the values of conf/config.yaml, those inside others by dotted key."""
    for key, value in values.items():
        if key in ("defaults", "hydra"):
            continue
        if isinstance(value, Mapping):
            yield from _rows(value, lines, get_type_hints(kind, include_extras=True)[key],
                             f"{path}{key}.")  # fmt: skip
        else:
            meaning = catalogue._comment(lines, values.lines[key] - 1)
            yield _row(f"{path}{key}", _allowed(kind, key), catalogue._typed(value), meaning)


def _row(key: str, allowed: str, default: str, meaning: str) -> str:
    if set(re.findall(r"\w+", meaning)) == set(re.findall(r"\w+", allowed)):
        meaning = ""  # which lists the values, too
    typed = "must be set" if default == "???" else f"`{default}`"
    return f"| `{key}` | {_cell(allowed)} | {_cell(typed)} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    """Return text for a table: one line, its bars no ends of cells."""
    return re.sub(r"([|*<])", r"\\\1", " ".join(text.split()))


def _kind(group: str, name: Any) -> Any:
    """Return the dataclass that checks the option called `name`, None where there is none."""
    hints = get_type_hints(RunConfig, include_extras=True)
    for kind in _members(hints.get(group)):
        if dataclasses.is_dataclass(kind):
            tags = get_args(get_type_hints(kind).get("name"))
            if not tags or name in tags:
                return kind
    return None


def _allowed(kind: Any, key: str) -> str:
    """Return what `key` of a dataclass may be, in words."""
    hints = get_type_hints(kind, include_extras=True) if kind else {}
    return _words(hints[key]) if key in hints else ""


def _words(annotation: Any) -> str:  # noqa: PLR0911 - a table
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = " and ".join(str(each) for each in arguments[1:] if each is not UNKNOWN)
        limits = re.sub(r"(greater than (\S+)) and at least \2", r"\1", limits)
        return ", ".join(filter(None, [_words(arguments[0]), limits]))
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (Union, UnionType):
        words = [_words(each) for each in sorted(arguments, key=lambda each: each is type(None))]
        known = list(dict.fromkeys(filter(None, words)))
        if all(re.fullmatch(r"`\w+`(, `\w+`)*", each) for each in known):
            return ", ".join(known)
        return (", or " if any(", " in each for each in known) else " or ").join(known)
    if origin in (tuple, list):
        return f"list: {_words(arguments[0])}"
    if isinstance(annotation, type) and annotation in NOUNS:
        return NOUNS[annotation]
    if dataclasses.is_dataclass(annotation):
        return ", ".join(f"`{tag}`" for tag in get_args(get_type_hints(annotation).get("name")))
    return ""


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the kinds of a union, or the one kind that it is."""
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


def python() -> str:
    """Return the functions of `nnbench` with the objects that they return."""
    functions = [name for name in vars(nnbench.api) if name in nnbench.__all__]
    returned = [
        "nnbench.records.run.RunResult", "nnbench.records.run.EpochRecord",
        "nnbench.records.run.Phases", "nnbench.sweeps.loop.SweepResult",
        "nnbench.reporting.asking.Report", "nnbench.reporting.explain.asking.Explanation",
        "nnbench.reporting.diagnosis.diagnosis.Diagnosis",
        "nnbench.records.certificate.Certificate", "nnbench.reporting.claims.text.StudyAnswers",
        "nnbench.errors.NNBenchError",
    ]  # fmt: skip
    parts = ["## Functions", _rst(f"autofunction:: nnbench.{name}" for name in functions)]
    parts += ["## What they return"]
    return "\n\n".join([*parts, _rst(f"autoclass:: {name}\n   :members:" for name in returned)])


def extend() -> str:
    """Return all that `nnbench.extend` has, in the order and with the comments of its imports."""
    source = Path(str(nnbench.extend.__file__)).read_text("utf-8")
    said = dict(re.findall(r"^ {4}(\w+),  # (.+)$", source, flags=re.MULTILINE))
    modules, rest = [], []
    for name in nnbench.extend.__all__:
        value = getattr(nnbench.extend, name)
        if isinstance(value, ModuleType):
            modules.append((name, value))
        else:
            rest.append((name, value))
    parts = ["| name | what it is |", "|---|---|"]
    parts += [f"| `{name}` | {_cell(said.get(name) or _first(value))} |" for name, value in rest]
    described = [each for each in rest if inspect.isclass(each[1]) or inspect.isroutine(each[1])]
    parts = ["\n".join(parts), _rst(_directive(name, value) for name, value in described)]
    for name, value in modules:
        parts += [
            f"## {name}",
            _cell(said[name]),
            _rst([f"automodule:: {value.__name__}\n   :members:"]),
        ]
    return "\n\n".join(parts)


def _first(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n\n")[0] if callable(value) else ""


def _directive(name: str, value: Any) -> str:
    members = "\n   :members:" if inspect.isclass(value) else ""
    return f"auto{'class' if members else 'function'}:: nnbench.extend.{name}{members}"


def _rst(directives: Any) -> str:
    lines = "\n\n".join(f".. {each}" for each in directives)
    return f"```{{eval-rst}}\n{lines}\n```"


def signature(*event: Any) -> tuple[str | None, str | None]:
    """Return a signature, among an event's last values, without the ranges that the schema has."""
    plain = [text and _plain(text) for text in event[-2:]]
    return plain[0], plain[1]


def _plain(text: str) -> str:
    """Return `text` with every `Annotated[KIND, ...]` as KIND."""
    while (at := text.find("Annotated[")) >= 0:
        depth, start, comma, end = 0, at + len("Annotated["), 0, at
        for end in range(start, len(text)):
            depth += (text[end] in "[(") - (text[end] in "])")
            comma = comma or end * (text[end] == "," and depth == 0)
            if depth < 0:
                break
        text = text[:at] + text[start:comma] + text[end + 1 :]
    return text


def docstring(*event: Any) -> None:
    """Turn a docstring, the last of an event's values, from Markdown into what Sphinx reads.

    Text in `backticks` is code, lines set off by four spaces are a block of it, `- ` and `1. `
    begin items; a paragraph or an item becomes one line.
    """
    lines: list[str] = event[-1]
    found: list[str] = []
    code = False
    for line in lines:
        begins = re.match(r"- |\d+\. ", line) is not None
        before = found[-1] if found else ""
        if line.startswith("    ") and (code or not before):
            found += [*([] if code else ["::", ""]), line]
            code = True
        elif line and before and not begins:
            found[-1] = f"{before} {line.strip()}"
        else:
            code = code and not line
            found += [*([""] if begins and before else []), line]
    lines[:] = [
        line if line.startswith("    ") or line == "::" else _marked(line) for line in found
    ]


def _marked(line: str) -> str:
    """Return a line of text with its code marked, and nothing else that reads as markup."""
    parts = re.split(r"``?([^`]+)``?", line)
    parts[::2] = [re.sub(r"[*|\\]|(?<=\w)_(?=\W|$)", r"\\\g<0>", part) for part in parts[::2]]
    parts[1::2] = [f"\\ ``{part}``\\ " for part in parts[1::2]]
    return "".join(parts)
