from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from octad_data import Document

settings.register_profile("octad_data", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_data")

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A folder of real pages or files, or a skip where this checkout has none."""

    def folder(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no {path}: the real files are not part of the package")
        return path

    return folder


@pytest.fixture
def documents() -> Callable[..., list[Document]]:
    def make(*texts: str) -> list[Document]:
        return [Document(text, f"d{number:03d}", "test") for number, text in enumerate(texts)]

    return make


@pytest.fixture
def pdf_file() -> Callable[[str], bytes]:
    """A one-page PDF made by hand, with a line of Helvetica for each line of text."""

    def make(text: str) -> bytes:
        shown = " T* ".join(f"({line}) Tj" for line in text.split("\n"))
        stream = f"BT /F1 10 Tf 12 TL 40 700 Td {shown} ET".encode("latin-1")
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
        data, places = b"%PDF-1.4\n", []
        for number, body in enumerate(objects, 1):
            places.append(len(data))
            data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        table = b"".join(b"%010d 00000 n \n" % place for place in places)
        end = b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        return data + end % (table, len(data))

    return make
