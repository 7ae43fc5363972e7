"""A `Diagnosis` as a picture; needs matplotlib (`pip install "octad-tokenizer[plot]"`)."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_tokenizer.diagnostics import Diagnosis, is_utf8
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.files import write_whole
from octad_tokenizer.language_cost import LanguageCost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN, _GREY, _INK = "#0072B2", "#E69F00", "#009E73", "#9AA3AB", "#2B2F33"
_DARK_ORANGE = "#8A5F00"
_MOST_BARS = 24
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "octad",
}


def plot_diagnosis(diagnosis: Diagnosis, path: str | Path, title: str = "") -> Path:
    """Write the picture as `.svg`, `.png` or `.pdf`; return its path.

    It shows how often each token is used (on logarithmic axes), how long tokens are and whether they are used, and
    what each language pays, if there are languages. The colours are told apart by colour-blind eyes (Okabe and Ito).

    Raises:
        TokenizerError: matplotlib is not installed, or the ending is none of its formats.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise TokenizerError(f"{path.name!r} does not end in .svg, .png or .pdf; the ending is the format")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TokenizerError('plots need matplotlib; pip install "octad-tokenizer[plot]"') from error
    num_bars = min(len(diagnosis.languages), _MOST_BARS)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.6 + (0.5 + 0.2 * num_bars if num_bars else 0)), layout="constrained")
        _draw(figure, diagnosis, num_bars)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        content = BytesIO()
        stamp = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(content, format=path.suffix[1:], dpi=160, metadata=stamp)
    write_whole(path, content.getvalue())
    return path


def _draw(figure: Figure, diagnosis: Diagnosis, num_bars: int) -> None:
    heights = [3.4, 0.5 + 0.2 * num_bars] if num_bars else [1.0]
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    _usage(figure.add_subplot(grid[0, 0]), diagnosis)
    _lengths(figure.add_subplot(grid[0, 1]), diagnosis)
    if num_bars:
        _languages(figure.add_subplot(grid[1, :]), diagnosis.languages)


def _usage(axes: Axes, diagnosis: Diagnosis) -> None:
    """Counts by rank: what lies under the rare line, and what is missing on the right, is hardly learned."""
    counts = sorted(diagnosis.counts.values(), reverse=True)
    ordinary = len(diagnosis.tokens) - len(diagnosis.special)
    axes.loglog(range(1, len(counts) + 1), counts, color=_BLUE, linewidth=2)
    axes.set_xlim(1, ordinary * 1.4)
    axes.set_ylim(0.7, counts[0] * 2)
    if unused := len(diagnosis.unused):
        axes.axvspan(len(counts), ordinary, color=_ORANGE, alpha=0.25, linewidth=0)
        label = f"{unused:,} never\nused ({unused / ordinary:.0%})"
        axes.text(len(counts) * 0.88, counts[0] * 1.6, label, ha="right", va="top", color=_DARK_ORANGE)
    axes.set_title("How often tokens are used", loc="left", fontweight="bold", fontsize=10)
    axes.set_xlabel("token, by rank")
    axes.set_ylabel("occurrences in the corpus")
    _quiet(axes)


def _lengths(axes: Axes, diagnosis: Diagnosis) -> None:
    """Tokens by length: used, unused, and parts of characters."""
    ordinary = {i: token for i, token in diagnosis.tokens.items() if i not in diagnosis.special}
    longest = min(max(map(len, ordinary.values()), default=1), 20)
    kinds = {"used": (_BLUE, ""), "never used": (_ORANGE, "//"), "part of a character": (_GREY, "")}
    of_kind = {i: _kind(diagnosis, i, token) for i, token in ordinary.items()}
    bottom = [0] * longest
    for kind, (colour, hatch) in kinds.items():
        counts = Counter(min(len(token), longest) for i, token in ordinary.items() if of_kind[i] == kind)
        heights = [counts[size] for size in range(1, longest + 1)]
        if any(heights):
            label = f"{kind} ({sum(heights):,})"
            axes.bar(
                range(1, longest + 1), heights, 0.86, bottom, color=colour, hatch=hatch, edgecolor="white", label=label
            )
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    ticks = [1, *range(2, longest + 1, 2 if longest > 8 else 1)]
    axes.set_xticks(ticks, [f"{size}+" if size == 20 else str(size) for size in ticks])
    axes.set_xlim(0.4, max(longest, 6) + 0.6)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("How long tokens are", loc="left", fontweight="bold", fontsize=10)
    axes.set_xlabel("bytes")
    axes.set_ylabel("tokens")
    axes.set_ylim(0, max(bottom, default=1) * (1.05 if longest > 8 else 1.5))
    axes.legend(frameon=False, loc="upper right")
    _quiet(axes)


def _kind(diagnosis: Diagnosis, token_id: int, token: bytes) -> str:
    if not is_utf8(token):
        return "part of a character"
    return "used" if diagnosis.counts.get(token_id) else "never used"


def _languages(axes: Axes, costs: tuple[LanguageCost, ...]) -> None:
    """Bars from 1: how much more than the cheapest language each pays for the same text."""
    some = _spread(costs)
    places = range(len(some))
    axes.barh(places, [cost.premium for cost in some], 0.72, color=_GREEN)
    for place, cost in zip(places, some, strict=True):
        label = f" {cost.premium:.2f}" + (f"  ({cost.unknown_rate:.0%} unknown)" if cost.unknown_rate else "")
        axes.text(cost.premium, place, label, va="center", fontsize=8)
    axes.set_yticks(places, [cost.language for cost in some])
    axes.set_xlim(0, max(cost.premium for cost in some) * 1.08)
    axes.axvline(1, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(len(some) - 0.4, -0.6)
    left_out = f" ({len(some)} of {len(costs)} languages)" if len(some) < len(costs) else ""
    axes.set_title(f"What the same text costs{left_out}", loc="left", fontweight="bold", fontsize=10)
    axes.set_xlabel("tokens relative to the cheapest language")
    _quiet(axes)
    axes.tick_params(axis="y", length=0)


def _spread(costs: tuple[LanguageCost, ...]) -> list[LanguageCost]:
    """All of them, or as many as can be read, evenly from the cheapest to the dearest."""
    if len(costs) <= _MOST_BARS:
        return list(costs)
    return [costs[round(at * (len(costs) - 1) / (_MOST_BARS - 1))] for at in range(_MOST_BARS)]


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="minor", length=0)
