"""Small drawings in SVG whose colours and letters are the page's own, so that they follow its light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 336.0  # of one drawing in CSS pixels: two stand beside each other, one fills a telephone
# each stands for a variable of the style sheet, by which it is replaced in the drawing
INK, MUTED, RULE, FIRST, SECOND, THIRD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", FIRST: "first", SECOND: "second", THIRD: "third"}
SERIES = (FIRST, SECOND, THIRD)
STYLE: dict[str, Any] = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.linewidth": 1.0,
    "axes.axisbelow": True,
    "axes.labelsize": 10.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "svg.fonttype": "none",
}


class Drawing:
    """A figure while it is drawn; `svg` afterwards."""

    def __init__(self, name: str, description: str, height: float) -> None:
        self.name, self.description = name, description
        self.figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        self.svg = Markup("")

    def axes(self, ratios: tuple[float, ...] = (1.0,)) -> list[Axes]:
        """Panels from top to bottom that share their horizontal axis."""
        grid = self.figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
        panels: list[Axes] = list(grid[:, 0])
        for panel in panels:
            panel.grid(axis="y", color=RULE, linewidth=0.6)
            panel.tick_params(length=3)
        return panels


@contextmanager
def drawing(name: str, description: str, height: float = 216.0) -> Iterator[Drawing]:
    """Draw inside; afterwards `svg` holds the drawing.

    Args:
        name: tells the drawings of a page apart.
        description: what it shows, for those who cannot see it.
        height: in CSS pixels.
    """
    style: Any = {**STYLE, "svg.hashsalt": name}  # the salt keeps what drawings call their parts apart
    with matplotlib.rc_context(style):
        here = Drawing(name, description, height)
        yield here
        buffer = io.StringIO()
        nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
        here.figure.savefig(buffer, format="svg", metadata=nothing)
    here.svg = _inline(buffer.getvalue(), description)


def _inline(text: str, description: str) -> Markup:
    """The `svg` element alone, sized by the page, in its colours and letters."""
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    opening = (
        f'<svg {view[0]} role="img" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    body = text[text.index(">") + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # the same in every drawing, and nothing refers to them
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    for color, variable in VARIABLES.items():
        body = body.replace(color, f"var(--{variable})")
    body = re.sub(r">\s+<", "><", body)
    return Markup(f"{opening}<title>{escape(description)}</title>{body}")
