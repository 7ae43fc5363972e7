import random
from contextlib import suppress

import pytest
from octad_data import DataError, ReadReport, extract_pdf, read_documents
from octad_data.pdf import numbers, read_pdf

LINE = "A line of a paragraph that is as wide as the column of the page"
WORDS = (
    "river", "stone", "market", "window", "letter", "garden", "bridge", "winter", "silver", "carriage", "music",
    "doctor", "evening", "forest", "harbour", "island", "journey", "kitchen", "lantern", "morning", "number", "orange",
    "painter", "quarter", "railway", "summer", "teacher", "village", "weather", "yellow",
)  # fmt: skip


def prose(rng, num_lines, characters=44):
    """Lines of about one length, and the text they make."""
    lines = []
    for _ in range(num_lines):
        line = rng.choice(WORDS)
        while len(line) < characters:
            line += " " + rng.choice(WORDS)
        lines.append(line)
    return lines


def file_of(pages, info=b"", rotate=0):
    """A PDF of lines of Helvetica, each (x, y, size, text) or (x, y, size, text, matrix)."""
    kids, bodies = [], []
    for number, lines in enumerate(pages):
        shown = []
        for x, y, size, text, *matrix in lines:
            turned = matrix[0] if matrix else "1 0 0 1"
            plain = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            shown.append(f"BT /F1 {size} Tf {turned} {x} {y} Tm ({plain}) Tj ET")
        stream = "\n".join(shown).encode("cp1252")
        page, content = 4 + 2 * number, 5 + 2 * number
        kids.append(b"%d 0 R" % page)
        bodies.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate %d /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (rotate, content)
        )
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", tree, font, *bodies, info or b"<< >>"]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    )
    return data + end % (size, table, size, size - 1, len(data))


def column(lines, x, top=700, size=9, leading=11):
    return [(x, top - leading * number, size, line) for number, line in enumerate(lines)]


def test_pdf_text_comes_in_paragraphs(pdf_file):
    text = f"{LINE}\n{LINE} and then the long word is divi-\nded at the end.\nA heading\n{LINE}"
    expected = [f"{LINE} {LINE} and then the long word is divided at the end.", "A heading", LINE]
    assert extract_pdf(pdf_file(text)).split("\n") == expected


def test_pdf_keeps_the_hyphen_of_a_word_that_has_one_elsewhere(pdf_file):
    text = f"{LINE}\na well-known one, and here is another one which is just well-\nknown two"
    assert "just well-known two" in extract_pdf(pdf_file(text))
    assert "of North-South" in extract_pdf(pdf_file(f"{LINE}\n{LINE} of North-\nSouth"))


