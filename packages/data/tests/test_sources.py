import bz2
import csv
import gzip
import io
import lzma
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Document, ReadReport, read_documents
from octad_data.epub import extract_epub
from octad_data.latex import extract_latex
from octad_data.licences import is_permissive, licence_of_text
from octad_data.markup import extract_markdown
from octad_data.office import extract_docx, extract_odt
from octad_data.raw import extract, raw_records
from octad_data.raw_record import RawRecord

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def epub() -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<c><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></c>',
            "OPS/book.opf": (
                '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>A Book</dc:title>'
                "<dc:creator>A. Writer</dc:creator></metadata><manifest>"
                '<item id="a" href="one.xhtml"/><item id="b" href="two.xhtml"/></manifest>'
                '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>'
            ),
            "OPS/one.xhtml": "<html><body><h1>Second</h1><p>Its <em>text</em>.</p></body></html>",
            "OPS/two.xhtml": "<html><body><h1>First</h1><ul><li>an item</li></ul></body></html>",
        }
    )


def docx() -> bytes:
    return zipped(
        {
            "word/document.xml": (
                f"<w:document {W}><w:body>"
                "<w:p><w:r><w:t>A paragraph</w:t></w:r><w:r><w:t> in two runs.</w:t></w:r></w:p>"
                "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>"
                "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p>"
                "</w:tc></w:tr></w:tbl></w:body></w:document>"
            ),
            "word/footnotes.xml": (
                f"<w:footnotes {W}><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"
            ),
        }
    )


def test_books_and_documents_give_their_text() -> None:
    text, metadata = extract_epub(epub())
    assert text == "First\n- an item\n\nSecond\nIts text." and metadata == {"title": "A Book", "author": "A. Writer"}
    assert extract_docx(docx())[0] == "A paragraph in two runs.\n- an item\na\nb\nA note."
    names = 'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    odt = f"<d {names}><text:h>Head</text:h><text:p>Body  text</text:p></d>"
    assert extract_odt(zipped({"content.xml": odt}))[0] == "Head\nBody text"


def w(inner: str, name: str = "p", properties: str = "") -> str:
    inside = f"<w:r><w:t>{inner}</w:t></w:r>" if name == "p" else inner
    return f"<w:{name}>{properties}{inside}</w:{name}>"


def body_of_docx(*parts: str) -> str:
    spaces = f'{W} xmlns:mc="urn:mc" xmlns:wps="urn:wps" xmlns:v="urn:v"'
    return extract_docx(
        zipped({"word/document.xml": f"<w:document {spaces}>{w(''.join(parts), 'body')}</w:document>"})
    )[0]


def test_docx_leaves_out_what_is_not_shown_and_says_nothing_twice() -> None:
    box = f"<w:txbxContent>{w('in a box')}</w:txbxContent>"
    drawing = (
        f"<w:r><mc:AlternateContent><mc:Choice><wps:wsp>{box}</wps:wsp></mc:Choice>"
        f"<mc:Fallback><v:shape>{box}</v:shape></mc:Fallback></mc:AlternateContent></w:r>"
    )
    changed = (
        "<w:p><w:r><w:t>old</w:t></w:r><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del>"
        "<w:ins><w:r><w:t> and new</w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r></w:p>"
    )
    assert body_of_docx(
        changed, f"<w:p>{drawing}</w:p>", f"<w:sdt><w:sdtContent>{w('last')}</w:sdtContent></w:sdt>"
    ) == ("old and new\nin a box\nlast")


def test_docx_nests_lists_and_keeps_cells_in_place() -> None:
    def item(text: str, level: int) -> str:
        return w(text, "p", f'<w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr></w:pPr>')

    def table(*rows: list[str]) -> str:
        return w("".join(w("".join(w(cell, "tc") for cell in row), "tr") for row in rows), "tbl")

    inner = table([w("x"), w("y")], [w("1"), w("2")])
    text = body_of_docx(item("one", 0), item("deep", 1), table([w("a | b"), ""], [w("c") + w("d"), inner]))
    assert text == "- one\n  - deep\n| a \\| b |  |\n| --- | --- |\n| c d | x y 1 2 |"
    with pytest.raises(DataError, match="nested too deeply"):
        body_of_docx("<w:tbl><w:tr><w:tc>" * 500 + w("x") + "</w:tc></w:tr></w:tbl>" * 500)


