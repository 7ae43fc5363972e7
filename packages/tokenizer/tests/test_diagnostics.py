"""Reports and plots about vocabularies, and the cost of languages."""

from __future__ import annotations

import math
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from octad_tokenizer import (
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    TokenizerError,
    UnigramTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
    compare,
    diagnose,
    format_comparison,
    format_parity,
    parity,
    plot_diagnosis,
    under_trained_by_embedding,
    word_limits,
)
from octad_tokenizer.diagnostics import is_utf8, may_be_in_utf8, shown

BYTES = {bytes([byte]): byte for byte in range(256)}


@pytest.fixture(scope="module")
def odd() -> BytePairTokenizer:
    vocabulary = BYTES | {b"ab": 256, b"xyz": 257, "é".encode() + b"\xe6": 258, b" the the": 259}
    merges = [(b"a", b"b")]
    return BytePairTokenizer(vocabulary, merges, ["<s>"])


def test_diagnosis_counts_what_it_says(odd: BytePairTokenizer) -> None:
    found = diagnose(odd, ["ab ab<s>", "abc é"], rare_at_most=1)
    assert found.vocab_size == 261
    assert found.counts == {256: 3, 32: 2, 260: 1, ord("c"): 1, 0xC3: 1, 0xA9: 1}
    assert (found.num_bytes, found.num_words, found.num_tokens) == (14, 4, 9)
    assert found.bytes_per_token == 14 / 9
    assert found.fertility == 9 / 4
    assert found.special == {260}
    assert found.rare == {ord("c"): 1, 0xC3: 1, 0xA9: 1}
    assert len(found.unused) == 260 - 5
    assert found.under_trained[:3] == [0, 1, 2]
    assert found.under_trained[-3:] == [ord("c"), 0xA9, 0xC3]
    assert len(found.under_trained) == 258
    assert found.longest(2) == [(259, b" the the"), (257, b"xyz")]
    assert found.unreachable == {257: b"xyz", 258: b"\xc3\xa9\xe6", 259: b" the the"}
    assert sorted(found.impossible) == [0xC0, 0xC1, *range(0xF5, 0x100)]
    assert len(found.not_utf8) == 129
    report = found.report()
    for expected in (
        "261 ids",
        "1.556 bytes a token",
        "unreachable  3: 'xyz' (257)",
        "' the the' (8)",
        "impossible   13",
    ):
        assert expected in report


def test_may_be_in_utf8_is_true_of_every_part_of_a_text() -> None:
    text = "aé日😀ࠀ\U0010ffff\ud7ff\ue000".encode()
    parts = {text[start:stop] for start in range(len(text)) for stop in range(start + 1, len(text) + 1)}
    assert all(map(may_be_in_utf8, parts))
    for wrong in (b"\xff", b"\xc0\x80", b"a\x80", b"\xe6a", b"\x80\x80\x80\x80", b"\xed\xa0", b"\xf4\x90", b"a\xc1"):
        assert not may_be_in_utf8(wrong)
    assert is_utf8("é".encode())
    assert not is_utf8(b"\xc3")
    assert shown(b"\n") == r"'\n'"
    assert shown(b"\xc3") == r"b'\xc3'"


