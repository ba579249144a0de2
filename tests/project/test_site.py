"""The documents as a site: complete, without a warning, without a dead link, without a network."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest

from nnbench.cli import COMMANDS, module
from nnbench.config import catalogue
from nnbench.config.run import RunConfig
from support import ROOT

# What a browser loads by itself; anything else is a link that somebody has to follow.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "srcset", "link": "href"}
FOLLOWED = {"a": "href"}


class Page(HTMLParser):
    """A page's anchors, and what it loads and links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.anchors |= {value for value in (known.get("id"), known.get("name")) if value}
        for kinds, found in ((LOADED, self.loaded), (FOLLOWED, self.links)):
            value = known.get(kinds.get(tag, ""))
            if value is not None:
                found.append(value)


def faults(site: Path) -> list[str]:
    """Return every dead link of a built site, and everything that it would fetch from elsewhere."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name} fetches {url}" for url in page.loaded if elsewhere(url)]
        for url in [*page.links, *page.loaded]:
            if why := dead(url, path, pages):
                found.append(f"{name}: {url}: {why}")
    for style in site.rglob("*.css"):
        fetched = re.findall(
            r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", style.read_text()
        )
        found += [f"{style.name} fetches {url}" for url in fetched]
    return found


def elsewhere(url: str) -> bool:
    """Tell whether `url` is not of the site."""
    return bool(urlsplit(url).netloc) or urlsplit(url).scheme not in ("", "data")


def dead(url: str, path: Path, pages: dict[Path, Page]) -> str | None:
    """Say why a link of the page at `path` leads nowhere, or is malformed; None for neither."""
    parts = urlsplit(url)
    if elsewhere(url):
        host = re.fullmatch(r"[\w.-]+\.\w+(:\d+)?", parts.netloc)
        good = parts.scheme in ("http", "https") and host and not re.search(r"\s", url)
        return None if good or parts.scheme == "mailto" else "malformed"
    if parts.scheme == "data":
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "no such file"
    lacks = (
        parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
    )
    return "no such anchor" if lacks else None


def test_what_is_wrong_with_a_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b/c.html#in">good</a> <a href="https://x.org/y?z=1">good</a>'
        '<a href="#top">good</a> <a href="mailto:a@b.org">good</a> <a href="a%2ehtml">good</a>'
        '<a href="gone.html">bad</a> <a href="b/c.html#out">bad</a> <a href="#gone">bad</a>'
        '<a href="https://x y.org">bad</a> <a href="https:/x.org">bad</a> <a href="b">bad</a>'
        '<img src="gone.png"> <script src="https://cdn.org/a.js"></script>'
    )
    (tmp_path / "b" / "c.html").write_text(
        '<p id="in">C <a href="../a.html">good</a><link href="//fonts.org/a.css"></p>'
    )
    (tmp_path / "s.css").write_text("@import url('https://fonts.org/b.css'); a { src: url(b.png) }")
    assert sorted(faults(tmp_path)) == [
        "a.html fetches https://cdn.org/a.js",
        "a.html: #gone: no such anchor",
        "a.html: b/c.html#out: no such anchor",
        "a.html: b: no such file",
        "a.html: gone.html: no such file",
        "a.html: gone.png: no such file",
        "a.html: https://x y.org: malformed",
        "a.html: https:/x.org: malformed",
        "b/c.html fetches //fonts.org/a.css",
        "b/c.html: //fonts.org/a.css: malformed",
        "s.css fetches https://fonts.org/b.css",
    ]


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the site's configuration and what the reference is made of."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    names = ("conf", "generated")
    for name in names:
        sys.modules.pop(name, None)
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def test_every_page_has_its_place(docs: Any) -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md")]
    listed = [page for group in docs["conf"].CONTENTS.values() for page in group]
    names = {str(page.relative_to(ROOT).with_suffix("")) for page in pages}
    assert sorted([*listed, "README"]) == sorted(names)
    assert not hasattr(docs["conf"], "suppress_warnings")


def leaves(kind: Any, path: str = "") -> Iterator[str]:
    """Yield the keys of a configuration that are no choice among dataclasses."""
    for field in dataclasses.fields(kind):
        made = field.default_factory
        if dataclasses.is_dataclass(made) and field.name != "launcher":
            yield from leaves(made, f"{path}{field.name}.")
        elif field.name not in catalogue.groups():
            yield f"{path}{field.name}"


def test_the_reference_has_every_setting(docs: Any) -> None:
    text = docs["generated"].settings()
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert {key for key, *_ in rows} >= set(leaves(RunConfig))
    assert all(re.search(r"(?<!\\)\|", cell) is None for row in rows for cell in row)
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    for option in catalogue.every_option():
        section = sections[f"{option.group}={option.name}"]
        for key in option.settings:
            assert f"| `{option.group}.{key}` |" in section
    assert "| `epochs` | integer, at least 1 | `100` |" in text
    assert "| `dtype` | `float32`, `float64` | `float32` |  |" in text
    assert (
        "| `optimizer.beta1` | number, at least 0 and less than 1, or null | `null` | null: 0.9"
        in (sections["optimizer=adam"])
    )
    for keys in ("### conv2d\n", "| `filters` | integer, at least 1 | must be set |\n"):
        assert keys in text
    untyped = [key for key, allowed, *_ in rows if not allowed]
    assert untyped == []


def test_the_reference_has_every_command(docs: Any) -> None:
    text = docs["generated"].commands()
    for name in COMMANDS:
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for option in module(name).command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in section, (name, option.opts)


def test_docstrings_become_what_sphinx_reads(docs: Any) -> None:
    lines = [
        "Take `a *b*`, of `x",
        "y`, and *words of MODEL_.",
        "",
        "    code(`as it is`)",
        "    more",
        "",
        "- one `p`",
        "  goes on",
        "- two",
    ]
    docs["generated"].docstring(None, "function", "f", None, None, lines)
    assert lines == [
        "Take \\ ``a *b*``\\ , of \\ ``x y``\\ , and \\*words of MODEL\\_.",
        "",
        "::",
        "",
        "    code(`as it is`)",
        "    more",
        "",
        "- one \\ ``p``\\  goes on",
        "",
        "- two",
    ]


def test_signatures_have_no_ranges(docs: Any) -> None:
    text = "(a: Annotated[int, within(0, 2)] = 1, *, b: list[Annotated[Literal['x', 'y'], f(1)]])"
    assert docs["generated"].signature(None, "function", text, "Annotated[str, NAME] | None") == (
        "(a: int = 1, *, b: list[Literal['x', 'y']])",
        "str | None",
    )
    assert docs["generated"].signature(None, None) == (None, None)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of the documents in `folder` into build/site, as `make docs` does."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (command,) = re.findall(r"^docs:.*\n\t\$\(BIN\)/python (-m sphinx .*)$", makefile, re.MULTILINE)
    return subprocess.run(
        [sys.executable, *command.split()], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_site_has_no_warning_and_no_dead_link(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    for name in ("docs", ".github", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").symlink_to(ROOT / "src")  # which pages link to
    done = build(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    site = tmp_path / "build" / "site"
    assert faults(site) == []
    assert (site / "index.html").read_text("utf-8").count("<h1") == 1
    assert "optimizer.beta1" in (site / "docs" / "reference" / "settings.html").read_text("utf-8")
    start = tmp_path / "docs" / "start.md"
    text = start.read_text("utf-8")
    for planted, said in (
        ("\n[gone](gone.md)\n", "start.md:.*gone"),
        ("\n[gone](data.md#gone)\n", "start.md:.*gone"),
        ("\n![gone](images/gone.png)\n", "image file not readable"),
        ("\n```{nothing}\n```\n", "nothing"),
    ):
        start.write_text(text + planted, encoding="utf-8")
        done = build(tmp_path)
        assert done.returncode != 0, planted
        assert re.search(said, done.stderr), done.stderr
    start.write_text(text, encoding="utf-8")
    (tmp_path / "docs" / "lost.md").write_text("# In no table of contents\n")
    assert build(tmp_path).returncode != 0
