"""The text layer of a PDF, its lines joined into paragraphs."""

import re

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
PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD


def extract_pdf(data: bytes, password: str | None = None) -> str:
    """All pages' text in reading order as the file gives it; paragraphs a line each, pages parted by an empty line.

    Args:
        data: a whole file.
        password: of an encrypted one.

    Raises:
        DataError: `missing extra`, `encrypted PDF`, `broken PDF` or `scanned PDF` (there is no text layer).
    Cost: about 4 ms a page.
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
        pages = [_page_text(document, number) for number in range(len(document))]
    except pypdfium2.PdfiumError as error:
        raise DataError(f"broken PDF: {error}") from None
    finally:
        document.close()
    if not any(re.search(r"\w", page) for page in pages):
        raise DataError(f"scanned PDF: none of its {len(pages)} pages has a text layer; run it through OCR first")
    return "\n\n".join(text for page in pages if (text := flow(page)))


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


def _page_text(document: "object", number: int) -> str:
    page = document[number]  # type: ignore[index]
    text_page = page.get_textpage()
    try:
        return str(text_page.get_text_range())
    finally:
        text_page.close()
        page.close()