def test_odt_says_nothing_twice_and_leaves_out_what_was_deleted() -> None:
    names = 'xmlns:text="urn:text" xmlns:table="urn:table" xmlns:office="urn:office"'
    note = "<text:note-citation>1</text:note-citation><text:note-body><text:p>A note.</text:p></text:note-body>"
    rows = "".join(
        f"<table:table-row><table:table-cell><text:p>{a}</text:p></table:table-cell>"
        f"<table:table-cell><text:p>{b}</text:p></table:table-cell></table:table-row>"
        for a, b in (("h", "k"), ("1", "2"))
    )
    content = (
        f"<d {names}><text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        f"<text:p>Two<text:s/>words<text:note>{note}</text:note> <text:span>end</text:span>.</text:p>"
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>deep</text:p></text:list-item>"
        f"</text:list></text:list-item></text:list><table:table>{rows}</table:table></d>"
    )
    assert extract_odt(zipped({"content.xml": content}))[0].split("\n") == [
        "Two words end.", "A note.", "- one", "  - deep", "| h | k |", "| --- | --- |", "| 1 | 2 |",
    ]  # fmt: skip


def test_epub_leaves_out_its_contents_and_keeps_the_form_of_chapters() -> None:
    chapter = (
        "<html><body><h2>One</h2><p>A line<br/>broken, said once and once more, and it is long enough to be looked at "
        "as a repeat.</p><ol><li>a<ul><li>b</li></ul></li></ol><pre>x\n  y</pre><table><tr><th>h</th><th>k</th></tr>"
        "<tr><td>1</td><td>2</td></tr></table><p>A line<br/>broken, said once and once more, and it is long enough to "
        "be looked at as a repeat.</p></body></html>"
    )
    book = {
        "META-INF/container.xml": '<c><rootfiles><rootfile full-path="b.opf"/></rootfiles></c>',
        "b.opf": (
            '<package><manifest><item id="n" href="n.xhtml" properties="nav"/><item id="a" href="a.xhtml"/></manifest>'
            '<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="gone"/></spine></package>'
        ),
        "n.xhtml": "<html><body><p>Contents</p></body></html>",
        "a.xhtml": chapter,
    }
    lines = extract_epub(zipped(book))[0].split("\n")
    assert lines[0] == "One" and lines.count("A line") == 2 and "Contents" not in lines
    assert lines[3:10] == ["- a", "- b", "x", "  y", "| h | k |", "| --- | --- |", "| 1 | 2 |"]


def test_archives_that_attack_are_refused() -> None:
    bomb = zipped({"word/document.xml": " " * 60_000_000})
    with pytest.raises(DataError, match="zip bomb"):
        extract_docx(bomb)
    laughs = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><d>&b;</d>'
    with pytest.raises(DataError, match="defines entities"):
        extract_odt(zipped({"content.xml": laughs}))
    for broken in (b"PK\x03\x04", docx()[:200], zipped({"other": ""})):
        with pytest.raises(DataError, match=r"broken archive|no such part"):
            extract_docx(broken)
    with pytest.raises(DataError, match="broken XML"):
        extract_odt(zipped({"content.xml": "<a><b>" * 10}))


def test_markdown_loses_its_marks() -> None:
    source = (
        "---\ntitle: 'On Stones'\ndate: 2024-01-02\n---\n# Stones #\n\nSome *old* and **hard** "
        "[stones](http://a.b) and "
        "`code`.\n\n> A quote\n\n```python\nx = [1](2)  # kept\n```\n\n![a picture](p.png)\n\n[ref]: http://x.y\n---\nEnd."
    )
    text, metadata = extract_markdown(source)
    assert metadata == {"title": "On Stones", "date": "2024-01-02"}
    assert text == (
        "Stones\n\nSome old and hard stones and code.\n\nA quote\n\nx = [1](2)  # kept\n\na picture\n\nEnd."
    )
    assert "kept" not in extract_markdown(source, keep_code=False)[0]
    assert extract_markdown("snake_case_name and 2 * 3 * 4")[0] == "snake_case_name and 2 * 3 * 4"


