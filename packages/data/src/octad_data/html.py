"""The main text of a web page, its title, author and date, without menus, banners, related links and comments."""

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.html_blocks import Blocks, find_blocks
from octad_data.html_byline import complete
from octad_data.html_encoding import to_utf8
from octad_data.html_features import FEATURES, features
from octad_data.html_metadata import HtmlMetadata, read_metadata
from octad_data.html_model import likelihoods
from octad_data.html_scan import Scan, scan
from octad_data.html_text import LineTexts
from octad_data.html_words import topics
from octad_data.html_write import Style, write
from octad_data.step import drop, with_column

if TYPE_CHECKING:
    import pyarrow as pa

THRESHOLDS = {"precision": 0.65, "balanced": 0.5, "recall": 0.3}  # likelihood from which a line is kept
MIN_WEIGHT = 200  # characters; a page of which less is kept is looked at again with a lower threshold
SECOND_LOOK = 0.4  # share of the likelihood of the best long line that is asked for then
MAX_BYTES = 16 << 20  # of a page; the longest of 990 real ones has 1.5 MB
MAX_LINES = 50_000
MAX_SECONDS = 10.0
MIN_BODY = 300  # characters of a JSON-LD articleBody that is listened to
TITLE_WORDS = 4  # from which a line that repeats the title is left out
LOW_CONFIDENCE = 0.9  # one page in fifteen; below it resiliparse is asked too
LEAST_CHANCE = 0.1  # of a line that is kept because resiliparse keeps it
MAX_ASKED_BYTES = 1 << 20  # of a page that it is asked about
MAX_ASKED_ELEMENTS = 20_000
MAX_ASKED_DEPTH = 200
BODY_AGREES = 0.85  # share of the kept text that it must hold to overrule


@dataclass(frozen=True)
class HtmlPage(HtmlMetadata):
    """The main text of a page and what it says about itself.

    Attributes:
        text: lines, a paragraph each; empty where the page shows no text.
        confidence: the mean likelihood of the lines that were kept, weighted by their length; 0 where none was.
    """

    text: str = ""
    confidence: float = 0.0


def extract_html(
    page: str | bytes,
    encoding: str | None = None,
    *,
    favour: str = "balanced",
    tables: bool = True,
    headings: bool = False,
    comments: bool = False,
    markdown: bool = False,
) -> str:
    """The main text of a page: no menus, cookie banners, related links, comments or footers.

    Args:
        page: HTML; bytes are decoded by their byte-order mark, content or declaration.
        encoding: of the bytes, as the HTTP header says; not believed where they are not in it, or are valid UTF-8.
        favour: `precision` leaves out what may be boilerplate, `recall` keeps what may be text.
        tables: write data tables as Markdown rows; without, each cell is a line.
        headings: mark headings by `#`; without, a first line that only repeats the title is left out.
        comments: keep what readers wrote below.
        markdown: write Markdown, with headings, nested and numbered lists, quotations, fenced code with its language
            and empty lines between blocks; what only looks like a marker at the start of a line is escaped.

    Returns:
        Paragraphs, a line each; items of lists begin with `- `; code keeps its lines and indentation; tables have a
        row of `---` below their first. Empty where a page shows no text.

    Raises:
        DataError: the page is too large, or the bytes are no text.
    Cost: about 3 ms a page of 100 kB.
    """
    return extract_page(
        page, encoding, favour=favour, tables=tables, headings=headings, comments=comments, markdown=markdown
    ).text


