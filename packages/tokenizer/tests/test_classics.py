"""Byte, character and word tokenizers, and the comparison of all."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import (
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    TokenizerError,
    WordTokenizer,
    compare,
    format_comparison,
    train_bpe,
    unreachable_tokens,
    unused_tokens,
)

ALPHABET = "ab é日\n'"
TOKENIZERS = {
    "byte": ByteTokenizer(["<s>", "<s>>"]),
    "character": CharacterTokenizer(ALPHABET, ["<s>", "<s>>"]),
    "lossy": CharacterTokenizer("ab", ["<s>", "?"], unknown="?"),
    "word": WordTokenizer(["a", "b", "ab", "'"], ["<s>", "<s>>"]),
}


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.sampled_from([*ALPHABET, "<s>", "<s>>"])).map("".join), seed=st.integers(0, 999))
@pytest.mark.parametrize("name", TOKENIZERS)
def test_streams_and_batches_equal_the_text(name: str, text: str, seed: int) -> None:
    ours, generator = TOKENIZERS[name], random.Random(seed)
    if name in ("character",):
        assert ours.decode(ours.encode(text)) == text
    if name == "character":
        text = text.replace("<", "").replace(">", "").replace("s", "")
    cuts = sorted(generator.choices(range(len(text) + 1), k=4))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for allowed in ("all", "none", ["<s>"]):
        ids = ours.encode(text, allowed_special=allowed)
        assert list(ours.encode_iterable(chunks, allowed_special=allowed)) == ids
        assert ours.encode_batch([text, text], allowed_special=allowed) == [ids, ids]
        assert "".join(ours.decode_stream(ids)) == ours.decode(ids) == ours.decode_bytes(ids).decode()
        assert all(0 <= token_id < ours.vocab_size for token_id in ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_classics_follow_the_protocol(name: str) -> None:
    ours = TOKENIZERS[name]
    assert isinstance(ours, Tokenizer)
    assert ours.encode("") == ours.encode_batch([]) == list(ours.encode_iterable([])) == []
    assert ours.decode([]) == ""
    assert ours.token_bytes(ours.special_tokens["<s>"]) == b"<s>"
    with pytest.raises(TokenizerError, match="not in the vocabulary"):
        ours.decode([ours.vocab_size])


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_bytes_round_trip_any_text(text: str) -> None:
    ours = ByteTokenizer()
    assert ours.encode(text) == list(text.encode())
    assert ours.decode(ours.encode(text), errors="strict") == text


def test_bytes_have_their_own_ids() -> None:
    ours = ByteTokenizer({"<x>": 1000})
    assert ours.vocab_size == 1001
    assert ours.encode("a<x>") == [97, 1000]
    with pytest.raises(TokenizerError, match="both"):
        ByteTokenizer({"<x>": 97})
    with pytest.raises(TokenizerError, match="surrogate"):
        ours.encode("\udc00")


def test_characters_are_learned_in_order() -> None:
    ours = CharacterTokenizer.train(["ba", "cb"], ["<s>"])
    assert ours.alphabet == "abc"
    assert ours.vocab_size == 4
    assert ours.encode("cab<s>") == [2, 0, 1, 3]
    with pytest.raises(TokenizerError, match="character 'd'"):
        ours.encode("d")
    with_unknown = CharacterTokenizer.train(["ab"], ["<unk>"], unknown="<unk>")
    assert with_unknown.decode(with_unknown.encode("adb")) == "a<unk>b"
    assert CharacterTokenizer([]).vocab_size == 0


def test_characters_refuse() -> None:
    with pytest.raises(TokenizerError, match="twice"):
        CharacterTokenizer("aba")
    with pytest.raises(TokenizerError, match="single characters"):
        CharacterTokenizer(["ab"])
    with pytest.raises(TokenizerError, match="none of the special"):
        CharacterTokenizer("ab", unknown="<unk>")
    with pytest.raises(TokenizerError, match=r"pass \[text\]"):
        CharacterTokenizer.train("ab")
    with pytest.raises(TokenizerError, match="surrogate"):
        CharacterTokenizer("\ud800")


def test_words_are_the_most_frequent_and_say_what_they_lose() -> None:
    ours = WordTokenizer.train(["the cat, the dog, the end<s>", "a cat"], 6, special_tokens=["<s>"])
    assert ours.encode("the , cat a") == [0, 1, 2, 3]
    assert ours.special_tokens == {"<s>": 4, "<unk>": 5}
    assert ours.decode(ours.encode("the   dog,\ncat<s>")) == "the <unk> , cat <s>"
    assert ours.unknown_rate("the dog, cat") == 0.25
    assert ours.unknown_rate(" ") == 0
    assert WordTokenizer.train(["one two"], 100).vocab_size == 3


def test_words_refuse() -> None:
    with pytest.raises(TokenizerError, match="set it to 3"):
        WordTokenizer.train(["a"], 2, special_tokens=["<s>"])
    with pytest.raises(TokenizerError, match="in pieces"):
        WordTokenizer(["don't"])
    with pytest.raises(TokenizerError, match="given twice"):
        WordTokenizer(["a", "a"])
    with pytest.raises(TokenizerError, match=r"pass \[text\]"):
        WordTokenizer.train("a", 10)


def test_compare_counts_what_it_says() -> None:
    text = "ab ab é"
    bpe = train_bpe([text], 258)
    rows = {
        row.name: row for row in compare({"byte": ByteTokenizer(), "bpe": bpe, "word": WordTokenizer(["ab"])}, text)
    }
    assert rows["byte"].num_tokens == 8
    assert rows["byte"].bytes_per_token == 1
    assert rows["byte"].tokens_per_word == pytest.approx(8 / 3)
    assert rows["byte"].vocabulary_use == pytest.approx(5 / 256)
    assert rows["byte"].round_trips
    assert not rows["word"].round_trips
    assert rows["bpe"].bytes_per_token == 8 / len(bpe.encode(text))
    assert format_comparison(list(rows.values())).count("\n") == 3
    with pytest.raises(TokenizerError, match="empty"):
        compare({"byte": ByteTokenizer()}, "")
    blank = compare({"word": WordTokenizer(["ab"])}, "  ")[0]
    assert math.isinf(blank.bytes_per_token)
    assert math.isnan(blank.tokens_per_word)


def test_diagnostics_find_dead_tokens() -> None:
    byte_ids = {bytes([byte]): byte for byte in range(256)}
    ours = BytePairTokenizer({**byte_ids, b"ab": 256, b"xyz": 257, b"a b": 300}, [(b"a", b"b")])
    dead = unreachable_tokens(ours)
    assert dead == {257: b"xyz", 300: b"a b"}
    unused = unused_tokens(ours, "ab" * 3)
    assert 256 not in unused
    assert 299 not in unused
    assert len(unused) == 258
    assert unused_tokens(ours, "abab", at_most=2)[256] == 2