def test_latex_becomes_running_text() -> None:
    source = r"""\documentclass{article}\title{On \emph{Sums}}\author{A. Adder}
\begin{document}\maketitle % a comment with \commands
\section{Start} We \textbf{add $a_1 + \frac{1}{2}$} as in~\cite{x} by G\"odel, 50\% of it.

\begin{itemize}\item one \item[b] two\end{itemize}
\begin{equation}x = \sum_i y_i\end{equation}
\begin{figure}\includegraphics{p}\caption{gone}\end{figure}
``Quoted'' --- done.\end{document} after"""
    text, metadata = extract_latex(source)
    assert metadata == {"title": "On Sums", "author": "A. Adder"}
    assert r"We add $a_1 + \frac{1}{2}$ as in by Gödel, 50% of it." in " ".join(text.split())
    assert "- one" in text and "- b two" in text and r"\sum_i y_i" in text and "“Quoted” — done." in text
    assert not any(word in text for word in ("gone", "comment", "after", "documentclass", "{itemize}"))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (r"\newcommand{\lamp}{oil \emph{lamp}}A \lamp{} and \lamp, \lamp s.", "A oil lamp and oil lamp, oil lamps."),
        (r"\def\x{\y}\newcommand\y{deep}\x\newcommand{\two}[2]{#1} \two{a}{b}", "deep ab"),
        (r"\renewcommand{\x}{\x\x}[\x]", "[]"),
        (r"Text\footnote{A note with {groups}, \emph{marks}.} goes on.", "Text (A note with groups, marks.) goes on."),
        (r"\href{http://a.b/{x}}{the page} \url{http://c.d} \cite[p.~3]{x,{y}}end", "the page http://c.d end"),
        ("a % comment\n  b\\% c\n\nd", "a b% c\nd"),
        ("\\section*{One {two}}First.\n\\begin{verbatim}\n  x = {1} % no comment\n\n y\n\\end{verbatim}\nLast", None),
        (r"na\"ive \c{c}a \v{s} \'{\i} \~n \aa{} \o r \ss{}e \H{o}", "naïve ça š í ñ å ør ße ő"),
        ("$a\n\n\\emph{b} costs 5\\$ and $x_{1}$ \\(y\\) \\[z\\]", "$a\nb costs 5$ and $x_{1}$ \\(y\\) \\[z\\]"),
        (r"\begin{align*}a &= b \\ c\end{align*} {unclosed \textbf{bold", None),
        (r"\verb|a{b}\c| `it' ``x'' 1--2~3", "a{b}\\c ‘it' “x” 1–2 3"),
    ],
)  # fmt: skip
def test_latex_commands_are_undone(source: str, wanted: str | None) -> None:
    text = extract_latex(source)[0]
    if wanted is not None:
        assert text == wanted
    elif "verbatim" in source:
        assert text == "One two\nFirst.\n  x = {1} % no comment\n\n y\nLast"
    else:
        assert text == r"\begin{align*}a &= b \\ c\end{align*} unclosed bold"


@pytest.mark.parametrize(
    "piece",
    [
        r"\begin{figure}",
        r"\footnote{",
        "{",
        "$",
        "$$",
        r"\[",
        r"\cite{",
        r"\begin{equation}",
        "[",
        r"\item[",
        "\\",
        "%",
    ],
)
def test_latex_without_ends_takes_linear_time(piece: str) -> None:
    extract_latex(piece * 10)
    start = time.process_time()
    extract_latex(piece * 200_000)
    assert time.process_time() - start < 10


def test_latex_macros_are_put_in_only_so_often() -> None:
    names = ["\\l" + letter for letter in "abcdefghijklm"]
    laughs = "".join(f"\\newcommand{{{name}}}{{{(below + ' ') * 10}}}" for name, below in pairwise(names))
    start = time.process_time()
    assert len(extract_latex(laughs + "\\la done")[0]) < 10**7
    assert time.process_time() - start < 10


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="\\{}[]$%~`'- \nab*", max_size=60))
def test_latex_reads_anything(source: str) -> None:
    assert isinstance(extract_latex(source)[0], str)


