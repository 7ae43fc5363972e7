"""Ids against tiktoken and Hugging Face."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
import tiktoken.load
import tokenizers
from octad_tokenizer import (
    CL100K,
    GPT2,
    O200K,
    QWEN2,
    BytePairTokenizer,
    PreTokenizer,
    TokenizerError,
    from_tiktoken_ranks,
    load_gpt2_files,
    load_tiktoken_ranks,
    save_gpt2_files,
    save_tiktoken_ranks,
    to_tiktoken_ranks,
    train_bpe,
)

PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "qwen2": QWEN2}


def as_tiktoken(tokenizer: BytePairTokenizer) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "test",
        pat_str=tokenizer.pattern,
        mergeable_ranks=to_tiktoken_ranks(tokenizer),
        special_tokens=dict(tokenizer.special_tokens),
    )


@pytest.fixture(scope="session")
def real_texts(data: Callable[[str], Path]) -> list[str]:
    names = ["text/wikitext2_valid.txt", "text/ud_zh_gsd_dev.conllu", "tokenizer/corpus.en"]
    return [data(name).read_text(encoding="utf-8")[:150_000] for name in names]


@pytest.fixture(scope="module")
def gpt2_ranks(gpt2: BytePairTokenizer) -> dict[bytes, int]:
    return to_tiktoken_ranks(gpt2)


def test_gpt2_ids_equal_tiktoken(
    gpt2: BytePairTokenizer, gpt2_ranks: dict[bytes, int], wild_texts: list[str], real_texts: list[str]
) -> None:
    theirs = tiktoken.Encoding(
        "gpt2", pat_str=GPT2, mergeable_ranks=gpt2_ranks, special_tokens=dict(gpt2.special_tokens)
    )
    for text in [*wild_texts, *real_texts]:
        assert gpt2.encode(text) == theirs.encode(text, allowed_special="all")
        assert gpt2.encode(text, allowed_special="none") == theirs.encode_ordinary(text)


def test_gpt2_ids_equal_hugging_face(
    gpt2: BytePairTokenizer, data: Callable[[str], Path], wild_texts: list[str], real_texts: list[str]
) -> None:
    vocab, merges = data("tokenizer/gpt2_vocab.json"), data("tokenizer/gpt2_merges.txt")
    theirs = tokenizers.ByteLevelBPETokenizer(str(vocab), str(merges))
    theirs.add_special_tokens(["<|endoftext|>"])
    for text in [*wild_texts, *real_texts]:
        assert gpt2.encode(text) == theirs.encode(text).ids
    assert gpt2.vocab_size == 50257
    assert gpt2.special_tokens == {"<|endoftext|>": 50256}
    assert gpt2.encode("Hello world") == [15496, 995]


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_split_as_tiktoken_and_hugging_face(name: str, wild_texts: list[str], tmp_path: Path) -> None:
    ours = train_bpe(wild_texts[:300], 420, special_tokens=["<|endoftext|>", "<|end"], pattern=PATTERNS[name])
    reference = as_tiktoken(ours)
    loaded = tokenizers.Tokenizer.from_file(str(ours.save(tmp_path)))
    for text in wild_texts:
        ids = ours.encode(text)
        assert ids == loaded.encode(text).ids
        assert ours.encode(text, allowed_special="none") == reference.encode_ordinary(text)
        assert ours.decode(ids) == text


def test_published_patterns_equal_tiktokens_own_spelling(
    gpt2: BytePairTokenizer, gpt2_ranks: dict[bytes, int], wild_texts: list[str]
) -> None:
    """tiktoken writes the patterns with possessive quantifiers now; the pre-tokens are the same."""
    public = pytest.importorskip("tiktoken_ext.openai_public")
    theirs = tiktoken.Encoding("r50k", pat_str=public.r50k_pat_str, mergeable_ranks=gpt2_ranks, special_tokens={})
    for text in wild_texts:
        assert gpt2.encode(text, allowed_special="none") == theirs.encode_ordinary(text)


def test_newer_patterns_equal_tiktokens(wild_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    public = pytest.importorskip("tiktoken_ext.openai_public")
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda *_, **__: {})
    assert public.o200k_base()["pat_str"] == O200K
    published, ours = PreTokenizer(public.cl100k_base()["pat_str"]), PreTokenizer(CL100K)
    for text in wild_texts:  # at the end of a text tiktoken's newer spelling takes all white space at once
        assert published.split(text.rstrip() + "x") == ours.split(text.rstrip() + "x")
    assert published.split("a\n\t ") == ["a", "\n\t "]
    assert ours.split("a\n\t ") == ["a", "\n", "\t "]


def test_save_and_load_lose_nothing(gpt2: BytePairTokenizer, tmp_path: Path) -> None:
    path = gpt2.save(tmp_path / "folder")
    again = BytePairTokenizer.load(tmp_path / "folder")
    assert path.name == "tokenizer.json"
    assert again.fingerprint == gpt2.fingerprint
    assert (again.vocabulary, again.merges) == (gpt2.vocabulary, gpt2.merges)
    assert [p.name for p in path.parent.iterdir()] == ["tokenizer.json"]


def test_hugging_face_file_is_read_and_equal(tmp_path: Path, wild_texts: list[str]) -> None:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=True))
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(CL100K), "isolated")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(wild_texts, trainer)
    theirs.save(str(tmp_path / "theirs.json"))
    ours = BytePairTokenizer.load(tmp_path / "theirs.json")
    assert ours.pattern == CL100K
    assert ours.special_tokens["<s>"] == 0
    for text in wild_texts:
        assert ours.encode(text) == theirs.encode(text).ids


def test_load_names_what_it_cannot_follow(tmp_path: Path) -> None:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.normalizer = tokenizers.normalizers.NFC()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    theirs.train_from_iterator(["a"], trainer)
    path = tmp_path / "tokenizer.json"
    theirs.save(str(path))
    with pytest.raises(TokenizerError, match="normalizer 'NFC'"):
        BytePairTokenizer.load(path)
    assert BytePairTokenizer.load(path, ignore=["normalizer"]).vocab_size == 256
    with pytest.raises(TokenizerError, match="it can name"):
        BytePairTokenizer.load(path, ignore=["all"])
    for content in ("[]", "{}", '{"model": {"type": "Unigram"}}', "{", '{"model": null}'):
        path.write_text(content)
        with pytest.raises(TokenizerError, match=re.escape(str(path))):
            BytePairTokenizer.load(path)
    with pytest.raises(FileNotFoundError):
        BytePairTokenizer.load(tmp_path / "nothing.json")


def test_gpt2_files_go_both_ways(gpt2: BytePairTokenizer, data: Callable[[str], Path], tmp_path: Path) -> None:
    vocab, merges = save_gpt2_files(gpt2, tmp_path)
    assert load_gpt2_files(vocab, merges).fingerprint == gpt2.fingerprint
    version, rest = merges.read_text().split("\n", 1)
    assert version == "#version: 0.2"
    assert rest == data("tokenizer/gpt2_merges.txt").read_text()


def test_gpt2_files_number_new_special_tokens_after_the_vocabulary(tmp_path: Path) -> None:
    small = train_bpe(["# # # ## ## aa"], 258)
    vocab, merges = save_gpt2_files(small, tmp_path)
    again = load_gpt2_files(vocab, merges, special_tokens=["<a>", "<b>"])
    assert again.special_tokens == {"<a>": 258, "<b>": 259}
    assert again.merges == small.merges
    merges.write_text("one two three\n")
    with pytest.raises(TokenizerError, match="line 1"):
        load_gpt2_files(vocab, merges)


def test_gpt2_merges_are_found_again_from_ranks(gpt2: BytePairTokenizer, gpt2_ranks: dict[bytes, int]) -> None:
    again = from_tiktoken_ranks(gpt2_ranks, pattern=GPT2, special_tokens={"<|endoftext|>": 50256})
    assert again.fingerprint == gpt2.fingerprint


def test_tiktoken_ranks_go_both_ways(wild_texts: list[str], tmp_path: Path) -> None:
    ours = train_bpe(wild_texts, 400, special_tokens=["<|endoftext|>"])
    path = save_tiktoken_ranks(ours, tmp_path / "ours.tiktoken")
    again = load_tiktoken_ranks(path, pattern=GPT2, special_tokens=["<|endoftext|>"])
    assert again.fingerprint == ours.fingerprint
    assert tiktoken.load.load_tiktoken_bpe(str(path)) == to_tiktoken_ranks(ours)


def test_tiktoken_ranks_without_merges_are_whole_pre_tokens(wild_texts: list[str]) -> None:
    """tiktoken takes a pre-token that is in the table whole, though no joins lead to it."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {b"xyz": 256, b"ab": 257, b"cd": 258, b"abcd": 259, b" XY": 260, b"bc": 261, b"bca": 262, b"aab": 263}
    ours = from_tiktoken_ranks(ranks, pattern=GPT2)
    theirs = tiktoken.Encoding("t", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    assert ours.ignore_merges
    for text in ["xyz", "xyzxyz", "abcd", "abcda", "bcabca", "aabaab", " XY", "XY", " XYZ", *wild_texts[:200]]:
        assert ours.encode(text) == theirs.encode_ordinary(text)
    assert to_tiktoken_ranks(ours) == ranks


def test_tiktoken_export_refuses_what_ranks_cannot_tell() -> None:
    byte_ids = {bytes([byte]): byte for byte in range(256)}
    swapped = BytePairTokenizer({**byte_ids, b"ab": 257, b"cd": 256}, [(b"a", b"b"), (b"c", b"d")])
    with pytest.raises(TokenizerError, match="their order"):
        to_tiktoken_ranks(swapped)
    unmade = BytePairTokenizer({**byte_ids, b"xyz": 256}, [])
    with pytest.raises(TokenizerError, match="no merge makes"):
        to_tiktoken_ranks(unmade)


def test_tiktoken_file_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.tiktoken"
    path.write_text("IQ== 0\nnot base64 at all\n")
    with pytest.raises(TokenizerError, match="line 2"):
        load_tiktoken_ranks(path, pattern=GPT2)


@pytest.mark.parametrize("seed", range(30))
def test_any_rank_table_gives_tiktokens_ids(seed: int) -> None:
    """Tables that no training makes: tokens without parts, parts that rank after their product."""
    generator = random.Random(seed)
    tokens = list({bytes(generator.choices(b"abc ", k=generator.randrange(2, 7))) for _ in range(20)})
    generator.shuffle(tokens)
    ranks = {bytes([byte]): byte for byte in range(256)} | {token: 256 + at for at, token in enumerate(tokens)}
    ours = from_tiktoken_ranks(ranks, pattern=GPT2)
    theirs = tiktoken.Encoding("t", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    for _ in range(30):
        text = "".join(generator.choices("abc ", k=generator.randrange(1, 150)))
        assert ours.encode(text) == theirs.encode_ordinary(text)
    assert to_tiktoken_ranks(ours) == ranks


@pytest.mark.parametrize("seed", range(30))
def test_any_merge_table_gives_hugging_faces_ids(seed: int, tmp_path: Path) -> None:
    """Merges in any order, several of which may make the same token."""
    generator = random.Random(seed)
    vocabulary = {bytes([byte]): byte for byte in range(256)}
    parts, merges = [b"a", b"b", b"c", b" "], []
    for _ in range(generator.randrange(1, 25)):
        pair = generator.choice(parts), generator.choice(parts)
        if pair in merges:
            continue
        merges.append(pair)
        if pair[0] + pair[1] not in vocabulary:
            vocabulary[pair[0] + pair[1]] = len(vocabulary)
            parts.append(pair[0] + pair[1])
    generator.shuffle(merges)
    ours = BytePairTokenizer(vocabulary, merges, ignore_merges=generator.random() < 0.5)
    theirs = tokenizers.Tokenizer.from_file(str(ours.save(tmp_path)))
    for _ in range(30):
        text = "".join(generator.choices("abc ", k=generator.randrange(1, 150)))
        assert ours.encode(text) == theirs.encode(text).ids
