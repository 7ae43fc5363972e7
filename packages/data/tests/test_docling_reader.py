"""docling as a program: what it is given, what is read, and what it cannot read."""

import shutil
import sys

import pytest
from octad_data import DataError, extract_pdf_docling

FAKE = """#!{python}
import pathlib, sys, time
from pathlib import Path
arguments = sys.argv[1:]
values = dict(zip(arguments, arguments[1:]))
assert values["--from"] == "pdf" and values["--to"] == "md" and "--abort-on-error" in arguments
source, output = Path(arguments[-1]), Path(values["--output"])
data = source.read_bytes()
if b"slow" in data:
    time.sleep(60)
if b"broken" in data:
    sys.exit("Traceback\\nConversionError: no page")
output.mkdir()
text = "" if b"blank" in data else f"# Title\\n\\n<!-- image -->\\n\\n{{len(data)}} {{'--no-ocr' in arguments}}"
if b"silent" not in data:
    (output / "document.md").write_text(text)
"""


@pytest.fixture
def fake(tmp_path):
    program = tmp_path / "docling"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    return str(program)


def test_markdown_comes_from_the_program(fake):
    assert extract_pdf_docling(b"%PDF-1.7 x", program=fake) == "# Title\n\n\n\n10 False"
    assert extract_pdf_docling(b"%PDF-1.7 x", program=fake, options=["--no-ocr"]).endswith("10 True")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "broken PDF: no %PDF- at its beginning"),
        (b"%PDF- broken", r"broken PDF: docling gave it up \(ConversionError: no page\)"),
        (b"%PDF- silent", r"broken PDF: docling gave it up \(0\)"),
        (b"%PDF- blank", "empty"),
        (b"%PDF- slow", "timeout: docling took more than 0.5 s"),
    ],
)
def test_what_it_cannot_read_is_named(fake, data, message):
    with pytest.raises(DataError, match=message):
        extract_pdf_docling(data, program=fake, timeout_s=0.5 if b"slow" in data else 30)


def test_its_absence_is_named():
    with pytest.raises(DataError, match=r"missing program: no-such-docling .*uv tool install docling"):
        extract_pdf_docling(b"%PDF-1.7", program="no-such-docling")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("docling") is None, reason="needs docling on the search path, and its models")
def test_the_program_itself_reads_a_sample(shared_data):
    sample = sorted(shared_data("pdf").glob("*.pdf"))[0]
    assert len(extract_pdf_docling(sample.read_bytes()).split()) > 20
