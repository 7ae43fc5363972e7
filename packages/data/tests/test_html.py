import gzip
import json

import pytest
from octad_data import extract_html, read_documents

PARAGRAPH = "The old lighthouse keeper walked down to the harbour each morning and counted the boats that had come in. "
PAGE = f"""<html><head><title>Harbour news</title><script>var hidden = 1;</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<article><h1>The keeper</h1><p>{PARAGRAPH * 3}</p><p>Grüße &amp; {PARAGRAPH * 2}</p></article>
<footer>Imprint and cookies</footer></body></html>"""


def test_html_keeps_the_article_only():
    text = extract_html(PAGE)
    assert PARAGRAPH.strip() in text and "Grüße & The old" in text
    for unwanted in ("hidden", "About us", "cookies", "<p>", "&amp;"):
        assert unwanted not in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_html_decodes_bytes(encoding):
    assert extract_html(PAGE.encode(encoding)) == extract_html(PAGE)


def test_html_falls_back_on_small_pages():
    assert extract_html("<p>Closed on Sunday.</p>") == "Closed on Sunday."
    assert extract_html("") == extract_html("<html></html>") == extract_html("<script>x</script>") == ""


def test_html_files_are_documents(tmp_path):
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    (document,) = read_documents(tmp_path)
    assert document.text == extract_html(PAGE)
    assert document.metadata == {"path": "page.html", "format": "html", "encoding": "utf-8"}


def test_html_finds_the_marked_segments_of_real_pages(shared_data):
    """Pages of trafilatura's own benchmark: each has segments that belong to the text and some that do not."""
    folder = shared_data("html")
    marked = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
    found = wanted = kept = unwanted = 0
    for page in list(marked.values())[::20]:
        path = folder / "pages" / f"{page['file']}.gz"
        if not path.exists():
            continue
        text = extract_html(gzip.decompress(path.read_bytes()))
        wanted, unwanted = wanted + len(page["with"]), unwanted + len(page["without"])
        found += sum(segment in text for segment in page["with"])
        kept += sum(segment in text for segment in page["without"])
    assert wanted > 30
    assert found / wanted > 0.85 and kept / unwanted < 0.15  # published: recall .94, precision .93 on all of them
