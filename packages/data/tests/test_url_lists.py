import gzip
import time

import pytest
from octad_data import Document
from octad_data.errors import DataError
from octad_data.list_files import domain_of_line, read_lines
from octad_data.step import to_batch
from octad_data.url_lists import UrlList, UrlMatcher, host_of


@pytest.mark.parametrize(
    ("line", "domain"),
    [
        ("example.com", "example.com"),
        ("  Example.COM.  ", "example.com"),
        ("*.example.com", "example.com"),
        (".example.com", "example.com"),
        ("0.0.0.0 ads.example.com # tracker", "ads.example.com"),
        ("127.0.0.1\tads.example.com", "ads.example.com"),
        ("127.0.0.1 localhost", ""),
        ("||ads.example.com^", "ads.example.com"),
        ("||ads.example.com^$third-party", "ads.example.com"),
        ("||ads.example.com^$domain=other.org", ""),
        ("||ads.example.com/banner", ""),
        ("@@||good.example.com^", ""),
        ("example.com##.banner", ""),
        ("! comment", ""),
        ("# comment", ""),
        ("https://user:pw@example.com:8080/path", "example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("two words here", ""),
    ],
)
def test_domain_of_line(line: str, domain: str) -> None:
    assert domain_of_line(line.strip()) == domain


def test_a_domain_holds_all_below_it_and_nothing_beside_it() -> None:
    matcher = UrlMatcher(["example.com", "co.uk", "a.b.org"])
    met = {
        "http://example.com": "example.com",
        "https://WWW.Example.com:443/x?y=http://other.org": "example.com",
        "//example.com/x": "example.com",
        "http://user@example.com#z": "example.com",
        "http://notexample.com": "",
        "http://example.com.evil.org": "",
        "http://evil.org/example.com": "",
        "http://b.org": "",
        "http://x.a.b.org.": "a.b.org",
        "http://bbc.co.uk/": "co.uk",
        "http://other.org\\@example.com/": "",
        "": "",
        "no url": "",
    }
    assert {url: matcher.find(url) for url in met} == met


def test_parts_words_and_patterns() -> None:
    assert UrlMatcher(["/ads/", "C++"], "substrings").find("http://a.org/Ads/1") == "/ads/"
    assert UrlMatcher(["c++"], "substrings").find("http://a.org/c%2B%2B") == "c++"
    assert UrlMatcher(["sex"], "words").find("http://a.org/essex-sussex") == ""
    assert UrlMatcher(["sex"], "words").find("http://a.org/Sex.html") == "sex"
    assert UrlMatcher([r"casino\d+", "^http://x"], "patterns").find("http://a.org/Casino42") == "casino42"
    for wrong in ("(a+)+$", "(a|b*)*", "(unclosed", r"(a)\1"):
        with pytest.raises(DataError, match="pattern"):
            UrlMatcher([wrong], "patterns")
    started = time.perf_counter()
    UrlMatcher([r"a.*b.*c"], "patterns").find("http://" + "ab" * 100_000)
    assert time.perf_counter() - started < 1  # only the first 2,048 characters are looked at


def test_lists_are_read_in_any_encoding_and_packed(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffbücher.de\r\n# x\r\n".encode("utf-16"))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"a.org\nb.org\n"))
    (tmp_path / "c.txt.gz").write_bytes(b"not gzip")
    assert read_lines(tmp_path / "a.txt")[0] == "bücher.de"
    assert read_lines(tmp_path / "b.txt.gz") == ["a.org", "b.org"]
    for name in ("c.txt.gz", "missing.txt"):
        with pytest.raises(DataError, match=f"not readable: .*{name}"):
            read_lines(tmp_path / name)


def test_url_step_drops_by_metadata_or_column(tmp_path) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text("bad.org\n")
    urls = ["http://www.bad.org/x", "http://good.org", None]
    rows = [Document("t", str(i), "s", metadata={"url": url} if url else {}) for i, url in enumerate(urls)]
    out = UrlList(str(path))(to_batch(rows))
    assert out.column("url_list_blocked").to_pylist() == ["bad.org", None, None]
    assert out.column("dropped_by").to_pylist() == ["url_list.blocked", None, None]
    kept = UrlList(str(path), keep_only=True, name="only")(to_batch(rows))
    assert kept.column("dropped_by").to_pylist() == [None, "url_list.only", "url_list.only"]
    assert UrlList(str(path), column="source")(to_batch(rows)).column("dropped_by").null_count == 3
    with pytest.raises(DataError, match="column='address'"):
        UrlList(str(path), column="address")(to_batch(rows))
    with pytest.raises(DataError, match="no domains"):
        path.write_text("# nothing\n")
        UrlList(str(path))(to_batch(rows))
    assert UrlList(str(path), entries="words") and host_of("mailto:x") == ""
