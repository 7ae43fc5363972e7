"""The text layer of a PDF, its lines joined into paragraphs."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from octad_data.errors import DataError

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
HYPHEN_MARK = re.compile(r"[\x02\ufffe]\s*")  # how pdfium marks the hyphen of a divided word
SOFT_HYPHEN = "\u00ad"
WORD = re.compile(r"[^\W\d_]+")
HYPHENATED = re.compile(r"[^\W\d_]+-[^\W\d_]+")
DIVIDED = re.compile(r"([^\W\d_]+)([-\u2010\u00ad])$")
ITEM = re.compile(r"(?:[-*•–·▪]|\(?\d{1,3}[.)]|\d+(?:\.\d+)+)\s")
FULL_LINE = 0.75  # of the usual width; a shorter line ends its paragraph
MIN_WIDTH = 36.0  # characters; a column of text is seldom narrower, a form or a table of contents often
EDGE = 3  # lines at the top and bottom of a page among which running heads are looked for
LONGEST_HEAD = 100  # characters
NUMBER = re.compile(r"\d+|\b[ivxl]+\b")
DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?")
PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD


@dataclass(frozen=True)
class PdfText:
    """What was found in a PDF.

    Attributes:
        text: paragraphs a line each, pages parted by an empty line unless a paragraph runs on.
        pages: how many there are.
        scanned: numbers, from 1, of pages that show something but have no text layer.
        metadata: title, author and date, where the file has them.
    """

    text: str
    pages: int
    scanned: tuple[int, ...]
    metadata: dict[str, str]


def extract_pdf(data: bytes, password: str | None = None) -> str:
    """All pages' text in reading order as the file gives it; see `read_pdf`.

    Args:
        data: a whole file.
        password: of an encrypted one.

    Raises:
        DataError: see `read_pdf`.
    """
    return read_pdf(data, password).text


def read_pdf(data: bytes, password: str | None = None, ocr: Callable[[Any], str] | None = None) -> PdfText:
    """The text layer: words divided at line ends joined, ligatures undone, running heads and page numbers left out.

    Args:
        data: a whole file.
        password: of an encrypted one.
        ocr: gives the text of a page without a text layer from its picture (a Pillow image, 200 dots an inch), as
            `pytesseract.image_to_string` does.

    Raises:
        DataError: `missing extra`, `encrypted PDF`, `broken PDF` or `scanned PDF` (no page has a text layer).
    Cost: about 3 ms a page.
    """
    try:
        import pypdfium2
    except ModuleNotFoundError:
        raise DataError("missing extra: reading PDF needs pypdfium2; pip install 'octad-data[pdf]'") from None
    try:
        document = pypdfium2.PdfDocument(data, password=password)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == PASSWORD_ERROR:
            raise DataError("encrypted PDF: it opens only with its password; save it without one") from None
        raise DataError(f"broken PDF: {error}") from None
    try:
        pages, scanned = list[str](), list[int]()
        for number in range(len(document)):
            text, is_scanned = _page(document, number, ocr)
            pages.append(text)
            if is_scanned:
                scanned.append(number + 1)
        metadata = _metadata(document)
    except pypdfium2.PdfiumError as error:
        raise DataError(f"broken PDF: {error}") from None
    finally:
        document.close()
    if not any(re.search(r"\w", page) for page in pages):
        named = f"pages {scanned[0]} to {scanned[-1]}" if scanned else f"none of its {len(pages)} pages"
        verb = "have no text layer" if scanned else "has a text layer"
        raise DataError(f"scanned PDF: {named} {verb}; run it through OCR first")
    flowed = [flow(page) for page in without_running_lines(pages)]
    return PdfText(_joined(flowed), len(pages), tuple(scanned), metadata)


def without_running_lines(pages: Sequence[str]) -> list[str]:
    """Pages without the lines at their top and bottom that come again on others, and without page numbers there.

    A line comes again when it is the same but for its digits on at least three pages, or on two of three; those that
    are only a number count together. Up to three lines at either end are looked at.
    """
    lines = [[line.strip() for line in page.replace("\r", "\n").split("\n")] for page in pages]
    lines = [[line for line in page if line] for page in lines]
    if len(pages) < 2:
        return list(pages)
    counts = Counter[tuple[bool, str]]()
    for page in lines:
        counts.update({(is_top, _shape(line)) for is_top, line in _edges(page)})
    enough = 3 if len(pages) > 3 else 2
    found = []
    for page in lines:
        first, last = 0, len(page)
        while first < min(EDGE, last) and counts[True, _shape(page[first])] >= enough:
            first += 1
        while last > max(first, len(page) - EDGE) and counts[False, _shape(page[last - 1])] >= enough:
            last -= 1
        found.append("\n".join(page[first:last] or page))  # a page of nothing else says it on purpose
    return found


def _edges(page: list[str]) -> Iterator[tuple[bool, str]]:
    yield from ((True, line) for line in page[:EDGE])
    yield from ((False, line) for line in page[max(len(page) - EDGE, 0) :])


def _shape(line: str) -> str:
    """A line with each number as `#`; lines of more than 100 characters are no running heads."""
    return NUMBER.sub("#", line.lower()) if len(line) <= LONGEST_HEAD else ""


def _joined(pages: list[str]) -> str:
    """Pages with an empty line between, or none where a paragraph runs on to the next page."""
    text = ""
    for page in pages:
        if not page:
            continue
        runs_on = text and page[0].islower() and (text[-1].isalnum() or text[-1] in ",;-\u2010\u00ad")
        if runs_on and text[-1] in "-\u2010\u00ad" and text[-2:-1].isalpha():
            text = text[:-1] + page
        else:
            text += (" " if runs_on else "\n\n" if text else "") + page
    return text


def _page(document: Any, number: int, ocr: Callable[[Any], str] | None) -> tuple[str, bool]:
    """A page's text, and whether it has none though it shows something."""
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            text = str(text_page.get_text_range())
        finally:
            text_page.close()
        if re.search(r"\w", text) or not any(True for _ in page.get_objects(max_depth=1)):
            return text, False
        if ocr is None:
            return text, True
        return ocr(page.render(scale=200 / 72).to_pil()), False
    finally:
        page.close()


