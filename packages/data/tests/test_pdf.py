from collections.abc import Callable
from pathlib import Path

import pytest
from octad_data import DataError, ReadReport, extract_pdf, read_documents
from octad_data.pdf import _joined, flow, read_pdf, without_running_lines

LINE = "A line of a paragraph that is as wide as the column of the page"


def test_pdf_text_comes_in_paragraphs(pdf_file):
    text = f"{LINE}\n{LINE} and then the long word is divi-\nded at the end.\nA heading\n{LINE}"
    expected = [f"{LINE} {LINE} and then the long word is divided at the end.", "A heading", LINE]
    assert extract_pdf(pdf_file(text)).split("\n") == expected


def test_pdf_flow_undoes_ligatures_and_divided_words():
    assert flow("The oﬃce ﬁle ﬂows") == "The office file flows"
    assert flow("words are hyphen\ufffe\r\nated here") == "words are hyphenated here"
    assert flow("a well-known one, and a well-\nknown two") == "a well-known one, and a well-known two"
    assert flow("over-\nlap of North-\nSouth") == "overlap of North-\nSouth"
    assert flow("over-\n\nlap") == "over-\nlap" and flow("North\ufffe\r\nSouth") == "North-South"
    assert flow("") == flow("\r\n\r\n") == ""


def test_pdf_flow_keeps_list_items_and_short_lines_apart():
    items = [LINE, f"1. {LINE}", f"- {LINE}", "short", "lines"]
    assert flow("\n".join(items)).split("\n") == [LINE, f"1. {LINE}", f"- {LINE} short", "lines"]


@pytest.mark.parametrize("data", [b"%PDF-1.4 nothing more", b"%PDF-", b"no pdf at all"])
def test_pdf_names_a_broken_file(data):
    with pytest.raises(DataError, match="broken PDF"):
        extract_pdf(data)


def test_pdf_names_a_file_without_text(pdf_file):
    with pytest.raises(DataError, match="scanned PDF: none of its 1 pages"):
        extract_pdf(pdf_file(""))


def test_pdf_is_known_by_its_first_bytes(tmp_path, pdf_file):
    (tmp_path / "download").write_bytes(pdf_file("Hello, world"))
    (document,) = read_documents(tmp_path)
    assert document.text == "Hello, world" and document.metadata["format"] == "pdf"


def test_pdf_reads_and_sorts_real_files(shared_data):
    report = ReadReport()
    found = {d.id.split("/")[0]: d.text for d in read_documents(shared_data("pdf"), report=report)}
    assert report.skipped == {"scanned PDF": 5, "encrypted PDF": 1, "broken PDF": 1}
    assert "nonumy eirmod tempor invidunt" in found["001-trivial"]
    assert "diam voluptua" in found["001-trivial"]
    assert "what a printed text will look like at this place." in found["004-pdflatex-4-pages"]
    assert found["011-google-doc-document"].split("\n")[1] == "Beautiful is better than ugly."


def test_pdf_opens_with_its_password(shared_data):
    data = next(shared_data("pdf/005-libreoffice-writer-password").glob("*.pdf")).read_bytes()
    with pytest.raises(DataError, match="encrypted PDF"):
        extract_pdf(data, password="wrong")
    assert "Lorem ipsum" in extract_pdf(data, password="openpassword")


def test_running_heads_and_page_numbers_are_left_out() -> None:
    pages = [
        f"The Great Journal, volume 7\n{number}\nBody of page {number} that says something new {word}.\nNote {word}\n"
        f"Page {number} of 5"
        for number, word in enumerate(["ant", "bee", "cat", "dog", "elk"], 1)
    ]
    cleaned = without_running_lines(pages)
    assert [page.split("\n")[0] for page in cleaned] == [
        f"Body of page {number} that says something new {word}."
        for number, word in enumerate(["ant", "bee", "cat", "dog", "elk"], 1)
    ]
    assert all("Note" in page and "Journal" not in page and "of 5" not in page for page in cleaned)
    assert without_running_lines(["only\n1"]) == ["only\n1"]
    assert without_running_lines(["a b\nx", "c d\ny", "e f\nz"]) == ["a b\nx", "c d\ny", "e f\nz"]


def test_a_paragraph_runs_on_to_the_next_page() -> None:
    assert _joined(["It goes on", "over the page.", "New one."]) == "It goes on over the page.\n\nNew one."
    assert _joined(["divided at the hy-", "phen", ""]) == "divided at the hyphen"


def test_metadata_scanned_pages_and_ocr(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("pdf")
    found = read_pdf((folder / "001-trivial" / "minimal-document.pdf").read_bytes())
    assert found.pages == 1 and found.scanned == () and found.metadata["date"].startswith("20")
    scan = next((folder / "007-imagemagick-images").glob("*lzw.pdf")).read_bytes()
    with pytest.raises(DataError, match="scanned PDF: pages 1 to 1 have no text layer"):
        read_pdf(scan)


def test_ocr_is_asked_for_pages_without_text(shared_data: Callable[[str], Path]) -> None:
    pytest.importorskip("PIL", reason="pictures of pages need Pillow")
    scan = next((shared_data("pdf") / "007-imagemagick-images").glob("*lzw.pdf")).read_bytes()
    found = read_pdf(scan, ocr=lambda picture: f"a picture of {type(picture).__module__}")
    assert found.text == "a picture of PIL.Image" and found.scanned == ()
