import pytest
from octad_data import DataError, ReadReport, extract_pdf, read_documents
from octad_data.pdf import flow

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
