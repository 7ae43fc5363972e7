"""Title, author, date and the like, from what a page says about itself: meta tags, JSON-LD, `<time>`, headings."""

import email.utils
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html import unescape
from typing import Any

import numpy as np

from octad_data.html_scan import NAMES, TAG, Scan

ATTRIBUTE = re.compile(rb"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>`]+)))?""")
MAX_VALUE = 2000  # characters of a title or name that are read
MAX_JSON = 1 << 20  # bytes of a JSON-LD script
MAX_SCRIPTS = 20
MAX_ELEMENTS = 300  # of a name
MAX_SEARCHED = 500_000  # bytes of a page in which an author is looked for
AUTHOR_MARKS = (b'itemprop="author"', b'rel="author"', b"itemprop='author'", b"rel='author'", b"rel=author")
READ = ("html", "title", "meta", "link", "script", "time", "h1")
MAX_ITEMS = 2000  # objects of JSON-LD that are looked at

TITLES = ("og:title", "twitter:title", "dc.title", "dcterms.title", "citation_title", "headline", "title")
AUTHORS = (
    "author", "article:author_name", "dc.creator", "dcterms.creator", "citation_author", "parsely-author",
    "sailthru.author", "byl", "article:author", "twitter:creator_name",
)  # fmt: skip
DATES = (
    "article:published_time", "datepublished", "og:published_time", "publishdate", "publish-date", "pubdate",
    "parsely-pub-date", "sailthru.date", "dc.date.issued", "dcterms.issued", "dcterms.created", "dc.date.created",
    "dc.date", "dcterms.date", "citation_publication_date", "citation_date", "date", "article.published", "created",
    "datecreated", "originalpublicationdate", "cxenseparse:recs:publishtime", "publication_date", "article.created",
    "article:published", "last-modified", "datemodified", "article:modified_time", "og:updated_time",
    "dcterms.modified",
)  # fmt: skip
ARTICLES = (  # types of JSON-LD that are the page itself
    "Article", "NewsArticle", "BlogPosting", "Report", "ReportageNewsArticle", "AnalysisNewsArticle",
    "OpinionNewsArticle", "LiveBlogPosting", "TechArticle", "ScholarlyArticle", "Recipe", "HowTo", "Review",
    "Product", "VideoObject",
    "DiscussionForumPosting", "QAPage", "SocialMediaPosting", "MedicalWebPage", "WebPage", "ItemPage",
)  # fmt: skip
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar janvier enero gennaio januari stycznia styczeń janeiro",
            "february februar février febrero febbraio februari lutego luty fevereiro",
            "march märz mars marzo maart marca marzec março",
            "april avril abril aprile kwietnia kwiecień",
            "may mai mayo maggio mei maja maio",
            "june juni juin junio giugno czerwca czerwiec junho",
            "july juli juillet julio luglio lipca lipiec julho",
            "august août agosto augustus sierpnia sierpień",
            "september septembre septiembre settembre września wrzesień setembro",
            "october oktober octobre octubre ottobre października październik outubro",
            "november novembre noviembre listopada listopad novembro",
            "december dezember décembre diciembre dicembre grudnia grudzień dezembro",
        ),
        1,
    )
    for name in names.split()
}
SHORT_MONTHS = {name[:3]: number for name, number in reversed(list(MONTHS.items())) if len(name) > 3}
ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:T?\d{4,6})?")
DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[./-] ?(\d{1,2})[./-] ?((?:19|20)\d{2})(?!\d)")
DAY_MONTH = re.compile(
    r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|er|\.|º)?\s+(?:de\s+|of\s+)?([^\W\d_]{3,})\.?,?\s+(?:de\s+)?((?:19|20)\d{2})"
)
MONTH_DAY = re.compile(r"([^\W\d_]{3,})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+((?:19|20)\d{2})")
CJK = re.compile(r"((?:19|20)\d{2})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})")
URL_DATE = re.compile(r"/((?:19|20)\d{2})[/-](\d{1,2})[/-](\d{1,2})(?:[/-]|$)")
MONTH_FIRST_LANGUAGES = ("en-us", "en_us")


