"""The Markdown of a page, read back by a parser of Markdown."""

import gzip
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from octad_data import extract_html
from octad_data.html_blocks import find_blocks
from octad_data.html_scan import scan
from octad_data.html_text import LineTexts
from octad_data.html_write import Style, write

PARSER = MarkdownIt("commonmark").enable("table")


def rendered(page: str, markdown: bool = True) -> str:
    """Every line of a page, whatever the model thinks of it."""
    data = np.frombuffer(page.encode(), dtype=np.uint8)
    tree = scan(data)
    blocks = find_blocks(data, tree)
    texts = LineTexts(data.tobytes(), tree, blocks)
    return write(texts, tree, blocks, list(range(len(blocks.node))), Style(markdown=markdown))


def tree_of(markdown: str):
    """Lists as [kind, start, items], items as lists of texts and lists."""
    stack: list[list] = [[]]
    for token in PARSER.parse(markdown):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            stack.append(["ul" if token.type[0] == "b" else "ol", token.attrGet("start") or 1, []])
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            closed = stack.pop()
            stack[-1].append(closed)
        elif token.type == "list_item_open":
            stack.append([])
        elif token.type == "list_item_close":
            item = stack.pop()
            stack[-1][2].append(item)
        elif token.type == "inline":
            stack[-1].append(token.content)
    return stack[0]


WORDS = st.lists(st.sampled_from(["lamp", "oil", "wick", "boat", "12"]), min_size=1, max_size=3).map(" ".join)


def list_values(inner):
    items = st.lists(st.tuples(WORDS, inner), min_size=1, max_size=3)
    return st.one_of(
        items.map(lambda items: ["ul", 1, [[text, *lists] for text, lists in items]]),
        st.tuples(st.integers(1, 99), items).map(lambda x: ["ol", x[0], [[text, *lists] for text, lists in x[1]]]),
    )


LISTS = st.recursive(
    list_values(st.just([])), lambda lists: list_values(st.one_of(st.just([]), lists.map(lambda x: [x]))), max_leaves=6
)


def html_of(value) -> str:
    kind, start, items = value
    head = f'<ol start="{start}">' if kind == "ol" else "<ul>"
    inner = "".join(f"<li>{text}{''.join(map(html_of, lists))}</li>" for text, *lists in items)
    return f"{head}{inner}</{kind}>"


@settings(max_examples=80, deadline=None)
@given(LISTS)
def test_nested_lists_read_back_as_they_were(value):
    page = f"<body><p>Before it.</p>{html_of(value)}<p>After it.</p></body>"
    assert tree_of(rendered(page)) == ["Before it.", value, "After it."]


CELLS = st.one_of(st.just(""), st.sampled_from(["May", "12", "a | b", "x \\ y", "two words", "*"]))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_tables_read_back_with_every_cell_in_its_column(rows):
    rows = [["head", *["name"] * (len(rows[0]) - 1)], *rows, ["last", *["end"] * (len(rows[0]) - 1)]]
    page = "<table>" + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows) + "</table>"
    read: list[list[str]] = []
    for token in PARSER.parse(rendered(page)):
        if token.type == "tr_open":
            read.append([])
        elif token.type == "inline":
            read[-1].append("".join(child.content for child in token.children))
    assert read == [row for row in rows if any(row)]


def test_cells_over_several_columns_and_rows_keep_the_others_in_place():
    page = (
        "<table><tr><th rowspan=2>Port<th colspan=2>Boats</tr><tr><th>in<th>out</tr>"
        "<tr><td rowspan=99999999999>Hull<td>1<td>2</tr><tr><td>3<td colspan=9000000000000000>4</tr></table>"
    )
    assert rendered(page).split("\n") == [
        "| Port | Boats |  |",
        "| --- | --- | --- |",
        "|  | in | out |",
        "| Hull | 1 | 2 |",
        "|  | 3 | 4 |",
    ]


