"""The C engine against the pure Python reference, tiktoken and Hugging Face; what only the engine or its paths have."""

from __future__ import annotations

import gc
import os
import random
import string
import sys
import time
import unicodedata
import weakref
import zipfile
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import (
    CL100K,
    GPT2,
    O200K,
    AppendCounter,
    BytePairTokenizer,
    IntervalCounter,
    PrependCounter,
    TokenizerError,
    native,
    to_tiktoken_ranks,
    train_bpe,
)
from octad_tokenizer.merge import apply_merges

SPECIAL = ["<|endoftext|>", "<|end|>", "<|end", " the end ", "é|"]
PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "own": r"\w+|\s"}

needs_engine = pytest.mark.skipif(native.engine is None, reason="needs the C engine")


@pytest.fixture(scope="module")
def trained(wild_texts: list[str]) -> dict[str, BytePairTokenizer]:
    return {
        name: train_bpe(wild_texts[:200], 600, special_tokens=SPECIAL, pattern=pattern)
        for name, pattern in PATTERNS.items()
    }


@pytest.fixture(params=["engine", "reference"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "engine" and native.engine is None:
        pytest.skip("needs the C engine")
    if request.param == "reference":
        monkeypatch.setattr(native, "engine", None)
        monkeypatch.setattr(native, "_warned", True)
    return str(request.param)


def by_reference(work: Callable[[], object]) -> object:
    """The result of `work` without the engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "engine", None)
        patch.setattr(native, "_warned", True)
        return work()


def real_texts(data: Callable[[str], Path]) -> Iterator[str]:
    root = data("text")
    for path in sorted(root.iterdir()):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as file:
                yield "".join(file.read(name).decode(errors="replace") for name in sorted(file.namelist()))
        else:
            yield path.read_text(encoding="utf-8")
    for folder in ("benchmarks", "preferences", "quality"):
        for path in sorted(data(folder).glob("*.jsonl")):
            yield path.read_text(encoding="utf-8")


def as_tiktoken(tokenizer: BytePairTokenizer) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "test",
        pat_str=tokenizer.pattern,
        mergeable_ranks=to_tiktoken_ranks(tokenizer),
        special_tokens=dict(tokenizer.special_tokens),
    )


def test_gpt2_ids_equal_tiktoken_on_all_real_texts(gpt2: BytePairTokenizer, data: Callable[[str], Path]) -> None:
    theirs = as_tiktoken(gpt2)
    for text in real_texts(data):
        text = text[:500_000]
        expected = array("I", theirs.encode_ordinary(text))
        assert gpt2.encode_to_array(text, allowed_special="none") == expected
        assert gpt2.count(text, allowed_special="none") == len(expected)
        if native.engine is not None:
            blocks = gpt2.encode_blocks([text.encode()], allowed_special="none")
            assert sum(blocks, array("I")) == expected
            assert gpt2.decode(expected) == text


def random_unicode(generator: random.Random) -> str:
    ranges = [(0, 128), (0, 0x800), (0, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    letters = "aeiou st'  \n\tнор日本語한"
    length = generator.randrange(1, 40)
    drawn = [
        chr(generator.randrange(*generator.choice(ranges))) if generator.random() < 0.4 else generator.choice(letters)
        for _ in range(length)
    ]
    return "".join(character for character in drawn if unicodedata.category(character) != "Cn")


def test_gpt2_ids_equal_tiktoken_and_hugging_face_on_random_unicode(
    gpt2: BytePairTokenizer, data: Callable[[str], Path]
) -> None:
    """20,000 strings of assigned characters: on what the newest Unicode adds, tiktoken lags behind."""
    generator = random.Random(3)
    theirs = as_tiktoken(gpt2)
    texts = [random_unicode(generator) for _ in range(20_000)]
    assert gpt2.encode_batch(texts) == theirs.encode_batch(texts, num_threads=1, allowed_special="all")
    hugging_face = tokenizers.ByteLevelBPETokenizer(
        str(data("tokenizer/gpt2_vocab.json")), str(data("tokenizer/gpt2_merges.txt"))
    )
    plain = ["".join(generator.choices("the ing'sllé日本 \n\tнорaeiou01.,!?", k=30)) for _ in range(3000)]
    assert gpt2.encode_batch(plain) == [encoding.ids for encoding in hugging_face.encode_batch(plain)]


@needs_engine
@settings(max_examples=150, deadline=None)
@given(text=st.text(), seed=st.integers(0, 10**9))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_engine_equals_the_reference(
    trained: dict[str, BytePairTokenizer],
    wild_texts: list[str],
    pattern: str,
    text: str,
    seed: int,
) -> None:
    ours, generator = trained[pattern], random.Random(seed)
    text += "".join(generator.choices([*SPECIAL, *generator.choices(wild_texts, k=3), text[:5]], k=5))
    for allowed in ("all", "none", {"<|end", "é|"}):
        ids = ours.encode(text, allowed_special=allowed)
        assert ids == by_reference(lambda allowed=allowed: ours.encode(text, allowed_special=allowed))
        assert ours.encode_to_array(text, allowed_special=allowed).tolist() == ids
        assert ours.count(text, allowed_special=allowed) == len(ids)


@needs_engine
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_engine_merges_any_table_as_the_reference(seed: int) -> None:
    """Tables that no training makes, pieces around all borders of the engine's cases: 15, 16, 64, 65, 2048 bytes."""
    generator = random.Random(seed)
    alphabet = b"abc"[: generator.randrange(1, 4)]
    vocabulary = {bytes([byte]): byte for byte in range(256)}
    parts, merges = [bytes([byte]) for byte in alphabet], {}
    for _ in range(generator.randrange(1, 30)):
        pair = generator.choice(parts), generator.choice(parts)
        product = pair[0] + pair[1]
        merges[pair] = None
        if product not in vocabulary and len(product) < 200:
            vocabulary[product] = len(vocabulary)
            parts.append(product)
    pairs = [pair for pair in merges if pair[0] + pair[1] in vocabulary]
    generator.shuffle(pairs)
    ours = BytePairTokenizer(vocabulary, pairs, ignore_merges=generator.random() < 0.3)
    ranks = {(vocabulary[left], vocabulary[right]): rank for rank, (left, right) in enumerate(pairs)}
    products = [vocabulary[left + right] for left, right in pairs]
    for size in (*range(1, 20), 63, 64, 65, 130, 300, 2047, 2049, 5000):
        piece = bytes(generator.choices(alphabet, k=size))
        if generator.random() < 0.3:
            piece = (piece[:3] * size)[:size]
        expected = apply_merges(list(piece), ranks, products)
        if ours.ignore_merges and piece in vocabulary:
            expected = [vocabulary[piece]]
        assert ours.merge_bytes(piece) == expected
        assert ours.encode(piece.decode()) == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[])
@given(seed=st.integers(0, 10**9))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_streams_of_bytes_and_text_equal_the_whole(
    trained: dict[str, BytePairTokenizer], pattern: str, seed: int
) -> None:
    ours, generator = trained[pattern], random.Random(seed)
    pieces = [*"aZé1 \n\r\t.'/-日", "  ", "\n\n", "'ll", "\u0301", "\u3000", "👩", *SPECIAL, "<|", "|>", " the "]
    text = "".join(generator.choices(pieces, k=generator.randrange(0, 30)))
    data = text.encode()
    cuts = sorted(generator.choices(range(len(data) + 1), k=generator.randrange(0, 12)))
    chunks = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for allowed in ("all", "none", {"<|end"}):
        expected = ours.encode(text, allowed_special=allowed)
        assert list(ours.encode_iterable(chunks, allowed_special=allowed)) == expected
        assert list(ours.encode_iterable(text, allowed_special=allowed)) == expected
        assert sum(ours.encode_blocks(chunks, allowed_special=allowed), array("I")).tolist() == expected


def test_streams_refuse_what_is_not_utf8(gpt2: BytePairTokenizer, either: str) -> None:
    for chunks in ([b"a\xff", b"bcdefgh"], [b"abc\xe6\x97"], [b"\xe6\x97", "a"]):
        with pytest.raises(TokenizerError, match="not UTF-8"):
            list(gpt2.encode_iterable(chunks))
    with pytest.raises(TokenizerError, match="lone surrogate"):
        list(gpt2.encode_iterable(["a", "\ud83d"]))
    with pytest.raises(TokenizerError):
        list(gpt2.encode_iterable([1]))


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@needs_engine
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_stream_memory_stays_below_a_megabyte(gpt2: BytePairTokenizer) -> None:
    """Resident memory is looked at while the iterator is consumed: 15 MB of text, of ever new words."""
    assert gpt2.encode("warm") == [31975]
    generator = random.Random(1)
    vowels, others = "aeiou", "bcdfghjklmnprst"

    def chunks() -> Iterator[str]:
        for _ in range(300):
            words = ("".join(generator.choices(vowels + others, k=generator.randrange(2, 12))) for _ in range(500))
            yield " ".join(words) * 14 + "\n"

    list(gpt2.encode_iterable(["a few words "] * 100))
    before, most = resident_bytes(), 0
    for at, _ in enumerate(gpt2.encode_iterable(chunks())):
        if at % 100_000 == 0:
            most = max(most, resident_bytes())
    assert most - before < 1_000_000


def test_encode_file_writes_whole_or_not_at_all(
    gpt2: BytePairTokenizer, data: Callable[[str], Path], tmp_path: Path, either: str
) -> None:
    text = data("tokenizer/corpus.en").read_text(encoding="utf-8")[:100_000] + "<|endoftext|>日本"
    path, out = tmp_path / "text.txt", tmp_path / "ids.bin"
    path.write_bytes(text.encode())
    expected, seen = gpt2.encode(text), []
    for dtype, code in (("uint16", "H"), ("uint32", "I")):
        count = gpt2.encode_file(path, out, dtype=dtype, progress=lambda done, size: seen.append((done, size)))
        assert count == len(expected)
        assert array(code, out.read_bytes()).tolist() == expected
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    before = out.read_bytes()
    path.write_bytes(b"abc\xff def ghi")
    with pytest.raises(TokenizerError, match="not UTF-8"):
        gpt2.encode_file(path, out)
    assert out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ids.bin", "text.txt"]
    with pytest.raises(TokenizerError, match="uint8"):
        gpt2.encode_file(path, out, dtype="uint8")
    with pytest.raises(TokenizerError, match="uint32"):
        BytePairTokenizer(gpt2.vocabulary, [], {"<x>": 70_000}).encode_file(path, out, dtype="uint16")


def test_batches_equal_one_by_one(trained: dict[str, BytePairTokenizer], wild_texts: list[str], either: str) -> None:
    ours = trained["gpt2"]
    texts = [*wild_texts[:100], "", " the end ", "x" * 3000]
    expected = [ours.encode(text) for text in texts]
    for threads in (None, 1, 3):
        assert ours.encode_batch(texts, threads=threads) == expected
        ids, ends = ours.encode_batch_to_array(texts, threads=threads)
        assert [list(ids[a:b]) for a, b in zip([0, *ends], ends, strict=False)] == expected
    assert ours.encode_batch_to_array([]) == (array("I"), array("Q"))
    with pytest.raises(TokenizerError, match="lone surrogate"):
        ours.encode_batch(["a", "\ud800"])


@needs_engine
def test_batches_by_threads_equal_one_thread(gpt2: BytePairTokenizer, wild_texts: list[str]) -> None:
    texts = ["".join(wild_texts[at : at + 20]) * 40 for at in range(0, 300, 20)] * 10
    assert sum(map(len, texts)) > 2_000_000
    expected = gpt2.encode_batch_to_array(texts, threads=1)
    assert gpt2.encode_batch_to_array(texts, threads=4) == expected
    with pytest.raises(TokenizerError, match="threads=0"):
        gpt2.encode_batch(texts, threads=0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_interval_append_and_prepend_counts_are_exact(
    trained: dict[str, BytePairTokenizer], wild_texts: list[str], pattern: str, seed: int
) -> None:
    ours, generator = trained[pattern], random.Random(seed)
    text = "".join(generator.choices([*wild_texts[:40], " ", "\n", "'", "word " * 20, "日" * 30], k=12))
    counter = IntervalCounter(ours, text)
    assert len(counter) == ours.count(text, allowed_special="none")
    for _ in range(15):
        start, stop = sorted(generator.choices(range(len(text) + 1), k=2))
        assert counter.count(start, stop) == len(ours.encode(text[start:stop], allowed_special="none"))
    pieces = [text[at : at + 7] for at in range(0, min(len(text), 150), 7)]
    grown, backwards = AppendCounter(ours), PrependCounter(ours)
    for at, piece in enumerate(pieces):
        assert grown.append(piece) == ours.count("".join(pieces[: at + 1]), allowed_special="none")
        front = "".join(pieces[len(pieces) - at - 1 :])
        assert backwards.prepend(pieces[len(pieces) - at - 1]) == ours.count(front, allowed_special="none")
    with pytest.raises(TokenizerError, match="no interval"):
        counter.count(2, 1)


def test_dropout_is_seeded_and_loses_nothing(gpt2: BytePairTokenizer) -> None:
    text = "Unfortunately, the tokenizers differ.<|endoftext|> Really"
    assert gpt2.encode_with_dropout(text, 0.0, seed=1) == gpt2.encode(text)
    assert len(gpt2.encode_with_dropout(text, 1.0, seed=1)) == len(text.encode()) - len("<|endoftext|>") + 1
    some = gpt2.encode_with_dropout(text, 0.3, seed=1)
    assert some == gpt2.encode_with_dropout(text, 0.3, seed=1)
    assert some != gpt2.encode_with_dropout(text, 0.3, seed=2)
    assert gpt2.decode(some) == text
    with pytest.raises(TokenizerError, match="probability"):
        gpt2.encode_with_dropout(text, 1.5, seed=1)


def test_dropout_drops_as_often_as_it_says() -> None:
    """Of two bytes with one merge, a share of `dropout` stays apart; 4,000 trials, five standard deviations."""
    vocabulary = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    ours = BytePairTokenizer(vocabulary, [(b"a", b"b")])
    apart = sum(len(ours.encode_with_dropout("ab", 0.25, seed=seed)) == 2 for seed in range(4000))
    assert abs(apart / 4000 - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5


def test_character_offsets_equal_hugging_faces(gpt2: BytePairTokenizer, data: Callable[[str], Path]) -> None:
    theirs = tokenizers.ByteLevelBPETokenizer(
        str(data("tokenizer/gpt2_vocab.json")), str(data("tokenizer/gpt2_merges.txt")), trim_offsets=False
    )
    for text in ("né 日本語 👩 x", "a  b\n\nc", "ไทย", ""):
        assert gpt2.character_offsets(gpt2.encode(text)) == theirs.encode(text).offsets


def test_decode_takes_arrays_and_refuses_unknown_ids(gpt2: BytePairTokenizer, either: str) -> None:
    ids = gpt2.encode("some words 日本 " * 30)
    assert gpt2.decode_bytes(array("I", ids)) == gpt2.decode_bytes(ids) == gpt2.decode_bytes(array("Q", ids))
    for wrong in (60_000, -1, 10**15, None):
        with pytest.raises(TokenizerError, match="not in the vocabulary"):
            gpt2.decode_bytes([*ids, wrong])
    with pytest.raises(TokenizerError, match="not in the vocabulary"):
        gpt2.decode_bytes(array("I", [*ids, 60_000]))


@needs_engine
@pytest.mark.parametrize("kind", ["a", "ab", "-", " ", "letters", "日本"])
def test_endless_words_are_linear(gpt2: BytePairTokenizer, kind: str) -> None:
    """16 times the text takes less than 60 times the time: 16 if linear, 256 if quadratic."""
    generator = random.Random(1)
    text = "".join(generator.choices("etaoinshrdlu", k=1 << 20)) if kind == "letters" else kind * (1 << 20)

    def seconds(size: int) -> float:
        start = time.process_time()
        gpt2.count(text[:size])
        return time.process_time() - start

    base = min(seconds(1 << 15) for _ in range(5))
    assert min(seconds(1 << 19) for _ in range(3)) < 60 * max(base, 1e-4)


@needs_engine
def test_cache_forgets_and_stays_right() -> None:
    """More different words than the cache has places."""
    vocabulary = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"cd": 257, b"abcd": 258}
    ours = BytePairTokenizer(vocabulary, [(b"a", b"b"), (b"c", b"d"), (b"ab", b"cd")])
    generator = random.Random(5)
    words = ["".join(generator.choices("abcdefgh", k=generator.randrange(1, 24))) for _ in range(400_000)]
    text = " ".join(words)
    first = ours.encode_to_array(text)
    assert ours.encode_to_array(text) == first
    assert ours.decode(first) == text
    sample = " ".join(words[:3000])
    assert ours.encode(sample) == by_reference(lambda: ours.encode(sample))


@needs_engine
def test_cache_forgets_pieces_of_many_ids_and_long_ones() -> None:
    """More records than the cache's ring holds (2**21 words), so that it begins anew and drops what it overwrites."""
    vocabulary = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"cd": 257, b"abcd": 258}
    ours = BytePairTokenizer(vocabulary, [(b"a", b"b"), (b"c", b"d"), (b"ab", b"cd")])
    generator = random.Random(6)
    lengths = [5, 9, 14, 15, 16, 17, 31, 64, 65, 127, 128, 129]
    words = ["".join(generator.choices("abcdefgh", k=generator.choice(lengths) - 1)) for _ in range(100_000)]
    again = [word for at in range(0, 100_000, 1000) for word in words[at : at + 1000] * 2]
    text = " " + " ".join(again)
    ids = ours.encode_to_array(text)
    assert ours.decode(ids) == text
    assert ours.encode_to_array(text) == ids
    fresh = BytePairTokenizer(vocabulary, ours.merges)
    for at in (0, 50_000, 99_000):
        sample = " " + " ".join(words[at : at + 300])
        expected = by_reference(lambda sample=sample: fresh.encode(sample))
        assert ours.encode(sample) == expected
        assert [i for word in words[at : at + 300] for i in ours.encode(" " + word)] == expected


@needs_engine
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_endless_words_equal_the_reference(gpt2: BytePairTokenizer, seed: int) -> None:
    """Windows side by side: text that repeats itself, that joins everywhere, that the cache knows, and changes."""
    generator = random.Random(seed)
    parts = []
    for _ in range(generator.randrange(1, 6)):
        alphabet = generator.choice(["a", "ab", "etaoinshrdlu", string.ascii_lowercase, "日本語中文字", "дно", "éa"])
        parts.append("".join(generator.choices(alphabet, k=generator.choice([20, 66, 150, 700, 2500]))))
        parts.append("".join(generator.choices(["the", "of", "tokens", "x"], k=generator.randrange(90))))
    piece = "".join(parts)
    assert gpt2.encode(piece) == by_reference(lambda: gpt2.encode(piece))


@needs_engine
def test_a_long_word_among_many_merges_equals_the_reference() -> None:
    generator = random.Random(5)
    syllables = ["".join(generator.choices(string.ascii_lowercase, k=generator.randrange(1, 5))) for _ in range(3_000)]
    words = ["".join(generator.choices(syllables, k=generator.randrange(2, 7))) for _ in range(20_000)]
    ours = train_bpe([" ".join(words)], 20_000)
    piece = "".join(generator.choices(syllables, k=20_000))
    assert len(ours.merges) > 15_000
    assert ours.encode(piece) == by_reference(lambda: ours.encode(piece))


@needs_engine
def test_large_ids_and_vocabularies_beyond_the_engine_are_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = {bytes([byte]): byte for byte in range(256)} | {b"ab": 10**12}
    ours = BytePairTokenizer(vocabulary, [(b"a", b"b")])
    assert ours.encode("abc") == [10**12, 99]
    assert ours.decode([10**12, 99]) == "abc"
    with pytest.raises(TokenizerError, match="4 bytes"):
        ours.encode_to_array("abc")


def crowded_pairs(count: int) -> tuple[dict[bytes, int], list[tuple[bytes, bytes]]]:
    """A vocabulary and merges; `count` of them are pairs that the table's multiplier leads to 13 leading zeros."""
    vocabulary = {bytes([byte]): byte for byte in range(256)}
    pairs = [
        (bytes([left]), bytes([right])) for left in b"abcdefghijklmnopqrstuvwxyzABCDEF" for right in range(97, 125)
    ]
    vocabulary |= {left + right: 256 + rank for rank, (left, right) in enumerate(pairs)}
    tokens = {number: token for token, number in vocabulary.items()}
    made = range(256, 256 + len(pairs))
    for left in made:
        for right in made:
            if count and ((left << 21 | right) * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 51 == 0:
                pairs.append((tokens[left], tokens[right]))
                vocabulary[tokens[left] + tokens[right]] = len(vocabulary)
                count -= 1
    assert count == 0
    return vocabulary, pairs


@needs_engine
@pytest.mark.parametrize("count", [40, 80])
def test_pairs_that_crowd_in_one_group_of_the_table_equal_the_reference(count: int) -> None:
    """Up to 64 fit; a table that would have to grow without end is left to the reference instead."""
    vocabulary, pairs = crowded_pairs(count)
    assert len(pairs) == 32 * 28 + count
    ours = BytePairTokenizer(vocabulary, pairs)
    assert (ours._engine() is None) == (count > 64)
    text = " ".join((left + right).decode() for left, right in pairs)
    ids = ours.encode(text)
    assert ids == by_reference(lambda: BytePairTokenizer(vocabulary, pairs).encode(text))
    assert max(ids) == 255 + len(pairs)


@needs_engine
def test_encode_iterable_can_be_left_early_and_holds_no_circle(gpt2: BytePairTokenizer) -> None:
    """The iterator in C is known to the garbage collector: chunks that hold their own iterator are freed."""

    class Chunks:
        def __iter__(self) -> Iterator[str]:
            return iter(["one two three "] * 3)

    chunks = Chunks()
    chunks.ids = gpt2.encode_iterable(chunks)  # type: ignore[attr-defined]
    assert next(chunks.ids) == gpt2.encode("one")[0]  # type: ignore[attr-defined]
    freed = weakref.ref(chunks)
    del chunks
    gc.collect()
    assert freed() is None
    ids = gpt2.encode_iterable(["one two", " three"])
    assert [*ids, *ids] == gpt2.encode("one two three")


def test_many_special_tokens_are_found_longest_first(either: str) -> None:
    names = [f"<|reserved_{number}|>" for number in range(300)]
    names += ["<", "x", "<|reserved_1", "日本", "日"]
    ours = train_bpe(["y"], 256 + len(names), special_tokens=names)
    text = "a<|reserved_1|><|reserved_12|><|reserved_1<|reserved_日本日本x<x"
    ids = ours.encode(text)
    assert ours.decode(ids) == text
    found = [i for i in ids if i >= 256]
    expected = ["<|reserved_1|>", "<|reserved_12|>", "<|reserved_1", "<", "日本", "日本", "x", "<", "x"]
    assert [ours.decode([i]) for i in found] == expected