@dataclass(frozen=True)
class HtmlMetadata:
    """What a page says about itself; an empty string where it says nothing.

    Attributes:
        title: without the name of the site, where that can be told.
        author: names, joined by `; `.
        date: of publication, else of the last change; `YYYY-MM-DD`.
        language: as declared: `de`, `pt-BR`.
        url: the canonical one.
        site: its name.
        description: a sentence or two.
    """

    title: str = ""
    author: str = ""
    date: str = ""
    language: str = ""
    url: str = ""
    site: str = ""
    description: str = ""


def attributes(tag: bytes) -> dict[str, str]:
    """The attributes of a start tag, names in lower case, entities read; the first of a name counts."""
    found: dict[str, str] = {}
    parts = ATTRIBUTE.finditer(tag[:20_000])
    next(parts, None)  # the name of the element
    for part in parts:
        value = part[2] if part[2] is not None else part[3] if part[3] is not None else part[4] or b""
        found.setdefault(part[1].decode("ascii", "replace").lower(), unescape(value.decode("utf-8", "replace")))
    return found


def clean(value: object) -> str:
    """One line of text of a value that should be a string, without markup and control characters."""
    if not isinstance(value, str):
        return ""
    text = value[: 2 * MAX_VALUE]
    if "&" in text:
        text = unescape(text)
    if "<" in text:
        text = re.sub(r"<[^<>]*>", " ", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_VALUE]


def iso_date(value: object, month_first: bool = False) -> str:
    """A date written in any of the usual ways as `YYYY-MM-DD`; empty where there is none from 1980 to next year."""
    text = clean(value)[:200].strip()
    if not text:
        return ""
    for pattern, order in ((ISO, (1, 2, 3)), (COMPACT, (1, 2, 3)), (CJK, (1, 2, 3))):
        match = pattern.search(text)
        if match and (day := _day(match[order[0]], match[order[1]], match[order[2]])):
            return day
    match = DAY_FIRST.search(text)
    if match:
        first, second = (match[2], match[1]) if month_first and "/" in match[0] else (match[1], match[2])
        if day := _day(match[3], second, first) or _day(match[3], first, second):
            return day
    for pattern, name, number in ((DAY_MONTH, 2, 1), (MONTH_DAY, 1, 2)):
        for match in pattern.finditer(text.lower()):
            month = MONTHS.get(match[name]) or SHORT_MONTHS.get(match[name][:3] if len(match[name]) <= 4 else "")
            if month and (day := _day(match[3], month, match[number])):
                return day
    try:
        parsed = email.utils.parsedate(text)
    except (ValueError, TypeError, IndexError):
        return ""
    return _day(*parsed[:3]) if parsed else ""


def _day(year: str | int, month: str | int, day: str | int) -> str:
    try:
        found = date(int(year), int(month), int(day))
    except (ValueError, OverflowError):
        return ""
    return found.isoformat() if 1980 <= found.year <= date.today().year + 1 else ""


