"""PDF to text against pypdfium2 and pypdf on varied pages: pages a CPU-second, and F1 of 4-grams of words.

The pages are set here, from texts of the shared data in fourteen languages: one to three columns, justified or ragged,
with running heads, page numbers, footnotes, headings, tables, divided words and ligatures. With --interleaved every
page has two or three columns, written line by line from one side of the page to the other, as some producers do.

Usage: uv run --with reportlab --with pypdf python benchmarks/pdf_layouts.py ../../../shared/data [--interleaved]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import platform
import random
import re
import statistics
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

A4 = (595.0, 842.0)
LIGATURES = (("ffi", "ﬃ"), ("ffl", "ﬄ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ"))
LANGUAGES = (
    "eng",
    "fra",
    "spa",
    "por_PT",
    "ita",
    "nld",
    "fin",
    "hun",
    "pol",
    "ces",
    "tur",
    "rus",
    "ell_monotonic",
    "ukr",
)


def paragraphs_of(data: Path) -> dict[str, list[str]]:
    """Paragraphs to typeset, by source."""
    wiki = [line.strip() for line in (data / "text/wikitext2_valid.txt").read_text(encoding="utf-8").split("\n")]
    wiki = [re.sub(r"\s+([,.;:!?)])", r"\1", re.sub(r" @(.)@ ", r"\1", line)) for line in wiki]
    sources = {"wiki": [line for line in wiki if 200 < len(line) < 1500 and "=" not in line and "<" not in line]}
    with zipfile.ZipFile(data / "text/state_union.zip") as archive:
        speeches = [
            archive.read(name).decode("latin-1") for name in sorted(archive.namelist()) if name.endswith(".txt")
        ]
    found = [" ".join(part.split()) for text in speeches for part in re.split(r"\n\s*\n", text)]
    sources["speech"] = [part for part in found if 200 < len(part) < 1500]
    with zipfile.ZipFile(data / "text/udhr2.zip") as archive:
        for name in LANGUAGES:
            lines = archive.read(f"udhr2/{name}.txt").decode().split("\n")
            sources[name] = [line.strip() for line in lines if len(line) > 120]
    return sources


class Typesetter:
    """Pages of known text."""

    def __init__(self, rng: random.Random, paragraphs: list[str], fonts: dict[str, str], interleaved: bool) -> None:
        from reportlab.pdfgen.canvas import Canvas

        self.rng, self.paragraphs = rng, paragraphs
        self.buffer = io.BytesIO()
        self.canvas: Any = Canvas(self.buffer, pagesize=A4)
        self.font = fonts[rng.choice(sorted(fonts))]
        self.size = rng.choice([8.5, 9, 10, 11, 12])
        self.columns = rng.choice([2, 3] if interleaved else [1, 2, 2, 3])
        if self.columns == 3:
            self.size = min(self.size, 9)
        self.margin, self.gutter = rng.choice([50, 60, 72]), rng.choice([11, 14, 18, 24])
        self.width = (A4[0] - 2 * self.margin - (self.columns - 1) * self.gutter) / self.columns
        self.leading = self.size * rng.choice([1.15, 1.2, 1.3])
        self.justified, self.indents = rng.random() < 0.7, rng.random() < 0.6
        self.hyphenates, self.ligatures = rng.random() < 0.7, "DejaVu" in self.font and rng.random() < 0.6
        self.head = rng.choice(["none", "title", "alternating", "numbered"])
        self.foot = rng.choice(["none", "number", "page of", "number"])
        self.truth: list[str] = []
        self.notes: list[list[str]] = []
        self.page, self.column, self.y = 0, 0, 0.0
        self.titles = [" ".join(rng.choice(paragraphs).split()[:5]).strip(".,;") for _ in range(2)]
        self.row_order = rng.random() < 0.1 or interleaved

    def set(self, pages: int) -> tuple[bytes, str]:
        """A file and its text."""
        self._new_page()
        if self.rng.random() < 0.5:
            self._across(self.titles[0], self.size * 1.8)
            if self.columns > 1 and self.rng.random() < 0.6:
                self._across(self.rng.choice(self.paragraphs)[:700], self.size)
        number = 0
        while self.page <= pages:
            number += 1
            if self.rng.random() < 0.2:
                self._heading(f"{number} " + " ".join(self.rng.choice(self.paragraphs).split()[:4]).strip(".,;"))
            if self.rng.random() < 0.1:
                self._table()
            self._paragraph(self.rng.choice(self.paragraphs))
        self._end_page()
        self.canvas.save()
        return self.buffer.getvalue(), "\n".join(self.truth)

    def _measure(self, text: str, size: float) -> float:
        from reportlab.pdfbase.pdfmetrics import stringWidth

        return float(stringWidth(text, self.font, size))

    def _new_page(self) -> None:
        self.page, self.column = self.page + 1, 0
        self.drawn: list[tuple[float, float, float, float, str]] = []
        self.y = self.top = A4[1] - self.margin - 20
        self.floors = [self.margin + 20.0] * self.columns
        self.tops = [self.top] * self.columns

    def _end_page(self) -> None:
        if self.row_order:
            self.drawn.sort(key=lambda item: (-item[1], item[0]))
        for x, y, size, spacing, text in self.drawn:
            self._draw(x, y, size, spacing, text)
        self.drawn = []
        place = A4[1] - self.margin + 8
        if self.head == "title" and self.page > 1:
            self._draw(self.margin, place, 8, 0, self.titles[0])
        elif self.head == "alternating":
            self._draw(self.margin, place, 8, 0, self.titles[self.page % 2])
        elif self.head == "numbered":
            self._draw(self.margin, place, 8, 0, f"{self.page + 16}    {self.titles[self.page % 2]}")
        if self.foot != "none":
            text = str(self.page + 3) if self.foot == "number" else f"Page {self.page} of 9"
            self._draw(A4[0] / 2 - 10, self.margin - 18, 9, 0, text)
        self.canvas.showPage()

    def _draw(self, x: float, y: float, size: float, spacing: float, text: str) -> None:
        line = self.canvas.beginText(x, y)
        line.setFont(self.font, size)
        line.setWordSpace(0)
        if spacing and "DejaVu" in self.font:  # word spacing does nothing in fonts of two bytes: place the words
            for word in text.split(" "):
                self.canvas.setFont(self.font, size)
                self.canvas.drawString(x, y, word)
                x += self._measure(word + " ", size) + spacing
            return
        line.setWordSpace(spacing)
        line.textOut(text)
        self.canvas.drawText(line)

    def _next_column(self) -> None:
        self.column += 1
        if self.column == self.columns:
            self._end_page()
            self._new_page()
        self.y = self.tops[self.column]

    @property
    def _x(self) -> float:
        return self.margin + self.column * (self.width + self.gutter)

    def _lines(self, text: str, size: float, width: float, indent: float = 0) -> list[tuple[str, bool]]:
        if self.ligatures:
            for plain, ligature in LIGATURES:
                text = text.replace(plain, ligature)
        words, lines, line = text.split(), [], ""
        index = 0
        while index < len(words):
            room = width - (0 if lines else indent)
            longer = f"{line} {words[index]}" if line else words[index]
            if self._measure(longer, size) <= room or not line:
                line, index = longer, index + 1
                continue
            head = self._divided(line, words[index], size, room) if self.hyphenates else ""
            if head:
                line, words[index] = f"{line} {head}-", words[index][len(head) :]
            lines.append((line, True))
            line = ""
        return [*lines, (line, False)]

    def _divided(self, line: str, word: str, size: float, room: float) -> str:
        if not word.isalpha() or not word.islower() or len(word) < 6:
            return ""
        for cut in range(len(word) - 2, 2, -1):
            if self._measure(f"{line} {word[:cut]}-", size) <= room and word[cut] not in "aeiou":
                return word[:cut]
        return ""

    def _paragraph(self, text: str) -> None:
        indent = 1.5 * self.size if self.indents else 0
        lines = self._lines(text, self.size, self.width, indent)
        note = self.rng.random() < 0.12
        self.truth.append(text)
        for number, (line, full) in enumerate(lines):
            if self.y - self.leading < self.floors[self.column]:
                self._next_column()
            if note and number == 0:
                self._note(self.rng.choice(self.paragraphs)[:160].rsplit(" ", 1)[0])
            x = self._x + (indent if number == 0 else 0)
            spaces = line.count(" ")
            spare = self.width - (indent if number == 0 else 0) - self._measure(line, self.size)
            spacing = spare / spaces if self.justified and full and spaces and spare < 0.3 * self.width else 0
            self.y -= self.leading
            self.drawn.append((x, self.y, self.size, spacing, line))
        if not self.indents:
            self.y -= 0.7 * self.leading

    def _note(self, text: str) -> None:
        size = self.size * 0.8
        lines = self._lines("1 " + text, size, self.width)
        height = len(lines) * size * 1.2 + 6
        if self.y - self.floors[self.column] < height + 3 * self.leading:
            return
        self.floors[self.column] += height
        y = self.floors[self.column] - 6
        for line, _ in lines:
            y -= size * 1.2
            self.drawn.append((self._x, y, size, 0, line))
        self.truth.append("1 " + text)

    def _heading(self, text: str) -> None:
        if self.y - 4 * self.leading < self.floors[self.column]:
            self._next_column()
        self.truth.append(text)
        self.y -= 0.8 * self.leading
        for line, _ in self._lines(text, self.size * 1.2, self.width):
            self.y -= self.leading * 1.2
            self.drawn.append((self._x, self.y, self.size * 1.2, 0, line))
        self.y -= 0.4 * self.leading

    def _table(self) -> None:
        rows = self.rng.randint(3, 8)
        if self.y - (rows + 2) * self.leading < self.floors[self.column]:
            self._next_column()
        self.y -= self.leading
        words = [word for word in " ".join(self.rng.sample(self.paragraphs, 2)).split() if word.isalpha()]
        for _ in range(rows):
            cells = [self.rng.choice(words)[:9], str(self.rng.randint(1, 999)), str(self.rng.randint(1, 999))]
            self.y -= self.leading
            for index, cell in enumerate(cells):
                self.drawn.append((self._x + index * self.width / 3, self.y, self.size, 0, cell))
            self.truth.append("\t".join(cells))
        self.y -= self.leading

    def _across(self, text: str, size: float) -> None:
        self.truth.append(text)
        width = A4[0] - 2 * self.margin
        for line, _ in self._lines(text, size, width):
            self.y -= size * 1.2
            self.drawn.append((self.margin, self.y, size, 0, line))
        self.y -= self.leading
        self.tops = [self.y] * self.columns


def f1(found: str, truth: str) -> float:
    """Of 4-grams of words, as multisets."""

    def grams(text: str) -> Counter[tuple[str, ...]]:
        words = text.split()
        return Counter(zip(*(words[start:] for start in range(4)), strict=False))

    ours, theirs = grams(found), grams(truth)
    both = sum((ours & theirs).values())
    return 2 * both / max(ours.total() + theirs.total(), 1)


def readers() -> dict[str, Callable[[bytes], str]]:
    import pypdf
    import pypdfium2
    from octad_data import extract_pdf

    def plain(data: bytes) -> str:
        with pypdfium2.PdfDocument(data) as document:
            return "\n".join(page.get_textpage().get_text_range() for page in document)

    def pure(data: bytes) -> str:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)

    return {"octad": extract_pdf, "pypdfium2": plain, "pypdf": pure}


def files(data: Path, count: int, seed: int, interleaved: bool) -> list[tuple[bytes, str, str]]:
    """(file, text, what it is)."""
    from matplotlib.font_manager import findfont
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    named = {"DejaVuSerif": "DejaVu Serif", "DejaVuSans": "DejaVu Sans"}  # matplotlib brings both along
    for name, family in named.items():
        pdfmetrics.registerFont(TTFont(name, findfont(family)))
    sources = paragraphs_of(data)
    made = []
    for number in range(count):
        rng = random.Random(1000 * seed + number)
        source = rng.choice(["wiki", "wiki", "speech", "speech", *LANGUAGES])
        latin = all(ord(letter) < 256 for text in sources[source] for letter in text)
        fonts = {name: name for name in named} | (
            {name: name for name in ("Times-Roman", "Helvetica")} if latin else {}
        )
        setter = Typesetter(rng, sources[source], fonts, interleaved)
        file, text = setter.set(rng.randint(2, 5))
        made.append(
            (
                file,
                text,
                f"{number} {source} {setter.columns} columns {setter.font} {setter.head}/{setter.foot}"
                f"{' row order' if setter.row_order else ''}",
            )
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the shared data")
    parser.add_argument("--interleaved", action="store_true", help="columns written line by line")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="a line for each file")
    options = parser.parse_args()
    import pypdfium2

    made = files(options.data, options.files, options.seed, options.interleaved)
    read = readers()
    pages = 0
    for file, _, _ in made:
        with pypdfium2.PdfDocument(file) as document:
            pages += len(document)
    scores: dict[str, list[float]] = {name: [] for name in read}
    for file, text, what in made:
        for name, reader in read.items():
            scores[name].append(f1(reader(file), text))
        if options.show:
            print(what, {name: round(found[-1], 3) for name, found in scores.items()})
    times: dict[str, list[float]] = {name: [] for name in read}
    for _ in range(5):
        for name, reader in read.items():
            if name == "pypdf" and len(times[name]) == 2:
                continue
            start = time.process_time()
            for file, _, _ in made:
                reader(file)
            times[name].append(time.process_time() - start)
    rates = {name: pages / statistics.median(found) for name, found in times.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    result = {
        "what": "pdf_layouts, interleaved" if options.interleaved else "pdf_layouts",
        "n": len(made),
        "pages": pages,
        "median": round(rates["octad"]),
        "spread": [round(pages / time) for time in sorted(times["octad"])[:: max(1, len(times["octad"]) - 1)]],
        "unit": "pages per CPU-second",
        "ratio": {name: round(rates["octad"] / rates[name], 2) for name in ("pypdfium2", "pypdf")},
        "f1": {name: round(statistics.mean(found), 4) for name, found in scores.items()},
        "worst_f1": {name: round(min(found), 4) for name, found in scores.items()},
        "rivals": {name: importlib.metadata.version(name) for name in ("pypdfium2", "pypdf")},
        "machine": platform.machine(),
        "python": platform.python_version(),
        "commit": commit,
    }
    line = json.dumps(result)
    print(line)
    with (Path(__file__).parent / "results.jsonl").open("a") as file_of_results:
        file_of_results.write(line + "\n")


if __name__ == "__main__":
    main()
