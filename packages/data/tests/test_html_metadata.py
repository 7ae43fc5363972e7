import json

import pytest
from octad_data.html import extract_page
from octad_data.html_metadata import attributes, iso_date

TEXT = "<p>He counted the boats, one after the other, and wrote their names into his book.</p>" * 4


def page(head: str = "", body: str = "") -> str:
    return f"<html lang=en-GB><head>{head}</head><body>{body}{TEXT}</body></html>"


def test_metadata_reads_meta_tags():
    found = extract_page(
        page(
            '<title>The keeper | Harbour News</title><meta property="og:title" content="The keeper | Harbour News">'
            "<meta property='og:site_name' content='Harbour News'><META NAME=Author CONTENT='By Ann Lee'>"
            '<link rel="canonical" href="https://x.org/keeper"><meta name="description" content="A &amp; B">'
            '<meta property="article:published_time" content="2021-03-04T10:00:00+01:00">'
        )
    )
    assert (found.title, found.author, found.date, found.language) == ("The keeper", "Ann Lee", "2021-03-04", "en-GB")
    assert (found.url, found.site, found.description) == ("https://x.org/keeper", "Harbour News", "A & B")


@pytest.mark.parametrize("graph", [False, True])
def test_metadata_reads_json_ld(graph):
    item = {
        "@type": ["NewsArticle"], "headline": "The &quot;keeper&quot;", "datePublished": "2020-01-31",
        "author": [{"@type": "Person", "name": "Ann Lee"}, {"name": "Bo Ek"}], "publisher": {"name": "Harbour News"},
    }  # fmt: skip
    script = json.dumps({"@graph": [{"@type": "WebSite", "name": "x"}, item]} if graph else item)
    found = extract_page(page(f'<script type="application/ld+json">{script}</script>'))
    assert (found.title, found.author, found.date, found.site) == (
        'The "keeper"', "Ann Lee; Bo Ek", "2020-01-31", "Harbour News",
    )  # fmt: skip


def test_metadata_survives_broken_json_ld():
    broken = "".join(
        f'<script type="application/ld+json">{text}</script>'
        for text in (
            "{",
            "null",
            "[[1], 2]",
            '{"@type": 3, "author": 4}',
            '{"@type": "Article", "author": {"name": []}}',
        )
    )
    assert extract_page(page(broken + "<title>The keeper</title>")).title == "The keeper"


def test_metadata_falls_back_on_what_readers_see():
    found = extract_page(
        page("", "<h1>The keeper</h1><div class=byline>By <a href=x>Ann Lee</a> | 4 March 2021, 10:00</div>")
    )
    assert (found.title, found.author, found.date) == ("The keeper", "Ann Lee", "2021-03-04")
    found = extract_page(page("", "<h1>The keeper</h1><time datetime='2019-12-01T00:00'>yesterday</time>"))
    assert found.date == "2019-12-01"
    found = extract_page(page('<link rel=canonical href="https://x.org/2018/07/09/keeper">'))
    assert found.date == "2018-07-09"
    assert extract_page(page()).author == extract_page(page()).date == ""


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2021-03-04T10:00:00Z", "2021-03-04"), ("2021/3/4", "2021-03-04"), ("20210304", "2021-03-04"),
        ("04.03.2021, 10:00 Uhr", "2021-03-04"), ("4. März 2021", "2021-03-04"), ("March 4th, 2021", "2021-03-04"),
        ("Thu, 04 Mar 2021 10:00:00 GMT", "2021-03-04"), ("4 de marzo de 2021", "2021-03-04"),
        ("2021年3月4日", "2021-03-04"), ("31/12/2020", "2020-12-31"), ("12/31/2020", "2020-12-31"),
        ("4 marca 2021", "2021-03-04"), ("le 1er août 2019", "2019-08-01"), ("2021-02-30", ""), ("1000", ""), ("", ""),
        ("99999999999999999999", ""), ("3021-01-01", ""), (None, ""),
    ],
)  # fmt: skip
def test_dates_are_read_however_they_are_written(written, day):
    assert iso_date(written) == day


def test_attributes_are_read_however_they_are_written():
    assert attributes(b"<a HREF='x y' b=c d e = \"f &amp; g\" b=h") == {"href": "x y", "b": "c", "d": "", "e": "f & g"}