def read_metadata(data: bytes, page: Scan) -> tuple[HtmlMetadata, str]:
    """What a page says about itself, and its `articleBody` where JSON-LD carries one.

    Args:
        data: UTF-8.
        page: its scan.
    Cost: 0.3 ms a page.
    """
    found_at = _elements(page)
    meta, links = _meta_tags(data, page, found_at), _first_links(data, page, found_at)
    items = list(_linked_data(data, page, found_at))
    item = _main_item(items)
    body = max((i["articleBody"] for i in items if isinstance(i.get("articleBody"), str)), key=len, default="")
    language = _language(data, page, found_at, meta, item)
    month_first = language.lower() in MONTH_FIRST_LANGUAGES
    url = clean(links.get("canonical") or meta.get("og:url") or "")
    site = clean(meta.get("og:site_name") or _name(item.get("publisher")) or meta.get("application-name") or "")
    heading, window = _text_in(data, page, found_at, "h1"), _text_in(data, page, found_at, "title")
    title = next((t for name in TITLES if (t := clean(meta.get(name)))), "") or clean(item.get("headline"))
    title = title or (heading if heading and (not window or len(heading) <= len(window)) else window)
    author = _name(item.get("author")) or next((a for name in AUTHORS if (a := _person(meta.get(name)))), "")
    author = author or _author_shown(data, page)
    found = iso_date(item.get("datePublished")) or next(
        (day for name in DATES if (day := iso_date(meta.get(name), month_first))), ""
    )
    found = found or iso_date(item.get("dateModified") or item.get("dateCreated") or item.get("uploadDate"))
    found = found or _time_shown(data, page, found_at, month_first)
    if not found and (match := URL_DATE.search(url)):
        found = _day(match[1], match[2], match[3])
    description = clean(meta.get("og:description") or meta.get("description") or item.get("description") or "")
    return HtmlMetadata(_without_site(title, site), author, found, language, url, site, description), body


def _elements(page: Scan) -> dict[str, list[int]]:
    """The first elements of the names that are asked for below."""
    wanted = np.zeros(len(NAMES), dtype=np.bool_)
    wanted[[TAG[name] for name in READ]] = True
    nodes = np.flatnonzero(wanted[page.tag])
    found: dict[str, list[int]] = {name: [] for name in READ}
    for node, tag in zip(nodes.tolist(), page.tag[nodes].tolist(), strict=True):
        if len(found[NAMES[tag]]) < MAX_ELEMENTS:
            found[NAMES[tag]].append(node)
    return found


def _start_tag(data: bytes, page: Scan, node: int) -> bytes:
    return data[page.start[node] : page.inner[node]].rstrip(b"/>")


def _meta_tags(data: bytes, page: Scan, found_at: dict[str, list[int]]) -> dict[str, str]:
    """The content of each meta tag by its name, property or itemprop, in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    for node in found_at["meta"]:
        given = attributes(_start_tag(data, page, node))
        name = given.get("property") or given.get("name") or given.get("itemprop") or given.get("http-equiv") or ""
        if given.get("content", "").strip():
            found.setdefault(name.strip().lower(), given["content"][: 2 * MAX_VALUE])
    return found


def _first_links(data: bytes, page: Scan, found_at: dict[str, list[int]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in found_at["link"]:
        tag = _start_tag(data, page, node)
        if b"canonical" in tag:
            given = attributes(tag)
            if given.get("rel", "").lower() == "canonical" and given.get("href"):
                found.setdefault("canonical", given["href"])
    return found


def _linked_data(data: bytes, page: Scan, found_at: dict[str, list[int]]) -> Iterator[Mapping[str, Any]]:
    """Every object of the JSON-LD scripts, outer ones first."""
    scripts = 0
    for node in found_at["script"]:
        if b"ld+json" not in data[page.start[node] : page.inner[node]]:
            continue
        scripts += 1
        stop = data.find(b"</", int(page.inner[node]))
        while stop >= 0 and data[stop + 2 : stop + 8].lower() != b"script":
            stop = data.find(b"</", stop + 2)
        stop = len(data) if stop < 0 else stop
        if scripts > MAX_SCRIPTS or stop - page.inner[node] > MAX_JSON:
            continue
        text = data[page.inner[node] : stop].decode("utf-8", "replace").strip().rstrip(";")
        try:
            queue: list[Any] = [json.loads(text.removeprefix("<!--").removesuffix("-->"), strict=False)]
        except (ValueError, RecursionError):
            continue
        for seen in range(MAX_ITEMS):
            if seen >= len(queue):
                break
            value = queue[seen]
            if isinstance(value, dict):
                yield value
                queue.extend(v for v in value.values() if isinstance(v, dict | list))
            elif isinstance(value, list):
                queue.extend(v for v in value if isinstance(v, dict | list))


def _types(item: Mapping[str, Any]) -> list[str]:
    kinds = item.get("@type")
    return (
        [kinds]
        if isinstance(kinds, str)
        else [k for k in kinds if isinstance(k, str)]
        if isinstance(kinds, list)
        else []
    )


def _main_item(items: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The object of JSON-LD that is the page: the first of the kind that comes first in `ARTICLES`."""
    ranked = [
        (min((ARTICLES.index(k) for k in _types(item) if k in ARTICLES), default=99), n) for n, item in enumerate(items)
    ]
    best = min(ranked, default=(99, 0))
    return items[best[1]] if best[0] < 99 else {}