def extract_page(
    page: str | bytes,
    encoding: str | None = None,
    *,
    favour: str = "balanced",
    tables: bool = True,
    headings: bool = False,
    comments: bool = False,
    markdown: bool = False,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> HtmlPage:
    """The main text of a page with title, author, date, language, address and site; see `extract_html`.

    Args:
        page: HTML.
        encoding: of its bytes, as told.
        favour: `precision`, `balanced` or `recall`.
        tables: as Markdown rows.
        headings: marked by `#`.
        comments: kept.
        markdown: instead of lines.
        max_bytes: of a page, in UTF-8.
        max_seconds: for a page; looked at between the passes over it, each of which takes time linear in its size.

    Raises:
        DataError: `too large: ...`, `too many lines: ...`, `timeout: ...`, `binary file: ...`, or a favour that is
            none of the three.
    """
    if favour not in THRESHOLDS:
        raise DataError(f"favour={favour!r} is none of {', '.join(THRESHOLDS)}; use 'balanced'")
    _compile()
    clock = _Clock(time.monotonic() + max_seconds, max_seconds)
    found = _read(to_utf8(page, encoding, max_bytes), clock)
    kept = _kept(found.chances, found.blocks, THRESHOLDS[favour])
    confidence = _confidence(found.chances, kept, found.blocks)
    if confidence < LOW_CONFIDENCE and favour != "precision" and len(kept):
        kept |= (found.chances >= LEAST_CHANCE) & _second_opinion(found)
    kept &= ~_not_shown(kept, found.blocks, found.numbers)
    if not headings and not markdown:
        kept &= ~_repeats_title(kept, found.blocks, found.numbers)
    if comments:
        kept |= _comments(found.blocks, found.numbers)
    clock.check(len(found.data))
    style = Style(tables=tables, headings=headings, markdown=markdown)
    text = write(found.texts, found.tree, found.blocks, np.flatnonzero(kept).tolist(), style)
    return HtmlPage(**asdict(found.metadata), text=text, confidence=confidence)


@dataclass(frozen=True)
class ExtractHtml:
    """A step that puts the main text in the place of HTML, and title, author, date and so on into the metadata.

    Rows are pages where their metadata say `format` = `html`; afterwards it says `html-text`, so that the step can be
    applied twice. A page without text is dropped by `html.empty`, one that cannot be read by `html.error`, with the
    reason in the metadata as `error`.

    Attributes:
        favour: `precision`, `balanced` or `recall`.
        tables, headings, comments, markdown: as in `extract_html`.
        min_characters: a page of which fewer are left is dropped by `html.empty`.

    Raises:
        DataError: a favour that is none of the three, or a negative minimum.
    """

    favour: str = "balanced"
    tables: bool = True
    headings: bool = False
    comments: bool = False
    markdown: bool = False
    min_characters: int = 1

    def __post_init__(self) -> None:
        if self.favour not in THRESHOLDS:
            raise DataError(f"favour={self.favour!r} is none of {', '.join(THRESHOLDS)}; use 'balanced'")
        if self.min_characters < 0:
            raise DataError(f"min_characters={self.min_characters} is negative; use 0 to keep empty pages")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the text of its pages."""
        import pyarrow as pa

        texts = batch.column("text").to_pylist()
        metadata = [dict(row or ()) for row in batch.column("metadata").to_pylist()]
        empty, broken = np.zeros(len(texts), dtype=np.bool_), np.zeros(len(texts), dtype=np.bool_)
        lengths = np.zeros(len(texts))
        for row, (text, known) in enumerate(zip(texts, metadata, strict=True)):
            if known.get("format") != "html":
                continue
            try:
                page = extract_page(
                    text,
                    favour=self.favour,
                    tables=self.tables,
                    headings=self.headings,
                    comments=self.comments,
                    markdown=self.markdown,
                )
            except DataError as error:
                broken[row] = True
                known["error"] = str(error)
                continue
            texts[row] = page.text
            lengths[row] = len(page.text)
            empty[row] = len(page.text) < self.min_characters
            known["format"] = "html-text"
            for name in ("title", "author", "date", "language", "url", "site", "description"):
                if getattr(page, name):
                    known.setdefault(name, getattr(page, name))
        batch = with_column(batch, "text", pa.array(texts, pa.large_string()))
        rows = pa.array([sorted(known.items()) for known in metadata], pa.map_(pa.string(), pa.string()))
        batch = with_column(batch, "metadata", rows)
        return drop(drop(batch, empty, "html.empty", lengths), broken, "html.error")


class _Clock(NamedTuple):
    deadline: float
    max_seconds: float

    def check(self, size: int) -> None:
        if time.monotonic() > self.deadline:
            raise DataError(
                f"timeout: {size:,} bytes of HTML took more than {self.max_seconds} s; raise max_seconds or skip it"
            )


class _Reading(NamedTuple):
    """A page with all that is known of its lines."""

    data: bytes
    tree: Scan
    metadata: HtmlMetadata
    blocks: Blocks
    texts: LineTexts
    numbers: NDArray[np.float32]
    chances: NDArray[np.float64]


def _read(data: bytes, clock: _Clock) -> _Reading:
    """The passes over a page."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    tree = scan(buffer)
    clock.check(len(data))
    metadata, body = read_metadata(data, tree)
    blocks = find_blocks(buffer, tree, metadata.title, metadata.description)
    if len(blocks.node) > MAX_LINES:
        raise DataError(f"too many lines: {len(blocks.node):,} of text, at most {MAX_LINES:,}; split the page")
    clock.check(len(data))
    words, looks = topics(buffer, tree)
    texts = LineTexts(data, tree, blocks)
    metadata = complete(metadata, data, tree, blocks, words, texts)
    numbers = features(tree, words, looks, blocks)
    clock.check(len(data))
    chances = likelihoods(tree, blocks, numbers)
    if len(body) >= MIN_BODY:
        chances = _heard(texts, blocks, chances, body)
    return _Reading(data, tree, metadata, blocks, texts, numbers, chances)


@cache
def _compile() -> None:
    """Compile every kernel, once a machine, before the clock of a page runs; and see that nothing is missing."""
    _generous()
    _read(b"<p>A page, with a line. <a href=x>Link</a></p>", _Clock(float("inf"), 0.0))


def _kept(chances: NDArray[np.float64], blocks: Blocks, threshold: float) -> NDArray[np.bool_]:
    """The lines to keep: those that are likely, or the likeliest where hardly anything is."""
    kept = chances >= threshold
    if len(chances) and blocks.counts[kept, 0].sum() < MIN_WEIGHT:
        best = (chances * np.sqrt(blocks.counts[:, 0])).argmax()
        kept = chances >= min(threshold, SECOND_LOOK * float(chances[best]))
    return kept


def _not_shown(kept: NDArray[np.bool_], blocks: Blocks, numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Lines that the page hides; none where that is half of the text, which a script is to show then."""
    hidden = numbers[:, FEATURES.index("around_not_shown")] > 0
    weight = blocks.counts[:, 0]
    few = bool(weight[kept & hidden].sum() < 0.5 * weight[kept].sum())
    return hidden if few else np.zeros_like(hidden)


def _repeats_title(kept: NDArray[np.bool_], blocks: Blocks, numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The first or second line, where it is the title of the page again and others follow."""
    is_title = numbers[:, FEATURES.index("all_titled")] > 0
    is_early = np.cumsum(kept) <= 2
    return np.asarray(is_title & is_early & (blocks.counts[:, 1] >= TITLE_WORDS) & (kept.sum() > 3))


def _confidence(chances: NDArray[np.float64], kept: NDArray[np.bool_], blocks: Blocks) -> float:
    weight = blocks.counts[kept, 0]
    return float((chances[kept] * weight).sum() / weight.sum()) if len(weight) else 0.0


def _generous() -> Callable[..., object]:
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ModuleNotFoundError as error:
        raise DataError(f"missing extra: reading HTML needs {error.name}; pip install 'octad-data[html]'") from None
    return cast(Callable[..., object], extract_plain_text)


def _second_opinion(page: _Reading) -> NDArray[np.bool_]:
    """The lines that resiliparse keeps, whose rules are generous; none of a page that is larger than pages are."""
    generous = _generous()
    keeps = np.zeros(len(page.chances), dtype=np.bool_)
    is_large = len(page.data) > MAX_ASKED_BYTES or len(page.tree.tag) > MAX_ASKED_ELEMENTS
    if is_large or _depth(page.tree) > MAX_ASKED_DEPTH:
        return keeps
    try:
        text = page.data.decode("utf-8", "replace")
        said = str(generous(text, main_content=True, alt_texts=False, comments=False))
    except Exception:  # whatever breaks another's extractor on a broken page must not break ours
        return keeps
    letters = _letters(said)
    for line in range(len(keeps)):
        own = _letters(page.texts(line))
        keeps[line] = bool(own) and own in letters
    return keeps


def _depth(page: Scan) -> int:
    depth = np.zeros(len(page.parent), dtype=np.int64)
    for node, parent in enumerate(page.parent[1:].tolist(), 1):
        depth[node] = depth[parent] + 1
    return int(depth.max())


def _heard(texts: LineTexts, blocks: Blocks, chances: NDArray[np.float64], body: str) -> NDArray[np.float64]:
    """The likelihoods after JSON-LD's body of the article has been listened to, where it agrees with the page."""
    wanted = _letters(body)
    inside = np.zeros(len(chances), dtype=np.bool_)
    weight = blocks.counts[:, 0]
    for line in np.flatnonzero((chances > 0.03) & (weight >= 15)):
        letters = _letters(texts(int(line)))
        inside[line] = len(letters) >= 12 and letters in wanted
    sure = chances >= 0.5
    held, total = float(weight[sure & inside].sum()), float(weight[sure].sum())
    changed = np.where(inside & (chances >= 0.1), np.maximum(chances, 0.9), chances)
    if total and held >= BODY_AGREES * total:
        changed = np.where(~inside & (chances < 0.9) & (weight >= 15), chances * 0.5, changed)
    return changed


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _comments(blocks: Blocks, numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Lines that readers wrote: sentences in elements named after comments."""
    within = numbers[:, FEATURES.index("around_comment")] > 0
    counts = blocks.counts
    linked = counts[:, 2] > 0.3 * counts[:, 0]
    return np.asarray(within & ~linked & ((counts[:, 0] >= 60) | ((counts[:, 10] > 0) & (counts[:, 0] >= 15))))
