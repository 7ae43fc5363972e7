"""A run in a table: what came in, what every rule cost, what stayed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from octad_data.engine import Run, part_files
from octad_data.parts import Counts, read_dropped

if TYPE_CHECKING:
    from rich.table import Table


def summary(run: Run) -> "Table":
    """Rows: each rule in the order of the steps with documents and megabytes that it dropped, and what was kept."""
    from rich.table import Table

    table = Table("rule", title=str(run.folder), title_justify="left")
    for heading in ("documents", "share", "MB"):
        table.add_column(heading, justify="right")
    total = run.counts[0].documents + sum(documents for documents, _ in run.counts[0].dropped.values())
    for counts in run.counts:
        for rule, (documents, size) in sorted(counts.dropped.items(), key=lambda item: -item[1][0]):
            table.add_row(rule, *_numbers(documents, total, size), style="dim")
    last: Counts = run.counts[-1]
    table.add_section()
    table.add_row("kept", *_numbers(last.documents, total, last.bytes), style="bold")
    return table


def samples(run: Run, rule: str, limit: int, width: int) -> Iterator[str]:
    """For each rule that begins so: its dropped documents' ids, the number, and the beginning of the text."""
    found: dict[str, int] = {}
    for segment in run.segments:
        for part in part_files(segment):
            rows = read_dropped(part, ["id", "text", "metadata", "dropped_by", "dropped_value"]).to_pylist()
            for row in rows:
                name = row["dropped_by"]
                if not name.startswith(rule) or found.get(name, 0) >= limit:
                    continue
                found[name] = found.get(name, 0) + 1
                value = "" if row["dropped_value"] is None else f" = {row['dropped_value']:.4g}"
                reason = dict(row["metadata"] or ()).get("reason", "")
                text = " ".join(row["text"][: 2 * width].split())[:width] or reason
                yield f"{name}{value}  {row['id']}\n    {text}"


def _numbers(documents: int, total: int, size: int) -> tuple[str, str, str]:
    return f"{documents:,}", f"{documents / max(total, 1):.1%}", f"{size / 1e6:,.1f}"
