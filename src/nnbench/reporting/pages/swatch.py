"""A piece of a group's line with its marker, as SVG for a legend outside the figure."""

from __future__ import annotations

from nnbench.records.colors import COLORS
from nnbench.reporting.pages.looks import Look

PATHS = {  # of markers, around the origin, four units across
    "o": "M-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0", "s": "M-2-2h4v4h-4z", "^": "M0-2.4L2.4 2h-4.8z",
    "D": "M0-2.6L2.6 0L0 2.6L-2.6 0z", "v": "M0 2.4L2.4-2h-4.8z",
    "P": "M-1-2.6h2v1.6h1.6v2h-1.6v1.6h-2v-1.6h-1.6v-2h1.6z",
    "X": "M-2.4-1.2L-1.2-2.4L0-1.2L1.2-2.4L2.4-1.2L1.2 0L2.4 1.2"
         "L1.2 2.4L0 1.2L-1.2 2.4L-2.4 1.2L-1.2 0z",
    "<": "M-2.4 0L2-2.4v4.8z", ">": "M2.4 0L-2-2.4v4.8z",
    "p": "M0-2.5L2.4-.8L1.5 2h-3L-2.4-.8z", "h": "M0-2.6L2.3-1.3v2.6L0 2.6L-2.3 1.3v-2.6z",
    "*": "M0-2.8L.8-.9L2.8-.9L1.2.4L1.8 2.4L0 1.2L-1.8 2.4L-1.2.4L-2.8-.9L-.8-.9z",
}  # fmt: skip
_NAMES = {light: name for name, (light, _) in COLORS.items()}


def swatch(look: Look) -> str:
    """Return the SVG of a `look`, in the page's colours; nothing in it comes from outside."""
    color = f"var(--{_NAMES[look.color]})"
    dash = " ".join(f"{1.5 * part:g}" for part in look.dash)
    return (
        '<svg class="swatch" viewBox="0 -5 30 10" aria-hidden="true">'
        f'<path d="M0 0h30" fill="none" stroke="{color}" stroke-width="2" '
        f'stroke-dasharray="{dash or "none"}"/>'
        f'<path d="{PATHS[look.marker]}" transform="translate(15) scale(1.6)" fill="var(--back)" '
        f'stroke="{color}" stroke-width="0.9"/></svg>'
    )
