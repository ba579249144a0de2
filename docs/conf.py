"""The documents as a site, by Sphinx: `make docs` writes build/site/index.html.

The source folder is the repository, so that links are those that GitHub follows. Pages in
docs/reference/ hold a comment in place of what is read off the schema, the commands and the
docstrings when the site is built.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import generated

from nnbench.config.installation import VERSION

ROOT = Path(__file__).parents[1]
GENERATED = re.compile(r"<!-- generated: (\w+) -->.*?<!-- end -->", re.DOTALL)
# The navigation: every page has a place in it, else the build fails.
CONTENTS = {
    "Start": ["docs/start", "docs/settings", "docs/data", "docs/sweeps", "docs/reports"],
    "Guides": ["docs/teaching", "docs/research", "docs/engineering", "docs/pipelines"],
    "Fair and proved": [
        "docs/agreement", "docs/native", "docs/results/fairness", "docs/results/parity",
        "docs/results/plants", "docs/textbook",
    ],
    "Your own programs": ["docs/diagnose", "docs/backends"],
    "Lessons": ["docs/backpropagation", "docs/mistakes"],
    "Measured": [
        "docs/results/claims", "docs/speed", "docs/results/bench", "docs/results/bench_haswell",
        "docs/compiled", "docs/gpu", "docs/results/gpu", "docs/results/slurm",
    ],
    "Reference": [
        "docs/reference/commands", "docs/reference/settings", "docs/reference/python",
        "docs/reference/extend", "docs/python",
    ],
    "Project": ["CHANGELOG", "CONTRIBUTING", "docs/architecture", "docs/decisions"],
}  # fmt: skip

project, author, copyright = "nnbench", "the nnbench authors", "the nnbench authors"
version = release = VERSION
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "docs/*/*.md"]
# Sphinx walks through every folder that is not left out here.
exclude_patterns = [p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "docs"]
smartquotes = False  # commands stay as they are typed
highlight_language = "none"
myst_heading_anchors = 6
myst_enable_extensions = ["attrs_inline"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_title = f"nnbench {VERSION}"
html_copy_source = html_show_sourcelink = html_use_index = False
html_permalinks_icon = "#"
# Search works from a folder, where browsers let no page read another.
html_show_search_summary = False
_BLUES = {"light": "#0b5cad", "dark": "#7cb7f5"}
html_theme_options = {
    f"{mode}_css_variables": {"color-brand-primary": blue, "color-brand-content": blue}
    for mode, blue in _BLUES.items()
} | {"navigation_with_keys": True}


def _read(_app: Any, name: str, source: list[str]) -> None:
    """Put what is generated between its comments, the navigation below the front page."""
    source[0] = GENERATED.sub(lambda found: getattr(generated, found[1])(), source[0])
    if name == root_doc:
        trees = [
            "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
            for caption, pages in CONTENTS.items()
        ]
        source[0] += "\n\n" + "\n\n".join(trees) + "\n"


def _finish(app: Any, error: Exception | None) -> None:
    """Have the front page where browsers look for it."""
    if error is None and app.builder.name == "html":
        shutil.copy(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Any) -> None:
    """Connect what is generated to the build."""
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", generated.docstring)
    app.connect("autodoc-process-signature", generated.signature)
    app.connect("build-finished", _finish)