def test_licences_of_code() -> None:
    assert licence_of_text("# SPDX-License-Identifier: (MIT OR Apache-2.0)\nx = 1") == "MIT OR Apache-2.0"
    assert (
        licence_of_text("/* Permission is hereby granted, free\n * of charge, to any person obtaining a copy") == "MIT"
    )
    assert licence_of_text("GNU General Public License as published; either version 3 of it") == "GPL-3.0"
    assert licence_of_text("Redistribution and use in source and binary forms ... Neither the name") == "BSD-3-Clause"
    assert licence_of_text("print(1)") == ""
    assert is_permissive("GPL-2.0 OR MIT") and not is_permissive("GPL-3.0") and not is_permissive("")


def test_code_knows_its_licence(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004")
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("# SPDX-License-Identifier: MIT\nx = 1")
    found = {d.id: d.metadata.get("licence") for d in read_documents(tmp_path)}
    assert found == {"LICENSE": None, "a.py": "Apache-2.0", "b.py": "MIT"}


def test_code_has_the_licence_of_the_nearest_folder(tmp_path: Path) -> None:
    root, deep = tmp_path / "root", tmp_path / "root" / "lib" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "COPYING").write_text("GNU General Public License")  # above what is read: it says nothing
    (root / "LICENSE.txt").write_text("Apache License\nVersion 2.0, January 2004")
    (root / "lib" / "COPYING").write_text(
        "Permission is hereby granted, free of charge, to any person obtaining a copy"
    )
    for folder in (root, root / "lib", deep):
        (folder / "a.py").write_text("x = 1")
    found = {d.id: d.metadata.get("licence") for d in read_documents(root)}
    assert {found["a.py"], found["lib/a.py"], found["lib/deep/a.py"]} == {"Apache-2.0", "MIT"}
    assert found["lib/deep/a.py"] == found["lib/a.py"] == "MIT"
    (root / "LICENSE.txt").unlink()
    (alone,) = read_documents(deep)
    assert "licence" not in alone.metadata


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_packed_files_are_unpacked_or_named_as_broken(tmp_path: Path, ending: str) -> None:
    data = b'{"text": "one"}\n{"text": "two"}\n'
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    }
    path = tmp_path / f"rows.jsonl{ending}"
    path.write_bytes(pack[ending](data))
    assert [d.text for d in read_documents(path)] == ["one", "two"]
    path.write_bytes(pack[ending](data)[:-12])
    report = ReadReport()
    with suppress(DataError):  # where nothing could be read before the tear
        list(read_documents(path, report=report))
    assert report.num_skipped == 1


