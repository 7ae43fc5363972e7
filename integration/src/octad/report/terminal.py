"""The table that ends a run in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from octad.errors import printable
from octad.report.formats import bits, joined, percent, points, shortened
from octad.report.record import RunRecord
from octad.report.rows import rows
from octad.run_folder import RunFolder

MAX_WIDTH = 100
MAX_KINDS = 3  # more would not fit; the page has them all


def print_results(console: Console, folder: RunFolder) -> None:
    """Baselines and stages with standard errors, at most 100 columns wide; plain text where there is no terminal.

    Raises:
        OctadError: the run cannot be read.
    """
    record = RunRecord.read(folder)
    kinds = record.kinds[:MAX_KINDS]
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in (*(f"bits/byte\n{shortened(printable(kind))}" for kind in kinds), "exact match\n%", "change\npoints"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for row in rows(record):
        scores = [joined(bits(row.bits_per_byte.get(kind))) for kind in kinds]
        style = "dim" if row.is_baseline else ""
        table.add_row(
            Text(printable(row.name)),
            *scores,
            joined(percent(row.exact_match)),
            joined(points(row.change)),
            style=style,
        )
    width = min(MAX_WIDTH, console.width if console.is_terminal else MAX_WIDTH)
    console.print(table, width=width, markup=False, highlight=False, soft_wrap=False)
    for line in record.missing:
        console.print(f"missing: {line}", markup=False, highlight=False)
