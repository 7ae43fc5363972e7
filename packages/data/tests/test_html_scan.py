from html.parser import HTMLParser

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.html_blocks import COUNTS, Blocks, find_blocks
from octad_data.html_scan import CLOSE, NAMES, TAG, TEXT, VOID, Scan, scan, tag_tables
from octad_data.html_text import LineTexts


def scanned(page: str) -> tuple[np.ndarray, Scan]:
    data = np.frombuffer(page.encode(), dtype=np.uint8)
    return data, scan(data)


def outline(page: str) -> str:
    """The tree as text: `p(a(x))`, with the text of each element in its place."""
    data, tree = scanned(page)
    out = []
    for event, begin, end in zip(tree.event.tolist(), tree.begin.tolist(), tree.end.tolist(), strict=True):
        if event == TEXT:
            out.append(data[begin:end].tobytes().decode().strip())
        else:
            out.append(")" if event == CLOSE else f" {NAMES[tree.tag[event]]}(")
    return "".join(out).replace(" (", "(").strip()[1:-1].strip()


def blocks_of(page: str, title: str = "", description: str = "") -> tuple[list[str], Blocks]:
    data, tree = scanned(page)
    blocks = find_blocks(data, tree, title, description)
    return list(map(LineTexts(data.tobytes(), tree, blocks), range(len(blocks.node)))), blocks


def test_scan_builds_the_tree_of_a_browser():
    cases = {
        "<p>a<p>b": "p(a) p(b)",
        "<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e": "ul( li(a) li(b ul( li(c))) li(d))e",
        "<table><tr><td>a<td>b<tr><td>c</table>d": "table( tr( td(a) td(b)) tr( td(c)))d",
        "<p>a<div>b</div>c": "p(a) div(b)c",
        "<dl><dt>a<dd>b<dt>c</dl>": "dl( dt(a) dd(b) dt(c))",
        "<b>a<p>b</b>c</p>": "b(a p(bc))",
        "<div>a</span>b</div>c": "div(ab)c",
        "<td></p>a": "td(a)",
        "<table><tr><td><div>a</td></tr></table>b": "table( tr( td( div(a))))b",
        "<p>a<br>b<img src=x>c": "p(a br()b img()c)",
        "<script>a<b></script>c": "script(a<b>)c",
        "<script>a</scripty></script>c": "script(a</scripty>)c",
        "<title>a<b</title>c": "title(a<b)c",
        "a < b <c>d": "a < b(d)",
        "a<!-- <p> -->b<!x>c<?y>d</>e": "abcde",
        "<a href='x>y' title=\"<b>\">z</a>": "a(z)",
        "<a href=\"x>y</a>z": "a(y)z",
        "<P CLASS=x>A</P>": "p(A)",
        "<select><option>a<option>b</select>": "select( option(a) option(b))",
        "<textarea>a<p>b": "textarea()a p(b)",
        "": "",
    }  # fmt: skip
    for page, expected in cases.items():
        assert outline(page) == expected, page


names = st.sampled_from(["div", "section", "span", "b", "article", "blockquote"])
trees = st.recursive(
    st.text("ab ü,.", min_size=1, max_size=5),
    lambda inner: st.builds(lambda n, c: f"<{n} class='x y'>{''.join(c)}</{n}>", names, st.lists(inner, max_size=4)),
    max_leaves=20,
)


class Reference(HTMLParser):
    """Tags and parents of a page whose tags are all closed, in the order of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.found = [0], [("", -1)]
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, self.open[-1]))
        self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag):
        self.open.pop()


@settings(max_examples=100, deadline=None)
@given(trees)
def test_scan_matches_the_standard_library_on_closed_tags(page):
    _, tree = scanned(page)
    assert [(NAMES[t], p) for t, p in zip(tree.tag, tree.parent, strict=True)] == Reference(page).found


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<td>", "<li>", "</ul>", "<b>", "</b>", "<div>", "x", "<!--", "<a b='"]))
)
def test_scan_closes_what_it_opens(parts):
    _, tree = scanned("".join(parts))
    depth = np.cumsum([0 if event == TEXT else -1 if event == CLOSE else 1 for event in tree.event])
    assert depth[-1] == 0 and (depth >= 0).all()
    assert all(parent < node < tree.last[node] for node, parent in enumerate(tree.parent.tolist()))


def test_scan_finds_the_elements_of_real_pages(shared_data):
    """Nine of ten pages have as many elements as in a parser that follows the standard, within 2 %."""
    import gzip

    import pytest

    parser = pytest.importorskip("resiliparse.parse.html")
    ratios = []
    for path in sorted((shared_data("html") / "pages").glob("*.gz"))[::20]:
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        theirs = len(parser.HTMLTree.parse(text).document.query_selector_all("*"))
        ratios.append((len(scanned(text)[1].tag) - 1) / theirs)
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.02) > 0.9


def test_tag_names_have_hashes_of_their_own():
    (hashes, codes), properties, _ = tag_tables()
    assert len(set(hashes.tolist())) == len(NAMES) and (np.diff(hashes) > 0).all()
    assert properties[TAG["br"]] & VOID and codes[np.argsort(codes)].tolist() == list(range(len(NAMES)))


def test_blocks_break_lines_as_a_page_does():
    page = "<h1>A <b>b</b></h1><p>c <a href=x>d</a>e<br>f<br><br>g</p>h<div>i<script>j</script>k<ul><li>l<li> <li>m"
    assert blocks_of(page)[0] == ["A b", "c de f", "g", "h", "ik", "l", "m"]
    assert blocks_of("x &amp; y&nbsp;z &lt;p&gt;")[0] == ["x & y z <p>"]


def test_blocks_count_what_is_in_a_line():
    page = "<p>He said, <b>loudly</b>: &quot;Come to <a href=x>the Bay 12</a>!&quot; <i>then</i> left. Ümit 漢字、 a@b"
    _, blocks = blocks_of(page, "The Bay", "loudly he left")
    counts = dict(zip(COUNTS, blocks.counts[0].tolist(), strict=True))
    assert counts["linked"] == len("theBay12") and counts["links"] == 1 and counts["digits"] == 2
    assert counts["bold"] == len("loudly") and counts["italic"] == len("then")
    assert counts["commas"] == 2 and counts["titled"] == 2 and counts["described"] == 3
    assert counts["begins"] == 1 and counts["closed"] == 0 and counts["addresses"] == 1
    text = 'Hesaid,loudly:"CometotheBay12!"thenleft.Ümit、a@b'
    assert counts["weight"] == len(text) + 2 * 2.5
    _, other = blocks_of("<p>x</p><img src=y><p>Photo: z<p>Is it so?")
    assert other.counts[:, COUNTS.index("pictures")].tolist() == [0, 1, 0]
    assert other.counts[:, COUNTS.index("closed")].tolist() == [0, 0, 1]


@settings(max_examples=100, deadline=None)
@given(st.text("abcXYZ ,.\n", max_size=40), st.text("äß 1é", max_size=10))
def test_blocks_weigh_characters_and_count_words(first, second):
    texts, blocks = blocks_of(f"<p>{first}<b>{second}</b></p>")
    whole = (first + second).split()
    assert texts == ([" ".join(whole)] if whole else [])
    if whole:
        assert blocks.counts[0, 0] == sum(map(len, whole)) and blocks.counts[0, 1] == len(whole)


def test_blocks_know_lines_that_are_the_same():
    _, blocks = blocks_of("<p>The same line</p><div>The same <b>line</b></div><p>another line</p>")
    assert blocks.digest[0] == blocks.digest[1] != blocks.digest[2]
