"""The C scanners split as their expressions do."""

from __future__ import annotations

import importlib.metadata
import itertools
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import CL100K, GPT2, O200K, QWEN2, PreTokenizer, native
from octad_tokenizer.patterns import CL100K_TIKTOKEN, PUBLISHED, engine_pattern

engine = native.engine
pytestmark = pytest.mark.skipif(engine is None, reason="the C engine is not built")

PATTERNS = [GPT2, CL100K, O200K, QWEN2, CL100K_TIKTOKEN]
EXPRESSIONS = {pattern: regex.compile(pattern) for pattern in sorted(PUBLISHED)}
POOLS = [
    "aZsStTrReEvVmMlLdDkK",
    "'’ſ\u212a'",
    "019²½Ⅷ٣",
    "\n\r\n\r",
    "  \t\u00a0\u2003\u3000\u0085\u2028\x0b\x0c\x1c\x1f ",
    ".,!?-_/<|>/",
    "\u0301\u0300\u093f\u20dd\ufe0f",
    "日本語한국",
    "😀👩\u200d🏳",
    "éßΩяǅǄﬁʰªº",
    "क्षिשלםمر\u0e01",
]
PIECES = ["'s", "'LL", "'vE", "don't", "   ", " \n ", "'ſ", "'re", "''s", "a'lL", "x'ſs", "abc defg, hijk", "AbCd"]
CLASSES = [r"\p{L}", r"\p{N}", r"\s", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"]


def splits_alike(text: str, pattern: str) -> None:
    want = EXPRESSIONS[pattern].findall(text)
    number = engine_pattern(pattern)
    for way in (0, 1, 2):  # the fastest, that of the oldest processors, one at a time
        assert engine.pre_tokens(text, number, way) == want, (pattern, way, text)
    assert engine.count_pre_tokens(text.encode(), number) == len(want)


def random_character(generator: random.Random) -> str:
    if generator.random() < 0.97:
        return generator.choice(generator.choice(POOLS))
    code_point = generator.randrange(0x110000 - 0x800)
    return chr(code_point + 0x800 if code_point >= 0xD800 else code_point)


def test_every_character_has_the_class_that_the_expressions_see() -> None:
    ours = engine.character_classes()
    characters = "".join(map(chr, range(0x110000)))
    unassigned = {match.start() for match in regex.finditer(r"\p{Cn}", characters)}
    about = importlib.metadata.metadata("regex").get_payload()
    same_unicode = f"Unicode {engine.unicode_version()}." in str(about)
    for bit, pattern in enumerate(CLASSES):
        theirs = {match.start() for match in regex.finditer(pattern, characters)}
        differ = theirs ^ {c for c, bits in enumerate(ours) if bits >> bit & 1}
        # An older or newer Unicode knows fewer or more characters.
        assert not differ or not same_unicode, (pattern, sorted(differ)[:5])
        assert all(c in unassigned or ours[c] == 0 for c in differ), pattern


def test_wild_texts_are_split_as_by_the_expression() -> None:
    generator = random.Random(11)
    for pattern in itertools.islice(itertools.cycle(EXPRESSIONS), 20_000):
        length = generator.randrange(1, generator.choice([4, 12, 60, 200]))
        pieces = [
            generator.choice(PIECES) if generator.random() < 0.1 else random_character(generator) for _ in range(length)
        ]
        splits_alike("".join(pieces), pattern)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(codec="utf-8")), pattern=st.sampled_from(PATTERNS))
def test_any_text_is_split_as_by_the_expression(text: str, pattern: str) -> None:
    splits_alike(text, pattern)
    splits_alike("Plain words, 64 bytes of them at least, so that there is a block. " + text, pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_split_does_not_depend_on_its_place_in_a_block(pattern: str) -> None:
    snippets = [
        "don't",
        " 1234567 ",
        "\n\n  \t x",
        " \n \n",
        "..\n/a",
        "x's's'S",
        "A\u0301é’s",
        "日。本",
        "aB日Cd",
        "…\n",
        "''ve",
    ]
    for snippet, before in itertools.product(snippets, range(66)):
        splits_alike("a" * before + snippet + " and then enough of plain text to fill a whole block of 64", pattern)
        splits_alike("a" * before + snippet, pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "unit", ["a", "A", " ", "\n", "\n ", "a\n \n", "'", "'s", "1", "½", "日", "日A", "\u00a0", ".\n", "e\u0301", "😀"]
)
def test_long_runs_are_split_as_by_the_expression(unit: str, pattern: str) -> None:
    splits_alike(unit * 700, pattern)


def real_texts(data: Callable[[str], Path]) -> Iterator[str]:
    for name in (
        "text/tinyshakespeare.txt",
        "text/wikitext2_valid.txt",
        "text/ud_zh_gsd_dev.conllu",
        "tokenizer/corpus.en",
    ):
        yield data(name).read_text(encoding="utf-8")
    yield data("benchmarks/gsm8k_train.jsonl").read_text(encoding="utf-8")[:500_000]
    with zipfile.ZipFile(data("text/udhr2.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        yield "".join(archive.read(name).decode("utf-8", "replace")[:3000] for name in names)


@pytest.mark.parametrize("size", [40_000, pytest.param(400_000, marks=pytest.mark.slow)])
def test_real_texts_are_split_as_by_the_expression(size: int, data: Callable[[str], Path]) -> None:
    for text in real_texts(data):
        for pattern in PATTERNS:
            splits_alike(text[:size], pattern)


def test_text_that_utf8_cannot_write_is_split_by_the_expression() -> None:
    assert PreTokenizer(GPT2).split("a\ud800 b") == ["a", "\ud800", " b"]


def test_pre_tokenizer_gives_the_same_without_the_engine(
    monkeypatch: pytest.MonkeyPatch, wild_texts: list[str]
) -> None:
    splitters = [PreTokenizer(pattern) for pattern in PATTERNS]
    fast = [splitter.split(text) for splitter in splitters for text in wild_texts[:300]]
    monkeypatch.setattr(native, "engine", None)
    assert [splitter.split(text) for splitter in splitters for text in wild_texts[:300]] == fast


def test_the_longest_prefix_of_utf8_is_found() -> None:
    generator = random.Random(5)
    for _ in range(3000):
        text = "".join(random_character(generator) for _ in range(generator.randrange(20))).encode()
        damaged = bytearray(text)
        for _ in range(generator.randrange(3)):
            damaged.insert(generator.randrange(len(damaged) + 1), generator.randrange(256))
        data = bytes(damaged)[: generator.randrange(len(damaged) + 1)]
        try:
            data.decode()
            want = len(data)
        except UnicodeDecodeError as error:
            want = error.start
        assert engine.utf8_prefix(data) == want, data


@pytest.mark.parametrize("pattern", [-1, 99])
def test_unknown_scanners_are_refused(pattern: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"pattern {pattern} is unknown")):
        engine.pre_tokens("a", pattern)


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        engine.count_pre_tokens(b"a\xff", 0)


def test_a_missing_engine_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "engine", None)
    monkeypatch.setattr(native, "_warned", False)
    with pytest.warns(RuntimeWarning, match="C compiler") as caught:
        assert native.engine_or_warn() is None
        assert native.engine_or_warn() is None
    assert len(caught) == 1
