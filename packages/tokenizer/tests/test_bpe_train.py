"""Training against Hugging Face's trainer and a naive one."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import CL100K, GPT2, BytePairTokenizer, PreTokenizer, TokenizerError, native, train_bpe
from octad_tokenizer.byte_spelling import unspelled

Merges = list[tuple[bytes, bytes]]


@pytest.fixture(params=["engine", "reference"], autouse=True)
def trainer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds with the C engine and without it."""
    if request.param == "reference":
        monkeypatch.setattr(native, "engine", None)
        monkeypatch.setattr(native, "_warned", True)
    elif native.engine is None:
        pytest.skip("the C engine is not built here")


def hugging_face_merges(texts: list[str], vocab_size: int) -> tuple[dict[bytes, int], Merges]:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    theirs.train_from_iterator(texts, trainer)
    model = json.loads(theirs.to_str())["model"]
    merges = [(unspelled(left), unspelled(right)) for left, right in model["merges"]]
    return {unspelled(token): token_id for token, token_id in model["vocab"].items()}, merges


def naive_merges(texts: list[str], num_merges: int, pattern: str = GPT2) -> Merges:
    """Count all pairs anew for each merge; ties go to the greatest pair of byte strings."""
    words = Counter(piece.encode() for text in texts for piece in PreTokenizer(pattern).split(text))
    parts = {word: [bytes([byte]) for byte in word] for word in words}
    merges: Merges = []
    while len(merges) < num_merges:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(parts[word]):
                counts[pair] += count
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for word, old in parts.items():
            new: list[bytes] = []
            at = 0
            while at < len(old):
                if tuple(old[at : at + 2]) == best:
                    new.append(best[0] + best[1])
                    at += 2
                else:
                    new.append(old[at])
                    at += 1
            parts[word] = new
    return merges


corpora = st.lists(st.text(alphabet="abc dé\n", min_size=1, max_size=60), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_training_equals_hugging_face_on_small_corpora(texts: list[str]) -> None:
    ours = train_bpe(texts, 300, tie_break="lowest_ids", allow_smaller=True)
    vocabulary, merges = hugging_face_merges(texts, 300)
    assert list(ours.merges) == merges
    assert dict(ours.vocabulary) == vocabulary


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_training_equals_naive_counting(texts: list[str]) -> None:
    ours = train_bpe(texts, 300, allow_smaller=True)
    naive = naive_merges(texts, len(ours.merges))
    assert list(ours.merges) == naive


def test_training_equals_hugging_face_on_shakespeare(data: Callable[[str], Path]) -> None:
    path = data("text/tinyshakespeare.txt")
    ours = train_bpe([path], 2000, tie_break="lowest_ids")
    vocabulary, merges = hugging_face_merges([path.read_text()], 2000)
    assert list(ours.merges) == merges
    assert dict(ours.vocabulary) == vocabulary


def test_training_on_a_file_equals_training_on_its_text(tmp_path: Path, wild_texts: list[str]) -> None:
    text = "\r\n".join(wild_texts)
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    ours = train_bpe([text], 400, pattern=CL100K, special_tokens=["<|endoftext|>"])
    assert train_bpe([path], 400, pattern=CL100K, special_tokens=["<|endoftext|>"]).fingerprint == ours.fingerprint
    assert train_bpe(path, 400, pattern=CL100K, special_tokens=["<|endoftext|>"]).fingerprint == ours.fingerprint
    path.write_bytes(b"abc\xff")
    with pytest.raises(TokenizerError, match="not UTF-8"):
        train_bpe([path], 300)


def test_training_breaks_ties_as_told() -> None:
    """Four pairs occur once each; (0x80.. bytes are greater than letters.)"""
    assert train_bpe(["ab ba xy"], 257).merges == ((b"x", b"y"),)
    assert train_bpe(["ab ba xy"], 257, tie_break="lowest_ids").merges == ((b"a", b"b"),)
    # A token that is the beginning of another is the lesser one.
    byte_wise = train_bpe(["aab aab ab ab ab zab"], 258)
    assert byte_wise.merges[0] == (b"a", b"b")


def test_special_tokens_are_borders_and_not_learned() -> None:
    text = "ab<|x|>ab<|x|>" * 50
    ours = train_bpe([text], 258, special_tokens=["<|x|>"])
    assert ours.merges == ((b"a", b"b"),)
    assert ours.special_tokens == {"<|x|>": 257}
    with pytest.raises(TokenizerError, match="set vocab_size=258"):
        train_bpe([text], 300, special_tokens=["<|x|>"])
    assert ours.encode("ab<|x|>ab") == [256, 257, 256]


def test_no_two_pairs_make_the_same_token() -> None:
    generator = random.Random(3)
    texts = ["".join(generator.choices("ab", k=12)) for _ in range(200)]
    ours = train_bpe(texts, 420, allow_smaller=True)
    assert len({left + right for left, right in ours.merges}) == len(ours.merges) == 420 - 256
    for text in texts:
        assert ours.decode(ours.encode(text)) == text


def test_ids_are_bytes_then_merges_then_special_tokens() -> None:
    ours = train_bpe(["low lower lowest"] * 3, 262, special_tokens=["<a>", "<b>"])
    assert ours.vocab_size == 262
    assert ours.special_tokens == {"<a>": 260, "<b>": 261}
    assert [ours.vocabulary[left + right] for left, right in ours.merges] == [256, 257, 258, 259]
    assert ours.vocabulary[b"!"] == 0


def test_training_reports_progress_and_is_deterministic(wild_texts: list[str]) -> None:
    seen: list[tuple[int, int]] = []
    ours = train_bpe(wild_texts, 300, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (44, 44)
    assert train_bpe(iter(wild_texts), 300).fingerprint == ours.fingerprint


def test_min_frequency_stops_early() -> None:
    ours = train_bpe(["ab ab ab cd"], 300, min_frequency=2, allow_smaller=True)
    assert ours.merges == ((b"a", b"b"), (b" ", b"ab"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["abc"], "vocab_size": 255}, "at least 256"),
        ({"texts": ["abc"], "vocab_size": 257, "special_tokens": ["<a>", "<b>"]}, "at least 258"),
        ({"texts": [], "vocab_size": 300}, "nothing but special"),
        ({"texts": ["", ""], "vocab_size": 300}, "nothing but special"),
        ({"texts": "one text", "vocab_size": 300}, r"pass \[text\]"),
        ({"texts": ["aaaa"], "vocab_size": 300}, "set vocab_size=258"),
        ({"texts": ["ab"], "vocab_size": 257, "tie_break": "random"}, "tie_break"),
        ({"texts": ["ab"], "vocab_size": 257, "min_frequency": 0}, "min_frequency"),
        ({"texts": ["ab"], "vocab_size": 258, "special_tokens": ["<a>", "<a>"]}, "given twice"),
        ({"texts": ["ab"], "vocab_size": 258, "special_tokens": [""]}, "non-empty"),
        ({"texts": ["ab"], "vocab_size": 258, "special_tokens": "<a>"}, "one str"),
        ({"texts": [b"ab"], "vocab_size": 257}, "bytes"),
        ({"texts": ["\ud800"], "vocab_size": 257}, "lone surrogate"),
        ({"texts": ["ab"], "vocab_size": 257, "pattern": "("}, "not a regular expression"),
        ({"texts": ["ab"], "vocab_size": 257, "pattern": r"\w*"}, "empty text"),
    ],
)
def test_training_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        train_bpe(**arguments)


def test_training_needs_no_merges() -> None:
    ours = train_bpe(["x"], 256)
    assert isinstance(ours, BytePairTokenizer)
    assert ours.merges == ()
