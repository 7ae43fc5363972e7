"""The drawings of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from octad.report.formats import amount, shortened
from octad.report.record import LABELS, TRAINED, RunRecord
from octad.report.rows import Row
from octad.report.svg import FIRST, INK, MUTED, RULE, SECOND, SERIES, drawing

MAX_POINTS = 300  # more than a drawing has pixels for
Points = Sequence[Mapping[str, Any]]


def exact_match_figure(rows: Sequence[Row]) -> Markup:
    """Exact match after every stage, with one standard error up and down."""
    stages = [row for row in rows if not row.is_baseline and row.exact_match is not None]
    scores = [row.exact_match for row in stages if row.exact_match is not None]
    if not scores:
        return Markup("")
    with drawing("exact-match", "Exact match on held-out instructions by stage, in percent") as here:
        (axes,) = here.axes()
        values, errors = [100 * s.value for s in scores], [100 * s.error for s in scores]
        axes.bar(range(len(values)), values, width=0.56, color=FIRST, alpha=0.22)
        axes.errorbar(range(len(values)), values, errors, fmt="o", color=FIRST, markersize=5, capsize=4)
        for place, (value, error) in enumerate(zip(values, errors, strict=True)):
            axes.annotate(f"{value:.1f}", (place, value + error), (0, 5), textcoords="offset points", ha="center")
        axes.set_ylim(0, min(112.0, max(10.0, 1.22 * max(values))))
        _names(axes, [row.name for row in stages])
        axes.set_ylabel("exact match, %")
    return here.svg


def bits_per_byte_figure(rows: Sequence[Row], kinds: Sequence[str]) -> Markup:
    """Bits per byte after every stage, a line for each kind of text, the baselines across."""
    stages = [row for row in rows if not row.is_baseline and row.bits_per_byte]
    if not stages:
        return Markup("")
    with drawing("bits-per-byte", "Bits per byte of held-out text by stage, beside the baselines") as here:
        (axes,) = here.axes()
        for kind, color in zip(kinds, SERIES, strict=False):
            scores = [(n, row.bits_per_byte[kind]) for n, row in enumerate(stages) if kind in row.bits_per_byte]
            places, values = [n for n, _ in scores], [s.value for _, s in scores]
            axes.errorbar(
                places,
                values,
                [s.error for _, s in scores],
                fmt="o-",
                color=color,
                markersize=5,
                capsize=4,
                label=shortened(kind),
            )
        baselines = [row for row in rows if row.is_baseline and row.bits_per_byte]
        for row, dashes in zip(baselines, ((1, 2), (5, 3)), strict=False):
            for kind, color in zip(kinds, SERIES, strict=False):
                if kind in row.bits_per_byte:
                    axes.axhline(row.bits_per_byte[kind].value, color=color, linewidth=1.1, dashes=dashes)
            highest = max(score.value for score in row.bits_per_byte.values())
            axes.annotate(
                shortened(row.name),
                (len(stages) - 0.55, highest),
                (0, 3),
                textcoords="offset points",
                ha="right",
                color=MUTED,
            )
        axes.set_ylim(0, None)
        axes.margins(y=0.12)
        axes.set_xlim(-0.45, len(stages) - 0.55)
        _names(axes, [row.name for row in stages])
        axes.set_ylabel("bits per byte")
        axes.legend(loc="lower left", ncols=3, handlelength=1.4, columnspacing=1.2)
    return here.svg


def curve(
    points: Points, name: str, label: str, second: str = "", second_label: str = "", marks: Mapping[str, float] = {}
) -> Markup:
    """One measured value over a stage's steps, and another in a lower panel.

    Args:
        points: of the stage.
        name: of the value.
        label: what its axis says, with the unit.
        second: the name of the value in the lower panel, if there is one.
        second_label: what that axis says.
        marks: values to draw across, by what they are called.
    """
    steps, values = _series(points, name)
    if not len(steps):
        return Markup("")
    others = _series(points, second) if second else (np.empty(0), np.empty(0))
    ratios = (3.2, 1.0) if len(others[0]) else (1.0,)
    with drawing(f"{points[0]['stage']}-{name}", f"{label} by step", 236.0 if len(ratios) > 1 else 216.0) as here:
        panels = here.axes(ratios)
        _line(panels[0], steps, values, FIRST)
        panels[0].set_ylabel(label)
        for place, (title, value) in enumerate(marks.items()):
            panels[0].axhline(value, color=(SECOND, INK)[place % 2], linewidth=1.1, dashes=((5, 3), (1, 2))[place % 2])
            panels[0].annotate(
                f"{title} {value:.2f}",
                (1.0, value),
                (-2, 3 if place % 2 == 0 else -11),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
            )
        if len(ratios) > 1:
            _line(panels[1], *others, SECOND, is_noisy=second != "lr_multiplier")
            panels[1].set_ylabel(second_label)
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panels[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        here.figure.align_ylabels(panels)
    return here.svg


def candidates_figure(candidates: Sequence[Mapping[str, Any]], chosen: str) -> Markup:
    """The predicted loss of every candidate by its parameters."""
    if len(candidates) < 2 or not all(c.get("loss") for c in candidates):
        return Markup("")
    with drawing("candidates", "Predicted loss of the candidates by their number of parameters") as here:
        (axes,) = here.axes()
        ordered = sorted(candidates, key=lambda c: float(c["parameters"]))
        x, y = [c["parameters"] for c in ordered], [c["loss"] for c in ordered]
        axes.plot(x, y, color=RULE, zorder=1)
        axes.scatter(x, y, s=26, facecolor="none", edgecolor=FIRST, linewidth=1.4, zorder=2)
        best = next((c for c in ordered if c["name"] == chosen), None)
        if best is not None:
            axes.scatter([best["parameters"]], [best["loss"]], s=44, color=FIRST, zorder=3)
            axes.annotate("chosen", (best["parameters"], best["loss"]), (6, 8), textcoords="offset points", color=INK)
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = np.geomspace(min(x), max(x), 4)
        axes.set_xticks(ticks, [amount(float(tick)) for tick in ticks])
        axes.margins(x=0.1, y=0.15)
        axes.set_xlabel("parameters")
        axes.set_ylabel("predicted loss, nats a token")
    return here.svg


def lengths_figure(lengths: Mapping[str, NDArray[np.int64]]) -> Markup:
    """How long the training documents are, in tokens, on a logarithmic axis."""
    present = {kind: values[values > 0] for kind, values in lengths.items() if (values > 0).any()}
    if not present:
        return Markup("")
    with drawing("lengths", "Lengths of the training documents in tokens") as here:
        (axes,) = here.axes()
        longest = max(int(values.max()) for values in present.values())
        shortest = min(int(values.min()) for values in present.values())
        edges = np.geomspace(max(1, shortest // 2), longest + 1, 28).tolist()
        for (kind, values), color in zip(present.items(), SERIES, strict=False):
            axes.hist(values, edges, histtype="stepfilled", color=color, alpha=0.25)
            axes.hist(values, edges, histtype="step", color=color, linewidth=1.4, label=shortened(kind))
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("tokens a document")
        axes.set_ylabel("documents")
        axes.legend(loc="upper left", handlelength=1.2)
    return here.svg


def training_figures(record: RunRecord) -> dict[str, Markup]:
    """The curves of each training stage that has measured something."""
    predicted, reached = record.summary("plan").get("predicted_loss"), record.summary("pretrain").get("held_out_loss")
    marks = {"predicted": predicted, "held out": reached} if predicted and reached else {}
    drawn = {
        "pretrain": curve(record.points["pretrain"], "loss", "loss, nats a token", "lr_multiplier", "rate", marks),
        "sft": curve(record.points["sft"], "loss", "loss, nats a token", "lr_multiplier", "rate"),
        "dpo": curve(record.points["dpo"], "accuracy", "pairs in order", "margin", "margin"),
        "grpo": curve(record.points["grpo"], "reward", "reward", "length", "tokens"),
    }
    return {LABELS[name]: drawn[name] for name in TRAINED if drawn[name]}


def _series(points: Points, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and values of those points that have the value, at most MAX_POINTS means of neighbours."""
    pairs = np.array([(p["step"], p[name]) for p in points if p.get(name) is not None], dtype=float).reshape(-1, 2)
    if len(pairs) > MAX_POINTS:
        pairs = np.array([part.mean(0) for part in np.array_split(pairs, MAX_POINTS)])
    return pairs[:, 0], pairs[:, 1]


def _line(axes: Axes, steps: ArrayLike, values: NDArray[np.float64], color: str, is_noisy: bool = True) -> None:
    """The values faintly, and their moving average over a fifteenth of them, fewer where a curve begins steeply."""
    width = len(values) // 30
    if width < 2 or not is_noisy:
        axes.plot(steps, values, color=color)
        return
    axes.plot(steps, values, color=color, alpha=0.35, linewidth=0.8)
    places = np.arange(len(values))
    reach = np.minimum(width, places)
    first, last = places - reach, np.minimum(places + reach + 1, len(values))
    sums = np.concatenate(([0.0], np.cumsum(values)))
    axes.plot(steps, (sums[last] - sums[first]) / (last - first), color=color)


def _names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), list(names))
    axes.tick_params(axis="x", length=0, labelcolor=INK)
