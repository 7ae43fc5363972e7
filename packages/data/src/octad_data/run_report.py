"""One page that shows a run: what came in, what every rule cost, and documents that it cost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappush, heappushpop
from html import escape
from pathlib import Path

from octad_data.engine import Run, part_files
from octad_data.parts import Counts, read_dropped, read_kept
from octad_data.units import write_text

SAMPLES = 4  # documents shown for each rule
EXCERPT = 420  # characters of each
COLUMNS = ["id", "text", "source", "metadata", "dropped_by", "dropped_value"]
STYLE = """
:root { color-scheme: light dark; --ink: #1b1d21; --soft: #646b76; --line: #d9dde3; --page: #fff; --bar: #3b6fb6;
  --kept: #3f8f5b; --card: #f6f7f9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa2ad; --line: #343a43; --page: #15181c;
  --bar: #6d9fe0; --kept: #6cbf87; --card: #1d2126 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem }
p, .soft { color: var(--soft) } .num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
table { width: 100%; border-collapse: collapse } td, th { padding: .3rem .5rem; text-align: left; font-weight: 400 }
th { color: var(--soft); font-size: .85rem; border-bottom: 1px solid var(--line) }
td { border-bottom: 1px solid var(--line) } td.bar { width: 38% } svg { display: block; width: 100%; height: .8rem }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; background: var(--card) }
summary { cursor: pointer; padding: .5rem .8rem } summary b { font-weight: 600 }
.sample { padding: .2rem .8rem .7rem; border-top: 1px solid var(--line); overflow-wrap: anywhere }
.sample code { font-size: .85rem } .sample blockquote { margin: .3rem 0 0; white-space: pre-wrap; font-size: .92rem }
.big { display: flex; gap: 2.5rem; flex-wrap: wrap; margin-top: 1.2rem } .big div { color: var(--soft) }
.big strong { display: block; font-size: 1.7rem; font-weight: 600; color: var(--ink) }
@media (max-width: 40rem) { td.bar, th.bar { display: none } }
"""


@dataclass
class Samples:
    """Some documents of each rule: those whose ids have the smallest hashes, so that every run shows the same.

    Attributes:
        limit: of each rule.
    """

    limit: int = SAMPLES
    _found: dict[str, list[tuple[int, str, str, str]]] = field(default_factory=dict)

    def add(self, rule: str, name: str, value: str, text: str) -> None:
        """Consider a document."""
        rank = -int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        heap = self._found.setdefault(rule, [])
        entry = (rank, name, value, text)
        if len(heap) < self.limit:
            heappush(heap, entry)
        elif rank > heap[0][0]:
            heappushpop(heap, entry)

    def of(self, rule: str) -> list[tuple[str, str, str]]:
        """Id, number and excerpt of each."""
        return [entry[1:] for entry in sorted(self._found.get(rule, ()), reverse=True)]


def write_report(run: Run, path: Path) -> None:
    """Write the page; everything is inside it.

    Args:
        run: finished.
        path: of the HTML file.

    Raises:
        DataError: a part is damaged, or the disk refused.
    """
    write_text(path, "\n".join(_page(run, _samples(run))))


def _samples(run: Run) -> Samples:
    found = Samples()
    for segment in run.segments:
        for part in part_files(segment):
            for row in read_dropped(part, COLUMNS).to_pylist():
                value = "" if row["dropped_value"] is None else f"{row['dropped_value']:.4g}"
                text = row["text"] or dict(row["metadata"] or ()).get("reason", "")
                found.add(row["dropped_by"], row["id"], value, text[:EXCERPT])
    for part in run.parts:
        for row in read_kept(part, ["id", "text"]).to_pylist():
            found.add("", row["id"], "", row["text"][:EXCERPT])
    return found


def _page(run: Run, samples: Samples) -> Iterator[str]:
    first, last = run.counts[0], run.counts[-1]
    total = first.documents + sum(documents for documents, _ in first.dropped.values())
    total_bytes = first.bytes + sum(size for _, size in first.dropped.values())
    name = escape(run.folder.resolve().name)
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}: what was kept and why</title>"
    yield f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
    yield f"<h1>{name}</h1><p>Documents in, documents out, and the first rule that each of the others broke.</p>"
    yield "<div class=big>"
    for number, what in (
        (f"{total:,}", "documents read"),
        (f"{last.documents:,}", f"kept, {last.documents / max(total, 1):.1%}"),
        (_megabytes(last.bytes), f"of text kept, of {_megabytes(total_bytes)}"),
    ):
        yield f"<div><strong>{number}</strong>{what}</div>"
    yield "</div><h2>What every rule cost</h2>"
    yield "<table><tr><th>rule<th class=bar><th class=num>documents<th class=num>share<th class=num>text</tr>"
    rows = [row for counts in run.counts for row in _rules(counts)]
    most = max([last.documents, *(documents for _, documents, _ in rows)], default=1) or 1
    for rule, documents, size in rows:
        yield _row(escape(rule), documents, size, total, most, "--bar")
    yield _row("<b>kept</b>", last.documents, last.bytes, total, most, "--kept")
    yield "</table><h2>Documents that the rules cost</h2>"
    for rule, documents, _ in rows:
        yield from _shown(f"<b>{escape(rule)}</b> <span class=soft>{documents:,}</span>", samples.of(rule), rule)
    yield from _shown(f"<b>kept</b> <span class=soft>{last.documents:,}</span>", samples.of(""), "")


def _rules(counts: Counts) -> list[tuple[str, int, int]]:
    found = [(rule, documents, size) for rule, (documents, size) in counts.dropped.items()]
    return sorted(found, key=lambda row: -row[1])


def _row(label: str, documents: int, size: int, total: int, most: int, colour: str) -> str:
    width = 100 * documents / most
    rect = f"<rect width={width:.2f} height=8 fill='var({colour})'/>"
    bar = f"<svg viewBox='0 0 100 8' preserveAspectRatio=none>{rect}</svg>"
    return (
        f"<tr><td>{label}<td class=bar>{bar}<td class=num>{documents:,}<td class=num>{documents / max(total, 1):.1%}"
        f"<td class=num>{_megabytes(size)}</tr>"
    )


def _shown(label: str, samples: list[tuple[str, str, str]], rule: str) -> Iterator[str]:
    yield f"<details><summary>{label}</summary>"
    for name, value, text in samples:
        number = f" <span class=soft>{escape(rule)} = {value}</span>" if value else ""
        yield f"<div class=sample><code>{escape(name)}</code>{number}<blockquote>{escape(text)}</blockquote></div>"
    yield "</details>"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