def test_unigram_pieces_that_others_outbid_are_unreachable() -> None:
    ours = UnigramTokenizer([("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -3.0), ("ba", -1.5)], 0)
    assert diagnose(ours, ["ab"]).unreachable == {3: b"ab"}


def test_rows_that_were_never_trained_are_found() -> None:
    """300 random directions; 20 that share one. Cosines of random rows in 64 dimensions are below 0.6 by far."""
    generator = random.Random(1)
    rows = [[generator.gauss(0, 1) for _ in range(64)] for _ in range(300)]
    shared = [generator.gauss(0, 1) for _ in range(64)]
    for at in range(20):
        rows[at * 10] = [0.1 * (value + generator.gauss(0, 0.3)) for value in shared]
    rows[5] = [0.0] * 64
    found = under_trained_by_embedding(rows, [0, 10, 20])
    assert {token_id for token_id, _ in found[:20]} == {at * 10 for at in range(20)}
    assert found[19][1] > 0.8 > 0.6 > found[20][1]
    assert dict(found)[5] == 0
    assert len(found) == 300
    for wrong in ([], [300], [-1]):
        with pytest.raises(TokenizerError, match="must name"):
            under_trained_by_embedding(rows, wrong)
    with pytest.raises(TokenizerError, match="lengths"):
        under_trained_by_embedding([[1.0], [1.0, 2.0]], [0])


def test_any_tokenizer_can_be_diagnosed() -> None:
    tokenizers = [
        ByteTokenizer(),
        CharacterTokenizer("ab "),
        WordTokenizer(["ab", "b"]),
        WordPieceTokenizer({"a": 0, "##b": 1}, []),
    ]
    for ours in tokenizers:
        found = diagnose(ours, ["ab b"])
        assert found.unreachable is None
        assert "cannot be told" in found.report()
        assert found.num_tokens == len(ours.encode("ab b"))
    with pytest.raises(TokenizerError, match="one str"):
        diagnose(ByteTokenizer(), "text")
    for empty in ([], [""]):
        with pytest.raises(TokenizerError, match="no tokens"):
            diagnose(ByteTokenizer(), empty)
    assert math.isnan(diagnose(ByteTokenizer(), [" "]).fertility)


def test_parity_is_relative_to_the_cheapest_language() -> None:
    costs = parity(ByteTokenizer(), {"Greek": "αβγδ", "English": "abcd", "German": "abcdü"})
    assert [(cost.language, cost.premium) for cost in costs] == [("English", 1.0), ("German", 1.5), ("Greek", 2.0)]
    assert costs[2].bytes_per_token == 1
    assert (costs[2].num_characters, costs[2].num_bytes, costs[2].num_tokens) == (4, 8, 8)
    lossy = parity(CharacterTokenizer("abcd", ["<unk>"], "<unk>"), {"English": "abcd", "Greek": "αβ"})
    assert lossy[0].language == "Greek"
    assert lossy[0].unknown_rate == 1
    assert format_parity(costs).splitlines()[0].split() == [
        *("language", "premium", "tokens", "characters", "bytes/token", "unknown")
    ]
    for wrong in ({}, {"English": "a", "none": ""}):
        with pytest.raises(TokenizerError, match=r"language|no tokens"):
            parity(ByteTokenizer(), wrong)


def test_gpt2_charges_burmese_most(gpt2: BytePairTokenizer, data: Callable[[str], Path]) -> None:
    """Petrov et al. 2023 report premiums above 10 for languages like Shan and Burmese."""
    with zipfile.ZipFile(data("text/udhr2.zip")) as archive:
        names = {"English": "eng", "Burmese": "mya", "French": "fra"}
        texts = {name: archive.read(f"udhr2/{code}.txt").decode() for name, code in names.items()}
    costs = {cost.language: cost for cost in parity(gpt2, texts)}
    assert costs["English"].premium == 1
    assert 1.3 < costs["French"].premium < 1.8
    assert costs["Burmese"].premium > 10


def test_comparison_shows_what_is_unknown() -> None:
    ours = {
        "byte": ByteTokenizer(),
        "word": WordTokenizer(["ab"]),
        "character": CharacterTokenizer("ab ", ["?"], "?"),
        "wordpiece": WordPieceTokenizer({"a": 0, "##b": 1}, []),
        "unigram": UnigramTokenizer([("<unk>", 0.0), ("▁", -1.0), ("ab", -1.0)], 0),
    }
    rows = {row.name: row for row in compare(ours, "ab ab xyz c")}
    rates = {name: row.unknown_rate for name, row in rows.items()}
    expected = {"byte": 0, "word": 0.5, "character": 4 / 11, "wordpiece": 0.5, "unigram": 2 / 8}
    assert rates == pytest.approx(expected)
    assert "50.0%" in format_comparison(list(rows.values()))
    assert CharacterTokenizer("a").unknown_rate("") == 0


def test_word_limits_fall_with_the_vocabulary() -> None:
    text, held_out = "a a a b b c", "a b c d d"
    limits = word_limits([text], held_out, [2, 3, 4, 100])
    assert [(limit.vocab_size, limit.unknown_words) for limit in limits] == [(2, 0.8), (3, 0.6), (4, 0.4), (4, 0.4)]
    assert [limit.unknown_distinct_words for limit in limits] == [0.75, 0.5, 0.25, 0.25]
    for limit in limits:
        ours = WordTokenizer.train([text], limit.vocab_size)
        assert ours.unknown_rate(held_out) == pytest.approx(limit.unknown_words)
    with pytest.raises(TokenizerError, match="no words"):
        word_limits([text], " ", [2])
    with pytest.raises(TokenizerError, match="vocab_size=1"):
        word_limits([text], "a", [1, 5])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plots_are_written_whole(odd: BytePairTokenizer, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    parallel = {f"language {at}": "ab" * (at + 1) for at in range(40)}
    for languages in (None, parallel) if suffix == ".svg" else (None,):
        found = diagnose(odd, ["ab ab é"], parallel=languages)
        path = plot_diagnosis(found, tmp_path / f"plot{suffix}", title="odd")
        assert path.stat().st_size > 2000
        if suffix == ".svg":
            before = path.read_bytes()
            assert languages or plot_diagnosis(found, path, title="odd").read_bytes() == before
            assert "How often tokens are used" in path.read_text()
            assert ("24 of 40 languages" in path.read_text()) == (languages is not None)
    assert len(list(tmp_path.iterdir())) == 1


def test_plots_refuse(odd: BytePairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = diagnose(odd, ["ab"])
    with pytest.raises(TokenizerError, match=r"'plot\.gif' does not end"):
        plot_diagnosis(found, tmp_path / "plot.gif")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TokenizerError, match=r"octad-tokenizer\[plot\]"):
        plot_diagnosis(found, tmp_path / "plot.svg")