def test_tables_give_a_document_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id;text\n1;"a quoted\nline; with more"\n2;\n3;last\n')
    (tmp_path / "b.tsv").write_text("text\tn\nfirst\t1\n")
    pq.write_table(pa.table({"text": ["p", None, "q"], "n": [1, 2, 3]}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 no more")
    report = ReadReport()
    found = {d.id: d.text for d in read_documents(tmp_path, report=report)}
    assert found == {
        "a.csv:2": "a quoted\nline; with more", "a.csv:4": "last", "b.tsv:2": "first", "c.parquet:0": "p",
        "c.parquet:2": "q",
    }  # fmt: skip
    assert report.skipped == {"empty": 2, "broken Parquet": 1}
    with pytest.raises(DataError, match="no column 'body'"):
        list(read_documents(tmp_path / "a.csv", text_column="body"))


def rows_of_csv(path: Path, **options: Any) -> tuple[dict[str, str], dict[str, int]]:
    report = ReadReport()
    return {d.id.partition(":")[2]: d.text for d in read_documents(path, report=report, **options)}, report.skipped


CELL = st.text(alphabet='ab ,;|\t"\n\r\x0b\x0c\x1c\x85\u2028é', min_size=1, max_size=12).filter(str.strip)
CELLS = st.lists(CELL, min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(CELLS, st.sampled_from(",;|\t"))
def test_csv_rows_are_those_of_the_writer(cells: list[str], delimiter: str) -> None:
    """Also cells with what `str.splitlines` takes for the end of a line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["id", "text", "other, or; not"])
            writer.writerows([number, cell, "x;y,z|w"] for number, cell in enumerate(cells))
        found, skipped = rows_of_csv(path)
    assert list(found.values()) == cells and not skipped


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_csv_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("text;n\nein schöner Größenvergleich;1\nüber Äcker;2\n", encoding=encoding)
    assert rows_of_csv(tmp_path / "a.csv")[0] == {"2": "ein schöner Größenvergleich", "3": "über Äcker"}


def test_csv_names_broken_rows_and_reads_the_others(tmp_path: Path) -> None:
    rows = ["id,text", "1,first", '2,"' + "x" * 3000 + '"', "3,third", "4", "", "5," + "y" * 9000, "6,\0last"]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    found, skipped = rows_of_csv(tmp_path / "a.csv", max_bytes=2000)
    assert found == {"2": "first", "4": "third", "8": "\0last"}
    assert skipped == {"too large": 2, "empty": 1}


def test_csv_with_backslashes_before_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,"she said \\"no\\", twice"\n2,plain\n')
    assert list(rows_of_csv(tmp_path / "a.csv")[0].values()) == ['she said "no", twice', "plain"]


def warc(*bodies: bytes) -> bytes:
    records = []
    for number, body in enumerate(bodies):
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n" + body
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number:032d}>\r\n"
            f"WARC-Target-URI: http://a.b/{number}\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
        )
        records.append(head.encode() + http + b"\r\n\r\n")
    return b"".join(records)


PAGE = "<html><body><article><p>{}</p></article></body></html>"


def test_responses_of_an_archive_are_documents(tmp_path: Path) -> None:
    pages = [PAGE.format("Das ist ein schöner Satz, der lang genug ist, um Text zu sein. " * 6).encode("latin-1")] * 2
    (tmp_path / "a.warc").write_bytes(warc(*pages))
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(warc(pages[0])))
    found = list(read_documents(tmp_path))
    assert [d.id.split("#")[0] for d in found] == ["a.warc", "a.warc", "b.warc.gz"]
    assert all("schöner Satz" in d.text for d in found) and found[0].metadata["url"] == "http://a.b/0"
    report = ReadReport()
    with pytest.raises(DataError):
        list(read_documents(tmp_path, report=report, max_bytes=50))
    assert report.skipped == {"too large": 3}


def test_real_archives_are_survived(shared_data: Callable[[str], Path]) -> None:
    report = ReadReport()
    found = list(read_documents(shared_data("warc"), report=report))
    assert len(found) >= 35 and report.skipped["broken record"] >= 1
    assert {"example.arc", "example.arc.gz", "example.warc.gz"} <= {d.id.split("#")[0].split("/")[-1] for d in found}


def test_torn_and_mutated_files_never_crash(tmp_path: Path) -> None:
    rng = random.Random(0)
    page = PAGE.format("Some text that is long enough to be kept as the main text of it. " * 5).encode()
    seeds = {"w.warc": warc(page, page), "e.epub": epub(), "d.docx": docx(), "j.jsonl": b'{"text": "a"}\n' * 5}
    seeds["a.arc"] = b"http://a.b/ 1.2.3.4 20240102030405 text/html %d\n%s\n" % (len(page), page)
    for name, data in seeds.items():
        for _ in range(40):
            torn = bytearray(data[: rng.randrange(1, len(data) + 1)])
            for _ in range(rng.randrange(6)):
                torn[rng.randrange(len(torn))] = rng.randrange(256)
            path = tmp_path / name
            path.write_bytes(torn)
            with suppress(DataError):  # one clear error is the other answer that is allowed
                assert all(isinstance(document, Document) for document in read_documents(path))


def test_reading_and_extracting_are_apart(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("grün".encode())
    skipped: list[tuple[str, str]] = []
    records = list(raw_records(tmp_path / "a.txt", "a.txt", "text", 100, lambda *what: skipped.append(what)))
    assert records == [RawRecord("a.txt", "grün".encode(), "", "", {"path": "a.txt"})] and not skipped
    assert extract(records[0], "s") == extract(records[0], "s")
    assert extract(records[0], "s").text == "grün"
    wrong = RawRecord("b", "grün".encode(), "text/plain", "utf-16", {})
    assert extract(wrong, "s").text == "grün"  # a charset that is declared wrongly
    assert extract(RawRecord("x", epub(), "application/zip"), "s").metadata["format"] == "epub"
