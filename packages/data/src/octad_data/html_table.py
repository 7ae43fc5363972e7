"""Data tables of a page as Markdown: which they are, and their cells in a grid."""

from collections.abc import Sequence

from octad_data.html_places import CELLS, ROW, TABLE, Elements, Place
from octad_data.markdown_table import table_lines

MAX_CELL = 300  # weight of a cell; tables with larger ones, or with headings, lay out the page
MIN_COLUMNS, MIN_ROWS = 2, 2
MAX_COLUMNS = 200


def data_tables(weights: Sequence[float], places: dict[int, Place]) -> set[int]:
    """Tables of several rows and columns of short cells: those that do not lay out the page."""
    cells: dict[int, dict[int, float]] = {}
    rows: dict[int, dict[int, set[int]]] = {}
    layout: set[int] = set()
    for line, place in places.items():
        if place.table < 0 or place.cell < 0:
            continue
        sizes = cells.setdefault(place.table, {})
        sizes[place.cell] = sizes.get(place.cell, 0.0) + weights[line]
        rows.setdefault(place.table, {}).setdefault(place.row, set()).add(place.cell)
        if place.heading >= 0 or place.code >= 0 or sizes[place.cell] > MAX_CELL:
            layout.add(place.table)
    return {
        table
        for table, found in rows.items()
        if table not in layout and sum(len(row) >= MIN_COLUMNS for row in found.values()) >= MIN_ROWS
    }


def write_table(elements: Elements, table: int, cells: dict[int, str]) -> list[str]:
    """The rows of a table in Markdown, the first as its head: a cell over several columns or rows stands in its first.

    Args:
        elements: of the page.
        table: the element.
        cells: the text of those cells that have one; rows without any are left out.
    """
    grid = _grid(elements, table, cells)
    width = max(map(len, grid))
    while width > 1 and not any(row[width - 1] for row in grid if len(row) >= width):
        width -= 1
    return list(table_lines([row[:width] for row in grid]))


def _grid(elements: Elements, table: int, cells: dict[int, str]) -> list[list[str]]:
    rows: dict[int, list[int]] = {}
    node, end = table + 1, int(elements.page.last[table])
    while node < end:
        tag = elements.tags[node]
        if tag == ROW:
            rows[node] = []
        elif tag in CELLS:
            rows.setdefault(_row_of(elements, node, table), []).append(node)
        node = int(elements.page.last[node]) if tag == TABLE else node + 1  # tables inside are their own
    grid: list[list[str]] = []
    taken: dict[int, int] = {}  # columns that a cell of a row before still covers, and for how many rows
    for row in (row for row in rows.values() if any(cell in cells for cell in row)):
        texts: list[str] = []
        for cell in row:
            while taken.get(len(texts), 0) and len(texts) < MAX_COLUMNS:
                texts.append("")
            first = len(texts)
            span = max(elements.number(cell, "colspan", MAX_COLUMNS) or 1, 1)
            texts += [cells.get(cell, ""), *[""] * (span - 1)]
            below = max(elements.number(cell, "rowspan", len(rows)) or 1, 1)
            taken |= {column: below for column in range(first, len(texts)) if below > 1}
        taken = {column: count - 1 for column, count in taken.items() if count > 1}
        grid.append(texts[:MAX_COLUMNS])
    return grid


def _row_of(elements: Elements, cell: int, table: int) -> int:
    node = elements.parents[cell]
    while node > table and elements.tags[node] != ROW:
        node = elements.parents[node]
    return node