def _name(value: object) -> str:
    """The names of people or organisations given in any of JSON-LD's ways."""
    if isinstance(value, str):
        return _person(value)
    if isinstance(value, Mapping):
        return _name(value.get("name"))
    if isinstance(value, list):
        names = dict.fromkeys(name for entry in value[:20] if (name := _name(entry)))
        return "; ".join(names)
    return ""


def _person(value: object) -> str:
    """A name, without `By`; empty for addresses of pages."""
    name = re.sub(r"^(?:by|von|par|por|di|autor:?|author:?)\s+", "", clean(value), flags=re.IGNORECASE)
    return "" if re.match(r"https?:|www\.|/|@", name) or len(name) > 150 else name


def _author_shown(data: bytes, page: Scan) -> str:
    """The text of the first element that is marked as the author."""
    for mark in AUTHOR_MARKS:
        place = data.find(mark, 0, MAX_SEARCHED)
        node = int(np.searchsorted(page.start, place)) - 1
        if place >= 0 and node >= 0 and place < page.inner[node]:
            name = _person(_inner_text(data, page, node))
            if 3 < len(name) < 60:
                return name
    return ""


def _time_shown(data: bytes, page: Scan, found_at: dict[str, list[int]], month_first: bool) -> str:
    for node in found_at["time"]:
        given = attributes(_start_tag(data, page, node))
        day = iso_date(given.get("datetime"), month_first) or iso_date(_inner_text(data, page, node), month_first)
        if day:
            return day
    return ""


def _inner_text(data: bytes, page: Scan, node: int) -> str:
    """All text inside an element, at most MAX_VALUE bytes of markup away."""
    last = int(page.last[node])
    stop = int(page.start[last]) if last < len(page.start) else len(data)
    start = int(page.inner[node])
    raw = data[start : min(stop, start + MAX_VALUE)]
    end = re.search(rb"</(?:p|div|h1|time|li|td)\b" if page.tag[node] else rb"</", raw)
    return clean(raw[: end.start() if end else None].decode("utf-8", "replace"))


def _text_in(data: bytes, page: Scan, found_at: dict[str, list[int]], name: str) -> str:
    for node in found_at[name]:
        start = int(page.inner[node])
        raw = data[start : start + MAX_VALUE]
        end = raw.lower().find(b"</" + name.encode())
        text = clean(raw[: end if end >= 0 else None].decode("utf-8", "replace"))
        if text:
            return text
    return ""


def _language(
    data: bytes, page: Scan, found_at: dict[str, list[int]], meta: Mapping[str, str], item: Mapping[str, Any]
) -> str:
    for node in found_at["html"]:
        given = attributes(_start_tag(data, page, node))
        value = given.get("lang") or given.get("xml:lang") or ""
        if value.strip():
            return clean(value)[:20]
    value = (
        meta.get("content-language") or meta.get("og:locale") or item.get("inLanguage") or meta.get("language") or ""
    )
    return clean(value)[:20].replace("_", "-")


def _without_site(title: str, site: str) -> str:
    """`Title | Site` as `Title`."""
    if site:
        for mark in ("|", "-", "–", "—", "·", "»", "::", ":", "•"):
            end = f"{mark} {site}".lower()
            if title.lower().endswith(end) and len(title) > len(end) + 3:
                return title[: -len(end)].rstrip()
    return title
