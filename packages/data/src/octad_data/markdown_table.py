"""Rows of cells as a table in Markdown."""

from collections.abc import Iterator, Sequence


def table_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table whose first row is its head; short rows are filled up, white space in a cell is single.

    Args:
        rows: at least one, not all empty.
    """
    width = max(map(len, rows))
    for number, row in enumerate(rows):
        cells = [" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells + [''] * (width - len(row)))} |"
        if number == 0:
            yield f"|{' --- |' * width}"
