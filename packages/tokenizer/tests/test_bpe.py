"""Properties of encoding and decoding."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import CL100K, O200K, BytePairTokenizer, Tokenizer, TokenizerError, train_bpe
from octad_tokenizer.merge import merge_by_heap, merge_by_scan

BYTES = {bytes([byte]): byte for byte in range(256)}
SPECIAL = ["<|endoftext|>", "<|end|>", "<|end", " the end "]


@pytest.fixture(scope="module")
def small(wild_texts: list[str]) -> BytePairTokenizer:
    return train_bpe(wild_texts[:200], 500, special_tokens=SPECIAL)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_bpe_round_trips_any_text(small: BytePairTokenizer, text: str) -> None:
    for allowed in ("all", "none"):
        ids = small.encode(text, allowed_special=allowed)
        assert small.decode(ids, errors="strict") == text
        assert "".join(small.decode_stream(ids)) == text
        assert small.decode_bytes(ids) == text.encode()


@settings(max_examples=100, deadline=None)
@given(data=st.binary())
def test_bpe_round_trips_any_bytes(small: BytePairTokenizer, data: bytes) -> None:
    ids = small.merge_bytes(data)
    assert small.decode_bytes(ids) == data
    assert small.decode(ids) == data.decode(errors="replace")
    assert "".join(small.decode_stream(ids)) == data.decode(errors="replace")


def test_bpe_refuses_a_lone_surrogate(small: BytePairTokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"lone surrogate '\\ud83d'"):
        small.encode("a\ud83d")
    with pytest.raises(TokenizerError, match="lone surrogate"):
        list(small.encode_iterable(["\ud83d", "\ude00"]))


@settings(max_examples=200, deadline=None)
@given(
    ids=st.lists(st.integers(0, 5), max_size=40),
    pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12, unique=True),
    products=st.lists(st.integers(0, 9), min_size=12, max_size=12),
)
def test_heap_and_scan_agree(ids: list[int], pairs: list[tuple[int, int]], products: list[int]) -> None:
    """For any table: also ones in which a merge makes an earlier one possible."""
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    assert merge_by_heap(list(ids), ranks, products) == merge_by_scan(list(ids), ranks, products)


def test_many_equal_characters_are_not_quadratic() -> None:
    """Ratio of 16 times the work: 16 and a logarithm if linear, 256 if quadratic; 60 is between."""
    tokens = [b"a" * (1 << power) for power in range(1, 12)]
    vocabulary = BYTES | {token: 256 + at for at, token in enumerate(tokens)}
    ours = BytePairTokenizer(vocabulary, [(token[: len(token) // 2],) * 2 for token in tokens])

    def seconds(size: int) -> float:
        start = time.process_time()
        ids = ours.encode("a" * size)
        elapsed = time.process_time() - start
        assert sum(len(ours.token_bytes(token_id)) for token_id in ids) == size
        return elapsed

    base = min(seconds(1 << 12) for _ in range(5))
    assert min(seconds(1 << 16) for _ in range(2)) < 60 * base


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "own"])
def test_streams_equal_the_joined_text(streamers: dict[str, BytePairTokenizer], pattern: str, seed: int) -> None:
    """Cuts inside white space, contractions, numbers and special tokens."""
    ours, generator = streamers[pattern], random.Random(seed)
    pieces = [
        *"aZé1 \n\r\t.'/-",
        "  ",
        "\n\n",
        "'s",
        "'ll",
        "don't",
        "123",
        "\u0301",
        "日",
        *SPECIAL,
        "<|",
        "|>",
        " the ",
    ]
    text = "".join(generator.choices(pieces, k=generator.randrange(0, 30)))
    cuts = sorted(generator.choices(range(len(text) + 1), k=generator.randrange(0, 12)))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for allowed in ("all", "none", {"<|end"}):
        expected = ours.encode(text, allowed_special=allowed)
        assert list(ours.encode_iterable(chunks, allowed_special=allowed)) == expected
        assert list(ours.encode_iterable(text, allowed_special=allowed)) == expected


@pytest.fixture(scope="module")
def streamers(small: BytePairTokenizer, wild_texts: list[str]) -> dict[str, BytePairTokenizer]:
    patterns = {"cl100k": CL100K, "o200k": O200K, "own": r"\w+|\s"}
    trained = {
        name: train_bpe(wild_texts[:200], 500, special_tokens=SPECIAL, pattern=pattern)
        for name, pattern in patterns.items()
    }
    return {"gpt2": small, **trained}


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "own"])
def test_blocks_equal_the_whole(
    streamers: dict[str, BytePairTokenizer], pattern: str, wild_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, text = streamers[pattern], "".join(wild_texts[:200])
    whole = ours.encode(text)
    monkeypatch.setattr("octad_tokenizer.bpe._BLOCK", 11)
    assert ours.encode(text) == whole


def test_streams_read_only_as_far_as_needed(small: BytePairTokenizer) -> None:
    """Constant memory: after a word is over, at most the chunks of the next word are read before its ids come."""
    read = 0

    def chunks() -> object:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield "word "

    stream = small.encode_iterable(chunks())
    for at, _ in enumerate(stream, start=1):
        assert read <= at + 20
        if at == 100:
            break


def test_streams_equal_on_real_text(gpt2: BytePairTokenizer, data: Callable[[str], Path]) -> None:
    text = data("text/ud_zh_gsd_dev.conllu").read_text(encoding="utf-8")[:60_000]
    expected = gpt2.encode(text)
    for size in (1, 13, 4096):
        assert list(gpt2.encode_iterable(text[at : at + size] for at in range(0, len(text), size))) == expected


def test_special_tokens_are_found_longest_first_and_only_if_allowed(small: BytePairTokenizer) -> None:
    ids = small.special_tokens
    assert small.encode("<|end|><|end<|endoftext|>") == [ids["<|end|>"], ids["<|end"], ids["<|endoftext|>"]]
    assert small.encode("<|end|>", allowed_special={"<|end"})[0] == ids["<|end"]
    assert not set(small.encode("<|end|>", allowed_special="none")) & set(ids.values())
    assert small.encode("<|end|>", allowed_special=[]) == small.encode("<|end|>", allowed_special="none")
    for wrong in ("<|end|>", {"<|nothing|>"}):
        with pytest.raises(TokenizerError, match="allowed_special"):
            small.encode("a", allowed_special=wrong)
        with pytest.raises(TokenizerError, match="allowed_special"):
            small.encode_iterable(["a"], allowed_special=wrong)


def test_bpe_follows_the_protocol_and_handles_nothing(small: BytePairTokenizer) -> None:
    assert isinstance(small, Tokenizer)
    assert small.encode("") == []
    assert small.encode_batch([]) == []
    assert small.encode_batch(["", "a"]) == [[], small.encode("a")]
    assert list(small.encode_iterable([])) == list(small.encode_iterable(["", ""])) == []
    assert small.decode([]) == ""
    assert small.offsets([]) == []
    with pytest.raises(TokenizerError, match="one str"):
        small.encode_batch("ab")
    with pytest.raises(TokenizerError, match="decode bytes first"):
        small.encode(b"ab")


def test_offsets_are_places_in_the_bytes(small: BytePairTokenizer) -> None:
    text = "né <|end|> 日本"
    ids = small.encode(text)
    data = text.encode()
    assert [data[start:stop] for start, stop in small.offsets(ids)] == [small.token_bytes(i) for i in ids]
    assert small.offsets(ids)[-1][1] == len(data)


@pytest.mark.parametrize("wrong", [-1, 500, 10**12, "a", None, 1.5])
def test_decode_refuses_unknown_ids(small: BytePairTokenizer, wrong: object) -> None:
    for decode in (small.decode, small.decode_bytes, lambda ids: list(small.decode_stream(ids))):
        with pytest.raises(TokenizerError, match="not in the vocabulary"):
            decode([65, wrong])


def test_decode_says_what_to_do_with_half_characters(small: BytePairTokenizer) -> None:
    half = small.merge_bytes("日".encode()[:2])
    assert small.decode(half) == "\ufffd"
    assert small.decode(half, errors="ignore") == ""
    with pytest.raises(TokenizerError, match="not UTF-8"):
        small.decode(half, errors="strict")
    with pytest.raises(TokenizerError, match="errors='loud'"):
        small.decode(half, errors="loud")


def test_decode_stream_waits_for_whole_characters() -> None:
    ours = train_bpe(["x"], 256)
    pieces = list(ours.decode_stream(ours.encode("a日👩")))
    assert pieces == ["a", "日", "👩"]


def test_cache_changes_nothing(wild_texts: list[str]) -> None:
    ours = train_bpe(wild_texts[:100], 300)
    first = ours.encode_batch(wild_texts[:100])
    first[0].append(-1)
    assert ours.encode_batch(wild_texts[:100])[1:] == first[1:]
    assert ours.encode(wild_texts[0]) == first[0][:-1]


def test_cache_forgets_before_it_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octad_tokenizer.bpe._CACHED_PIECES", 10)
    ours = train_bpe(["x"], 256)
    text = " ".join(f"{number:x}" for number in range(500))
    assert ours.decode(ours.encode(text)) == text
    assert len(ours._cache) <= 10


def test_bpe_can_be_pickled(small: BytePairTokenizer) -> None:
    again = pickle.loads(pickle.dumps(small))
    assert again.fingerprint == small.fingerprint
    assert again.encode("a b<|end|>") == small.encode("a b<|end|>")


def test_fingerprint_changes_with_everything_that_decides_ids() -> None:
    vocabulary = BYTES | {b"ab": 256, b"bc": 257}
    merges = [(b"a", b"b"), (b"b", b"c")]
    made = [
        BytePairTokenizer(vocabulary, merges),
        BytePairTokenizer(vocabulary, merges[::-1]),
        BytePairTokenizer(vocabulary, merges, ["<x>"]),
        BytePairTokenizer(vocabulary, merges, {"<x>": 300}),
        BytePairTokenizer(vocabulary, merges, pattern=CL100K),
        BytePairTokenizer(vocabulary, merges, ignore_merges=True),
        BytePairTokenizer(vocabulary | {b"xy": 258}, merges),
    ]
    assert len({one.fingerprint for one in made}) == len(made)
    assert BytePairTokenizer(dict(reversed(vocabulary.items())), merges).fingerprint == made[0].fingerprint


def test_special_tokens_listed_in_the_vocabulary_keep_their_ids() -> None:
    vocabulary = {b"<x>": 0} | {token: byte + 1 for token, byte in BYTES.items()}
    by_name = BytePairTokenizer(vocabulary, [], ["<x>", "<y>"])
    assert by_name.special_tokens == {"<x>": 0, "<y>": 257}
    assert BytePairTokenizer(vocabulary, [], {"<x>": 0}).encode("<x>") == [0]


def test_ids_may_have_gaps(tmp_path: Path) -> None:
    ours = BytePairTokenizer(BYTES | {b"ab": 1000}, [(b"a", b"b")], {"<x>": 5000})
    assert ours.vocab_size == 5001
    assert ours.encode("ab<x>") == [1000, 5000]
    assert BytePairTokenizer.load(ours.save(tmp_path / "gaps.json")).fingerprint == ours.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": {}, "merges": []}, "lacks 256"),
        ({"vocabulary": {**BYTES, b"ab": 3}, "merges": []}, "each its own"),
        ({"vocabulary": {**BYTES, b"": 300}, "merges": []}, "non-empty bytes"),
        ({"vocabulary": {**BYTES, "ab": 300}, "merges": []}, "non-empty bytes"),
        ({"vocabulary": {**BYTES, b"ab": -1}, "merges": []}, "int >= 0"),
        ({"vocabulary": BYTES, "merges": [(b"a", b"b")]}, "needs b'ab'"),
        ({"vocabulary": BYTES, "merges": [], "special_tokens": {"<x>": 5}}, "both"),
        ({"vocabulary": BYTES, "merges": [], "special_tokens": {"<x>": 256, "<y>": 256}}, "share an id"),
        ({"vocabulary": BYTES, "merges": [], "special_tokens": {"<x>": -1}}, "int >= 0"),
        ({"vocabulary": BYTES, "merges": [], "pattern": "a*"}, "empty text"),
        ({"vocabulary": BYTES, "merges": [], "pattern": b"a"}, "not a str"),
    ],
)
def test_construction_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer(**arguments)


def test_save_refuses_a_special_token_spelled_like_an_ordinary_one(tmp_path: Path) -> None:
    ours = BytePairTokenizer(BYTES, [], {"a": 256})
    assert ours.encode("ab") == [256, 98]
    with pytest.raises(TokenizerError, match="rename"):
        ours.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_save_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = BytePairTokenizer(BYTES, [])
    path = ours.save(tmp_path)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        BytePairTokenizer(BYTES, [], ["<x>"]).save(tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"]