def test_pdf_reads_columns_one_after_the_other():
    rng = random.Random(0)
    for count in (2, 3):
        columns = [prose(rng, 30, 66 // count) for _ in range(count)]
        placed = [column(lines, 40 + place * (540 // count)) for place, lines in enumerate(columns)]
        by_column = file_of([[line for lines in placed for line in lines]])
        by_row = file_of([[line for row in zip(*placed, strict=True) for line in row]])
        expected = " ".join(line for lines in columns for line in lines)
        for data in (by_column, by_row):
            assert extract_pdf(data).replace("\n", " ") == expected


def test_pdf_title_across_columns_comes_first():
    rng = random.Random(1)
    left, right = prose(rng, 25, 33), prose(rng, 25, 33)
    title = "A title that runs across both of the columns of its page"
    data = file_of([[*column(left, 40), *column(right, 320), (80, 740, 16, title)]])
    assert extract_pdf(data).split("\n")[0] == title
    assert extract_pdf(data).replace("\n", " ").endswith(" ".join(right))


def test_pdf_reads_tables_row_by_row():
    rows = [(f"item {n}", f"{n * 17}", f"{n * 3.5:.2f}") for n in range(1, 12)]
    lines = [
        (x, 600 - 14 * n, 10, cell) for n, row in enumerate(rows) for x, cell in zip((60, 220, 380), row, strict=True)
    ]
    column_first = sorted(lines)
    for order in (lines, column_first):
        assert extract_pdf(file_of([order])).split("\n") == ["\t".join(row) for row in rows]


def test_pdf_justified_line_of_two_words_is_no_row_of_a_table():
    text = [(60, 700 - 11 * number, 9, "wonderful morningtim") for number in range(12)]
    spread = [[(60, y, 9, "harbours"), (116, y, 9, "lanterns")] for y in (634, 623)]
    found = extract_pdf(file_of([[line for line in text if line[1] != 634] + spread[0]]))
    assert "harbours lanterns" in found and "\t" not in found
    found = extract_pdf(file_of([[line for line in text if line[1] not in (634, 623)] + spread[0] + spread[1]]))
    assert "harbours\tlanterns\nharbours\tlanterns" in found


def test_pdf_leaves_running_heads_and_page_numbers_out():
    rng = random.Random(2)
    bodies = [prose(rng, 40, 80) for _ in range(4)]
    pages = []
    for number, body in enumerate(bodies):
        head = ["The Book of Stones", "By A. Painter"][number % 2]
        pages.append([(60, 760, 8, head), *column(body, 60), (300, 40, 9, f"Page {number + 11} of 90")])
    text = extract_pdf(file_of(pages))
    assert "Book of Stones" not in text and "Painter" not in text and "of 90" not in text
    assert text.replace("\n", " ") == " ".join(line for body in bodies for line in body)


def test_pdf_keeps_what_only_looks_like_a_head():
    rng = random.Random(3)
    pages = [
        [(60, 740, 16, f"{number + 1} {name}"), *column(prose(rng, 20, 80), 60)]
        for number, name in enumerate(WORDS[:4])
    ]
    text = extract_pdf(file_of(pages))
    assert all(f"{number + 1} {name}" in text for number, name in enumerate(WORDS[:4]))
    assert extract_pdf(file_of([[(60, 700, 10, "Background")]] * 3)).split("\n") == ["Background"] * 3


def test_pdf_paragraph_over_pages_is_whole_and_its_note_follows():
    rng = random.Random(4)
    first, second = prose(rng, 40, 80), prose(rng, 10, 80)
    note = "1 A note at the foot of the page."
    data = file_of([[*column(first, 60), (60, 200, 7, note)], column(second, 60)])
    assert extract_pdf(data).split("\n") == [" ".join([*first, *second]), note]


def test_pdf_new_paragraphs_by_indent_gap_and_short_line():
    rng = random.Random(5)
    a, b, c = prose(rng, 4, 80), prose(rng, 4, 80), prose(rng, 4, 80)
    indented = [
        *column(a, 60, 700),
        (75, 656, 9, b[0]),
        *column(b[1:], 60, 645),
        (75, 612, 9, c[0]),
        *column(c[1:], 60, 601),
    ]
    spaced = [*column(a, 60, 700), *column(b, 60, 640), *column(c, 60, 580)]
    for lines in (indented, spaced):
        assert extract_pdf(file_of([lines])).split("\n") == [" ".join(a), " ".join(b), " ".join(c)]


def test_pdf_undoes_ligatures_and_list_items_stay_apart(pdf_file):
    items = [LINE, f"1. {LINE}", f"- {LINE}"]
    assert extract_pdf(pdf_file("\n".join(items))).split("\n") == items


def test_pdf_list_items_hang_behind_their_marks():
    rng = random.Random(8)
    before, first, second, after = (prose(rng, 3, 80) for _ in range(4))
    lines, y = [*column(before, 60)], 667
    for item in (first, second):
        lines += [(60, y, 9, f"\u2022 {item[0]}"), *column([*item[1:], "short."], 70, y - 11)]
        y -= 44
    text = extract_pdf(file_of([[*lines, *column(after, 60, y)]]))
    items = [f"\u2022 {' '.join([*item, 'short.'])}" for item in (first, second)]
    assert text.split("\n") == [" ".join(before), *items, " ".join(after)]


def test_pdf_narrow_columns_may_have_base_lines_of_their_own():
    rng = random.Random(9)
    columns = [prose(rng, 50, 19) for _ in range(3)]
    tops = (700, 697, 695)
    placed = [column(lines, 40 + 160 * place, tops[place]) for place, lines in enumerate(columns)]
    by_row = file_of([[line for row in zip(*placed, strict=True) for line in row]])
    assert extract_pdf(by_row).replace("\n", " ") == " ".join(line for lines in columns for line in lines)


def test_pdf_reads_turned_text_and_turned_pages():
    rng = random.Random(6)
    body = prose(rng, 20, 80)
    side = (30, 200, 9, "Set upright at the side", "0 1 -1 0")
    text = extract_pdf(file_of([[side, *column(body, 60)]]))
    assert text.split("\n") == [" ".join(body), "Set upright at the side"]
    turned = [(60 + 11 * number, 60, 9, line, "0 1 -1 0") for number, line in enumerate(body)]
    assert extract_pdf(file_of([turned], rotate=90)).split("\n") == [" ".join(body)]


def test_pdf_joins_accents_drawn_apart():
    before = [(60, 700, 10, "Universit"), (98.8, 700, 10, "\xb4"), (98.9, 700, 10, "e libre de Bruxelles.")]
    after = [(60, 660, 10, "Na"), (72.8, 660, 10, "i"), (72.2, 660, 10, "\xa8"), (75, 660, 10, "ve")]
    assert extract_pdf(file_of([[*before, *after]])).split("\n") == ["Université libre de Bruxelles.", "Naïve"]
    assert extract_pdf(file_of([[(60, 700, 10, "a ^ b, ~c and 5\xb4 or \xa8")]])) == "a ^ b, ~c and 5´ or ¨"


def test_pdf_tells_facts_of_the_file():
    info = b"<< /Title (On Stones) /Author (A. Painter) /CreationDate (D:20190305120000+01'00') >>"
    found = read_pdf(file_of([[(60, 700, 10, "Text of it")]], info))
    assert found.metadata == {"title": "On Stones", "author": "A. Painter", "date": "2019-03-05"}
    broken = b"<< /Title 7 /Author <FEFFD8> /CreationDate (yesterday) >>"
    assert read_pdf(file_of([[(60, 700, 10, "Text of it")]], broken)).text == "Text of it"


def test_pdf_asks_the_callers_ocr_for_pages_without_text(shared_data):
    pytest.importorskip("PIL", reason="pictures of pages need Pillow")
    (file,) = shared_data("pdf/019-grayscale-image").glob("*.pdf")
    seen = []

    def ocr(picture):
        seen.append(picture)
        return " read from the picture\n"

    found = read_pdf(file.read_bytes(), ocr=ocr)
    assert (found.text, found.scanned) == ("read from the picture", ())
    assert type(seen[0]).__module__ == "PIL.Image"
    with pytest.raises(DataError, match="scanned PDF: pages 1 of 1 have no text layer"):
        read_pdf(file.read_bytes())


def test_pdf_page_numbers_for_a_person():
    assert numbers([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10" and numbers([]) == ""


def test_pdf_leaves_out_and_names_pages_that_cannot_be_opened(pdf_file):
    data = file_of([[(60, 700, 10, "First of all")], [(60, 700, 10, "Then")], [(60, 700, 10, "In the end")]])
    missing = data.replace(b"/Kids [4 0 R 6 0 R 8 0 R]", b"/Kids [4 0 R 99 0 R 8 0 R]")
    found = read_pdf(missing)
    assert found.text.split("\n") == ["First of all", "In the end"] and (found.pages, found.broken) == (3, (2,))
    with pytest.raises(DataError, match="broken PDF: pages 1-2 of 2 cannot be opened"):
        read_pdf(file_of([[], []]).replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [98 0 R 99 0 R]"))


def test_pdf_refuses_one_content_drawn_without_end(monkeypatch):
    monkeypatch.setattr("octad_data.pdf.MAX_CHARACTERS", 1000)
    line = [(60, 700, 10, "x" * 90)]
    assert read_pdf(file_of([line] * 11)).pages == 11
    with pytest.raises(DataError, match="too large: more than 1,000 characters on pages 1-12"):
        read_pdf(file_of([line] * 100))


def test_pdf_names_meaningless_fonts():
    with pytest.raises(DataError, match="garbled PDF: the characters of pages 1-2 have no meaning"):
        read_pdf(file_of([[(60, 700, 10, "\x01\x0b\x0e\x0f" * 9)]] * 2).replace(b"/WinAnsiEncoding", b"/Odd"))


@pytest.mark.parametrize("data", [b"%PDF-1.4 nothing more", b"%PDF-", b"no pdf at all", b""])
def test_pdf_names_a_broken_file(data):
    with pytest.raises(DataError, match="broken PDF"):
        extract_pdf(data)


def test_pdf_names_a_file_without_text(pdf_file):
    with pytest.raises(DataError, match="scanned PDF: none of its 1 pages"):
        extract_pdf(pdf_file(""))


def test_pdf_refuses_too_many_pages(pdf_file):
    with pytest.raises(DataError, match="too many pages: 1, more than max_pages=0"):
        read_pdf(pdf_file("a"), max_pages=0)


def test_pdf_is_known_by_its_first_bytes(tmp_path, pdf_file):
    (tmp_path / "download").write_bytes(pdf_file("Hello, world"))
    (document,) = read_documents(tmp_path)
    assert document.text == "Hello, world" and document.metadata["format"] == "pdf"


def test_pdf_survives_changed_bytes(pdf_file):
    rng = random.Random(7)
    whole = file_of([column(prose(rng, 20, 40), 60), column(prose(rng, 5, 40), 300)])
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(DataError):
            assert isinstance(extract_pdf(bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])), str)


def test_pdf_reads_and_sorts_real_files(shared_data):
    report = ReadReport()
    found = {d.id.split("/")[0]: d for d in read_documents(shared_data("pdf"), report=report)}
    text = {name: document.text for name, document in found.items()}
    assert report.skipped == {"scanned PDF": 5, "encrypted PDF": 1, "broken PDF": 1}
    assert "nonumy eirmod tempor invidunt" in text["001-trivial"]
    assert "diam voluptua" in text["001-trivial"]
    assert "what a printed text will look like at this place." in text["004-pdflatex-4-pages"]
    assert text["011-google-doc-document"].split("\n")[1] == "Beautiful is better than ugly."
    assert text["006-pdflatex-outline"].split("\n")[:2] == ["Contents", "1 Foo\t2"]
    assert text["010-pdflatex-forms"].split("\n") == ["Name", "Check", "Submit"]  # and no page number
    assert text["022-pdfkit"].split("\n") == ["Header", "Foo: bar", "ABC: DEF"]
    crazy = text["021-pdfa"].split("\n")
    assert crazy[0] == "The Crazy Ones" and crazy[-1].startswith("While some see them as the crazy ones, we see")
    assert found["007-imagemagick-images"].metadata["scanned_pages"] == "4-5"
    assert found["020-xmp"].metadata["date"] == "2023-04-10"


def test_pdf_opens_with_its_password(shared_data):
    data = next(shared_data("pdf/005-libreoffice-writer-password").glob("*.pdf")).read_bytes()
    with pytest.raises(DataError, match="encrypted PDF"):
        extract_pdf(data, password="wrong")
    assert "Lorem ipsum" in extract_pdf(data, password="openpassword")
