"""The text of the lines of a page."""

import re
import unicodedata
from html import unescape

import numpy as np

from octad_data.html_blocks import Blocks
from octad_data.html_scan import TEXT, Scan

BREAK = b"\x1e"  # stands for <br>; control characters are taken out of a page before it is scanned
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


class LineTexts:
    """The text of the lines of a page, read from its bytes when it is asked for."""

    def __init__(self, data: bytes, page: Scan, blocks: Blocks) -> None:
        shown = np.flatnonzero(blocks.shown)
        self.data = data
        self.begin, self.end = page.begin[shown].tolist(), page.end[shown].tolist()
        self.is_text = (page.event[shown] == TEXT).tolist()
        self.first = np.searchsorted(shown, blocks.first).tolist()
        self.stop = np.searchsorted(shown, blocks.stop).tolist()

    def _raw(self, line: int) -> str:
        """With <br> as `BREAK` and white space as it is."""
        parts = range(self.first[line], self.stop[line])
        pieces = [self.data[self.begin[n] : self.end[n]] if self.is_text[n] else BREAK for n in parts]
        text = b"".join(pieces).decode("utf-8", "replace")
        return unescape(text) if "&" in text else text

    def __call__(self, line: int) -> str:
        """One line, its spaces and breaks made single spaces."""
        return " ".join(self.broken(line).split())

    def broken(self, line: int) -> str:
        """Lines as <br> breaks them, with single spaces; in NFC."""
        rows = [" ".join(row.split()) for row in self._raw(line).split("\x1e")]
        text = UNWANTED.sub("", "\n".join(row for row in rows if row))
        return text if text.isascii() else unicodedata.normalize("NFC", text)

    def code(self, line: int) -> str:
        """Lines and indentation as they are; in NFC."""
        text = self._raw(line).replace("\r\n", "\n").replace("\r", "\n").replace("\x1e", "\n")
        text = "\n".join(row.rstrip() for row in UNWANTED.sub("", text).split("\n")).strip("\n")
        return unicodedata.normalize("NFC", text)