def test_columns_that_are_empty_at_the_end_are_left_out_and_no_others():
    page = (
        "<table><tr><th>M<th>D<th>W<th>S</tr><tr><td colspan=2>&nbsp;<td>1<td></tr><tr><td>6<td>7<td><td></tr></table>"
        "<p>x</p><table><tr><td>a<td><td>c<td><td></tr><tr><td>d<td>e<td><td><td></tr></table>"
    )
    assert rendered(page).split("\n") == [
        "| M | D | W | S |", "| --- | --- | --- | --- |", "|  |  | 1 |  |", "| 6 | 7 |  |  |", "", "x", "",
        "| a |  | c |", "| --- | --- | --- |", "| d | e |  |",
    ]  # fmt: skip


def test_code_keeps_its_lines_and_names_its_language():
    code = "def f(x):\n    return `x`\n\n# ``` is a fence"
    for inside in (
        f'<pre><code class="hljs language-Python">{code}</code></pre>',
        f'<pre class="brush: python">{code}</pre>',
        f'<div class="highlight-source-python"><pre>{code}</pre></div>',
    ):
        (fence,) = (token for token in PARSER.parse(rendered(f"<p>Text.</p>{inside}")) if token.type == "fence")
        assert fence.info == "python" and fence.content == code + "\n"
    in_item = PARSER.parse(rendered(f"<ul><li>item<pre>{code}</pre></ul>"))
    assert [token.content for token in in_item if token.type == "fence"] == [code + "\n"]


def test_code_keeps_the_indentation_that_stands_in_an_element_of_its_own():
    page = "<p>Text.</p>  <pre><span>    </span><span>return</span> x\n    <b> </b>y</pre>  <p> <i>More.</i>"
    assert rendered(page, markdown=False) == "Text.\n    return x\n     y\nMore."


@pytest.mark.parametrize(
    "text", ["# no heading", "- no item", "* no item", "1. no item", "12) none", "> none", "--- ", "| a |", "```", "=="]
)
def test_text_that_looks_like_a_marker_stays_text(text):
    tokens = PARSER.parse(rendered(f"<p>Some words<br>{text}</p><p>{text}</p>"))
    assert {token.type for token in tokens} == {"paragraph_open", "inline", "paragraph_close"}
    contents = ["".join(child.content or "\n" for child in token.children) for token in tokens if token.children]
    assert contents == [f"Some words\n{text.strip()}", text.strip()]


def test_quotations_headings_and_meanings():
    page = (
        "<h2>Of <i>lamps</i></h2><blockquote><p>Dark.</p><ul><li>cold</ul><blockquote>Deep</blockquote></blockquote>"
        "<dl><dt>Wick<dd>What burns.</dl>"
    )
    assert rendered(page) == "## Of lamps\n\n> Dark.\n>\n> - cold\n>\n> > Deep\n\nWick\n\n: What burns."


@pytest.mark.parametrize(
    "page",
    [
        "<ol><li>a" * 20_000,
        "<table><tr><td>a<td>b<tr><td>c<td>" * 6_000,
        "<blockquote>" * 30_000 + "a",
        "<table>" + "<tr>" + "<td colspan=9999999999>a" * 3_000 + "<tr><td>a<td>b</table>",
        "<pre>a<b>b</b>" * 5_000,
    ],
    ids=["lists", "tables", "quotations", "columns", "code"],
)
def test_nested_bombs_take_linear_time(page):
    extract_html("<p>compile</p>", markdown=True)
    start = time.process_time()
    text = extract_html(page, markdown=True)
    assert time.process_time() - start < 8 and len(text) < 20 * len(page)


def test_markdown_of_real_pages_has_the_lines_of_their_text(shared_data):
    folder = shared_data("html")
    files = [page["file"] for page in json.loads((folder / "segments.json").read_text(encoding="utf-8")).values()]
    tables = 0
    for file in files[::20]:
        page = gzip.decompress((folder / "pages" / f"{file}.gz").read_bytes())
        markdown = extract_html(page, markdown=True)
        tokens = PARSER.parse(markdown)
        tables += sum(token.type == "table_open" for token in tokens)
        shown = " ".join(token.content for token in tokens if token.type in ("inline", "fence", "code_block"))
        plain = extract_html(page, headings=True)
        words = [set("".join(c if c.isalnum() else " " for c in text).split()) for text in (shown, plain)]
        assert len(words[0] ^ words[1]) <= 0.02 * len(words[1]) + 2, file
    assert tables > 0
