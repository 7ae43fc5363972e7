"""The text layer of a PDF: columns in reading order, lines joined into paragraphs, heads and page numbers left out."""

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from octad_data.errors import DataError
from octad_data.pdf_characters import Piece, page_pieces
from octad_data.pdf_flow import paragraphs
from octad_data.pdf_heads import without_running_heads
from octad_data.pdf_layout import Line, reading_order

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
MAX_PAGES = 20_000
MAX_CHARACTERS = 50_000_000  # of a file; a thick book has 5 million
MEANINGLESS = 0.3  # of a page's characters; then its fonts do not say what they draw
OCR_SCALE = 200 / 72  # pixels a point: 200 dots an inch, what recognisers are trained on
MAX_PIXELS = 64_000_000  # of a picture for OCR: a sheet of A0
FACTS = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?")
_ONE_AT_A_TIME = threading.RLock()  # pdfium keeps global state; an OCR may read a PDF of its own


@dataclass(frozen=True)
class PdfText:
    """What was found in a PDF.

    Attributes:
        text: paragraphs, a line each.
        pages: how many there are.
        scanned: numbers, from 1, of pages that show something but have no text layer.
        garbled: numbers of pages whose fonts do not say which characters they draw.
        broken: numbers of pages that cannot be opened.
        metadata: `title`, `author`, `subject`, `keywords`, `date`, where the file has them.
    """

    text: str
    pages: int
    scanned: tuple[int, ...] = ()
    garbled: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Page:
    pieces: list[Piece] = field(default_factory=list)
    height: float = 0.0
    num_characters: int = 0
    state: str = ""  # `scanned`, `garbled`, `broken`
    recognised: str | None = None  # by OCR


def extract_pdf(data: bytes, password: str | None = None) -> str:
    """All pages' text in reading order, paragraphs a line each: `read_pdf(data, password).text`."""
    return read_pdf(data, password).text


def read_pdf(
    data: bytes, password: str | None = None, ocr: Callable[[Any], str] | None = None, max_pages: int = MAX_PAGES
) -> PdfText:
    """All pages' text in reading order, and what is known of the file.

    Columns are read one after the other, tables row by row with tabs between cells; running heads and page numbers are
    left out, divided words joined, ligatures undone, paragraphs joined over lines, columns and pages, footnotes put
    after the paragraph that they interrupt.

    Args:
        data: a whole file.
        password: of an encrypted one.
        ocr: gives the text of a page without a text layer, or with a meaningless one, from its picture (a Pillow
            image, 200 dots an inch), as `pytesseract.image_to_string` does.
        max_pages: a longer file is refused.

    Raises:
        DataError: `missing extra`, `encrypted PDF`, `broken PDF`, `too many pages`, `too large`, `scanned PDF` (no
            page has a text layer) or `garbled PDF` (there is one, of characters without a meaning).
    Cost: about 2.5 ms a page; one file at a time in a process.
    """
    try:
        import pypdfium2
    except ModuleNotFoundError:
        raise DataError("missing extra: reading PDF needs pypdfium2; pip install 'octad-data[pdf]'") from None
    with _ONE_AT_A_TIME:
        try:
            document = pypdfium2.PdfDocument(data, password=password)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == PASSWORD_ERROR:
                raise DataError("encrypted PDF: it opens only with its password; save it without one") from None
            raise DataError(f"broken PDF: {error}") from None
        try:
            return _read(document, ocr, max_pages)
        except pypdfium2.PdfiumError as error:
            raise DataError(f"broken PDF: {error}") from None
        finally:
            document.close()


def numbers(pages: Iterable[int]) -> str:
    """Page numbers for a person, runs in short: `1-3,7`."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and runs[-1][1] == page - 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _read(document: Any, ocr: Callable[[Any], str] | None, max_pages: int) -> PdfText:
    count = len(document)
    if count > max_pages:
        raise DataError(f"too many pages: {count:,}, more than max_pages={max_pages:,}")
    pages, characters = list[_Page](), 0
    for number in range(count):
        pages.append(_read_page(document, number, ocr))
        characters += pages[-1].num_characters
        if characters > MAX_CHARACTERS:  # many pages may draw the same large content again and again
            raise DataError(f"too large: more than {MAX_CHARACTERS:,} characters on pages 1-{number + 1}; split it")
    kept = without_running_heads([page.pieces for page in pages], [page.height for page in pages])
    text = _with_recognised([reading_order(pieces) for pieces in kept], [page.recognised for page in pages])
    states = {
        state: tuple(number for number, page in enumerate(pages, 1) if page.state == state)
        for state in ("scanned", "garbled", "broken")
    }
    if not re.search(r"\w", text):
        raise DataError(_why_without_text(count, **states))
    return PdfText(text, count, **states, metadata=_facts(document))


def _read_page(document: Any, number: int, ocr: Callable[[Any], str] | None) -> _Page:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return _Page(state="broken")
    try:
        text_page = page.get_textpage()
        try:
            pieces, count, strange = page_pieces(text_page)
        finally:
            text_page.close()
        height = float(page.get_height())
        if pieces and strange <= MEANINGLESS * count:
            return _Page(pieces, height, count)
        state = (
            "garbled" if strange > MEANINGLESS * count else "scanned" if pdfium.FPDFPage_CountObjects(page) > 0 else ""
        )
        if not state or ocr is None:
            return _Page([], height, count, state)
        scale = min(OCR_SCALE, (MAX_PIXELS / max(page.get_width() * height, 1.0)) ** 0.5)
        return _Page([], height, count, recognised=ocr(page.render(scale=scale).to_pil()))
    except pypdfium2.PdfiumError:
        return _Page(state="broken")
    finally:
        page.close()


def _why_without_text(count: int, scanned: tuple[int, ...], garbled: tuple[int, ...], broken: tuple[int, ...]) -> str:
    if garbled:
        return f"garbled PDF: the characters of pages {numbers(garbled)} have no meaning; run it through OCR first"
    if scanned:
        return f"scanned PDF: pages {numbers(scanned)} of {count} have no text layer; run it through OCR first"
    if broken:
        return f"broken PDF: pages {numbers(broken)} of {count} cannot be opened"
    return f"scanned PDF: none of its {count} pages has a text layer; run it through OCR first"


def _with_recognised(lines: list[list[Line]], recognised: list[str | None]) -> str:
    parts, start = list[str](), 0
    for number, text in enumerate(recognised):
        if text is not None:
            parts += [*paragraphs(lines[start:number]), text.strip()]
            start = number + 1
    return "\n".join(part for part in [*parts, *paragraphs(lines[start:])] if part)


def _facts(document: Any) -> dict[str, str]:
    """What the file says of itself, as far as it can be read."""
    facts = dict[str, str]()
    for name, ours in FACTS.items():
        value = " ".join(_fact(document, name).split())
        if value:
            facts[ours] = value
    date = DATE.match(_fact(document, "CreationDate"))
    if date and 1900 < int(date[1]) < 2200:
        facts["date"] = "-".join(part for part in date.groups() if part)
    return facts


def _fact(document: Any, name: str) -> str:
    try:
        return str(document.get_metadata_value(name)).replace("\0", "")
    except (UnicodeError, ValueError, RuntimeError):
        return ""
