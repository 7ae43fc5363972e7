"""Pages a CPU-second and 4-gram F1 of PDF text against what the files were made of, beside pypdfium2 and pypdf.

uv run --with reportlab --with pypdf --with pyphen python benchmarks/pdf.py
Files of one, two and three columns with running heads, page numbers and divided words, set here from known prose.
"""

import io
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pypdf
import pypdfium2
from octad_data import standard_library_documents
from octad_data.pdf import extract_pdf
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph

FILES = 24


def main() -> None:
    prose = (d.text for d in standard_library_documents() if d.kind == "prose" and len(d.text) > 9000)
    made = [(made_pdf(text[:30_000], number), text[:30_000]) for number, text in enumerate(islice(prose, FILES))]
    ways: dict[str, Callable[[bytes], str]] = {"octad-data": extract_pdf, "pypdfium2": pdfium, "pypdf": by_pypdf}
    pages = sum(len(pypdfium2.PdfDocument(data)) for data, _ in made)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    scores = {}
    for _ in range(9):
        for name, way in ways.items():
            start = time.process_time()
            found = [way(data) for data, _ in made]
            rates[name].append(pages / (time.process_time() - start))
            scores[name] = statistics.mean(f1(text, truth) for text, (_, truth) in zip(found, made, strict=True))
    result = {
        "what": "pdf",
        "files": len(made),
        "pages": pages,
        "f1_of_4grams": {name: round(score, 4) for name, score in scores.items()},
        "pages_per_cpu_s": {name: round(statistics.median(values)) for name, values in rates.items()},
        "machine": platform.machine(),
    }
    print(json.dumps(result))
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")


def made_pdf(text: str, number: int) -> bytes:
    columns = 1 + number % 3
    width, height = A4
    gap, margin = 18, 54
    each = (width - 2 * margin - gap * (columns - 1)) / columns
    frames = [Frame(margin + i * (each + gap), 60, each, height - 130, 0, 0, 0, 0) for i in range(columns)]

    def decorate(canvas: object, document: object) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(margin, height - 40, f"Journal of Known Prose, volume {number}")
        canvas.drawCentredString(width / 2, 30, str(document.page))

    buffer = io.BytesIO()
    document = BaseDocTemplate(buffer, pagesize=A4)
    document.addPageTemplates([PageTemplate(frames=frames, onPage=decorate)])
    style = ParagraphStyle("body", fontName="Times-Roman", fontSize=10, leading=12, alignment=4)
    style.hyphenationLang, style.hyphenationMinWordLength, style.embeddedHyphenation = "en_US", 6, 1
    escaped = (line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in text.split("\n"))
    document.build([Paragraph(line, style) for line in escaped if line.strip()])
    return buffer.getvalue()


def pdfium(data: bytes) -> str:
    document = pypdfium2.PdfDocument(data)
    return "\n".join(document[page].get_textpage().get_text_range() for page in range(len(document)))


def by_pypdf(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


def f1(text: str, truth: str) -> float:
    found, wanted = grams(text), grams(truth)
    shared = (found & wanted).total()
    return 2 * shared / max(found.total() + wanted.total(), 1)


def grams(text: str) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(zip(words, words[1:], words[2:], words[3:], strict=False))


if __name__ == "__main__":
    main()