def _metadata(document: Any) -> dict[str, str]:
    """Title, author and date as ISO 8601, where they are there and can be read."""
    found = {}
    for key, name in (("title", "Title"), ("author", "Author"), ("date", "CreationDate")):
        value = " ".join(str(document.get_metadata_value(name) or "").split())
        date = DATE.match(value)
        if key == "date":
            value = "-".join(part for part in date.groups() if part) if date else ""
        if value:
            found[key] = value
    return found


def flow(page: str) -> str:
    """Lines of a page to paragraphs: ligatures undone, divided words joined, lines that fill the width run on.

    A word divided at a hyphen loses it, unless the page writes the word with a hyphen elsewhere (`well-known`).
    """
    page = HYPHEN_MARK.sub(f"{SOFT_HYPHEN}\n", page.replace("\r\n", "\n").replace("\r", "\n").translate(LIGATURES))
    hyphenated = {word.lower() for word in HYPHENATED.findall(page)}
    lines = [" ".join(line.split()) for line in page.split("\n")]
    lengths = [len(line) for line in lines if line]
    width = max(float(np.quantile(lengths, 0.8)), MIN_WIDTH) if lengths else 0.0
    paragraphs, previous = list[str](), ""
    for line in lines:
        divided = DIVIDED.search(previous)
        if not line:
            pass
        elif divided and (line[0].islower() or divided[2] == SOFT_HYPHEN):
            tail = WORD.match(line)
            keeps = not line[0].islower() or (tail and f"{divided[1]}-{tail[0]}".lower() in hyphenated)
            paragraphs[-1] = paragraphs[-1][:-1] + ("-" if keeps else "") + line
        elif len(previous) >= FULL_LINE * width and not ITEM.match(line):
            paragraphs[-1] += " " + line
        else:
            paragraphs.append(line)
        previous = line
    return "\n".join(paragraphs)
