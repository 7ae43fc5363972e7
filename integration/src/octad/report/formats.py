"""How the report spells numbers and texts; a dash stands for what was not measured."""

from __future__ import annotations

import re

from octad.evaluation import Estimate

DASH = "–"
MINUS = "−"
VISIBLE = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def percent(value: Estimate | None) -> tuple[str, str]:
    """A share and its error in percent: ("71.3", "2.3")."""
    return (DASH, "") if value is None else (f"{100 * value.value:.1f}", f"{100 * value.error:.1f}")


def points(value: Estimate | None) -> tuple[str, str]:
    """A difference of shares and its error in percentage points, with its sign: ("+41.2", "1.6")."""
    if value is None:
        return DASH, ""
    shown = f"{100 * value.value:+.1f}".replace("-", MINUS)
    return "0.0" if shown.strip(f"+{MINUS}0.") == "" else shown, f"{100 * value.error:.1f}"


def bits(value: Estimate | None) -> tuple[str, str]:
    """Bits per byte and their error: ("1.432", "0.012")."""
    return (DASH, "") if value is None else (f"{value.value:.3f}", f"{value.error:.3f}")


def joined(pair: tuple[str, str]) -> str:
    """`71.3 ± 2.3`, or what stands alone."""
    return " ± ".join(part for part in pair if part)


def amount(value: float | None) -> str:
    """A count to three digits: `950`, `12.3 k`, `5.42 M`, `1.20 G`."""
    if value is None:
        return DASH
    for power, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power * 0.9995:  # what rounds up to the unit belongs to it
            scaled = value / power
            return f"{scaled:.{max(0, 2 - len(str(int(scaled))) + 1)}f} {unit}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes: `11.8 MB`."""
    return DASH if value is None else f"{amount(value)}B" if abs(value) >= 1000 else f"{value:,.0f} B"


def visible(text: str) -> str:
    """White space made visible and long runs counted: `·×34`, `⏎`."""
    shown = "".join(VISIBLE.get(character, character) for character in text)
    return re.sub(r"(.)\1{7,}", lambda run: f"{run[1]}×{len(run[0])}", shown)


def shortened(text: str, characters: int = 14) -> str:
    """The text, or its beginning with an ellipsis where it is longer: a label has little room."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
