"""The part of matplotlib's typeface that figures use.

A PDF holds the glyphs of its figure, cut out of the whole typeface each time: that would be a third
of the time of a report. Cutting them out of a small one takes a tenth of that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

WHOLE, PART = "DejaVu Sans", "DejaVu Sans of nnbench"
# Latin letters, Greek, punctuation, arrows, and the signs that figures set; the others are taken
# from the whole typeface.
GLYPHS = (*range(0x20, 0x180), *range(0x391, 0x3CA), *range(0x2010, 0x2027), *range(0x2190, 0x2194),
          0x2212, 0x2264, 0x2265, 0x2717)  # fmt: skip


@contextmanager
def typeface() -> Iterator[None]:
    """Set texts in the small typeface, with the whole one for what it lacks."""
    import matplotlib

    _make()
    with matplotlib.rc_context({"font.family": [PART, WHOLE]}):
        yield


def named(svg: str) -> str:
    """Return `svg` as it names the whole typeface, which others may have."""
    return svg.replace(f"'{PART}', ", "")


@cache
def _make() -> tempfile.TemporaryDirectory[str]:
    """Write the small typeface and tell matplotlib of it; the folder goes when the process ends."""
    from fontTools import subset
    from matplotlib import font_manager

    folder = tempfile.TemporaryDirectory(prefix="nnbench-typeface-", ignore_cleanup_errors=True)
    options = subset.Options(layout_features=[], glyph_names=True, drop_tables=["GSUB", "GPOS", "FFTM"])
    font = subset.load_font(font_manager.findfont(WHOLE), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=GLYPHS)
    cutter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 6, 16):  # family, full and PostScript names
            record.string = PART.replace(" ", "" if record.nameID == 6 else " ")
    path = Path(folder.name) / "small.ttf"
    subset.save_font(font, str(path), options)
    font_manager.fontManager.addfont(str(path))
    return folder
