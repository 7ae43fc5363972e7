"""Byte-pair encoding over characters against Hugging Face and, where it is installed, SentencePiece itself."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import BytePairTokenizer, SentencePieceBPE, Tokenizer, TokenizerError, diagnose
from tokenizers import decoders, models, normalizers, pre_tokenizers

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
OLD = (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
NEW = (None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
SPLIT = (None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True))


@pytest.fixture(scope="module")
def lines(wild_texts: list[str], data: Callable[[str], Path]) -> list[str]:
    names = ["text/wikitext2_valid.txt", "text/ud_zh_gsd_dev.conllu"]
    real = [line for name in names for line in data(name).read_text(encoding="utf-8")[:12_000].split("\n")]
    return [*real, *wild_texts[:300]]


def llama_like(
    lines: list[str], steps: tuple[object, object], *, byte_fallback: bool, fuse_unk: bool
) -> tokenizers.Tokenizer:
    theirs = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=fuse_unk))
    theirs.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>", "<s>", "</s>", *BYTES], limit_alphabet=150, show_progress=False
    )
    theirs.train_from_iterator(lines, trainer)
    document = json.loads(theirs.to_str())
    document["added_tokens"] = document["added_tokens"][:3]
    theirs = tokenizers.Tokenizer.from_str(json.dumps(document))
    if steps[0] is not None:
        theirs.normalizer = steps[0]
    if steps[1] is not None:
        theirs.pre_tokenizer = steps[1]
    else:
        document = json.loads(theirs.to_str())
        document["pre_tokenizer"] = None
        theirs = tokenizers.Tokenizer.from_str(json.dumps(document))
    strip = decoders.Strip(" ", 1, 0)
    theirs.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return theirs


@pytest.fixture(scope="module", params=["old", "new", "split"])
def pair(
    request: pytest.FixtureRequest, lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[SentencePieceBPE, tokenizers.Tokenizer]:
    steps = {"old": OLD, "new": NEW, "split": SPLIT}[request.param]
    theirs = llama_like(lines, steps, byte_fallback=request.param != "split", fuse_unk=request.param != "new")
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    theirs.save(str(path))
    return SentencePieceBPE.load(path), theirs


def test_ids_and_text_equal_hugging_face(pair: tuple[SentencePieceBPE, tokenizers.Tokenizer], lines: list[str]) -> None:
    ours, theirs = pair
    assert isinstance(ours, Tokenizer)
    for text in [*lines, "", " ", "a</s> b", "</s>a", "日本語 \U0001f600\U0001f600x"]:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert "".join(ours.decode_stream(ids)) == ours.decode(ids)
        if ours.byte_fallback and text and not text.startswith(" ") and "</s>" not in text:
            assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False) == text.replace("▁", " ")


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from([*"the and ▁\n", "日", "é", "\U0001f600"])))
def test_any_text_has_hugging_faces_ids(pair: tuple[SentencePieceBPE, tokenizers.Tokenizer], text: str) -> None:
    ours, theirs = pair
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_streams_equal_the_joined_text(pair: tuple[SentencePieceBPE, tokenizers.Tokenizer], seed: int) -> None:
    ours, generator = pair[0], random.Random(seed)
    text = "".join(generator.choices([*"abé  \n日", "</s>", " the", "and"], k=generator.randrange(0, 25)))
    cuts = sorted(generator.choices(range(len(text) + 1), k=6))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert list(ours.encode_iterable(chunks)) == ours.encode(text)
    data = text.encode()
    assert list(ours.encode_iterable(data[at : at + 1] for at in range(len(data)))) == ours.encode(text)


def test_saved_files_go_both_ways(
    pair: tuple[SentencePieceBPE, tokenizers.Tokenizer], lines: list[str], tmp_path: Path
) -> None:
    ours = pair[0]
    path = ours.save(tmp_path)
    theirs, again = tokenizers.Tokenizer.from_file(str(path)), SentencePieceBPE.load(path)
    assert (again.vocabulary, again.merges, again.special_tokens) == (ours.vocabulary, ours.merges, ours.special_tokens)
    for text in lines[:200]:
        assert theirs.encode(text).ids == again.encode(text) == ours.encode(text)


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_models_are_read_as_sentencepiece_reads_them(byte_fallback: bool, lines: list[str], tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:400]),
        model_writer=model,
        model_type="bpe",
        vocab_size=1200,
        byte_fallback=byte_fallback,
        character_coverage=0.98,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.getvalue())
    theirs, ours = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()), SentencePieceBPE.load(path)
    for text in lines:
        assert ours.encode(text, allowed_special="none") == theirs.encode(text)
    with pytest.raises(TokenizerError, match=r"keep the \.model"):
        ours.save(tmp_path)
    with pytest.raises(TokenizerError, match="type 'bpe'"):
        from octad_tokenizer import UnigramTokenizer

        UnigramTokenizer.load(path)


def test_files_of_the_other_kind_name_their_reader(tmp_path: Path) -> None:
    bytes_path = BytePairTokenizer({bytes([byte]): byte for byte in range(256)}, []).save(tmp_path / "bytes.json")
    with pytest.raises(TokenizerError, match=r"BytePairTokenizer\.load"):
        SentencePieceBPE.load(bytes_path)
    vocabulary = {piece: at for at, piece in enumerate(["<unk>", *BYTES])}
    path = SentencePieceBPE(vocabulary, [], byte_fallback=True).save(tmp_path / "characters.json")
    with pytest.raises(TokenizerError, match=r"SentencePieceBPE\.load"):
        BytePairTokenizer.load(path)


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ({"<unk>": 0, "": 1}, [], "non-empty"),
        ({"<unk>": 0, "a": True}, [], "int >= 0"),
        ({"<unk>": 0, "a": 0}, [], "each its own"),
        ({"a": 0}, [], "not in the vocabulary"),
        ({"<unk>": 0, "a": 1}, [("a", "a")], "needs 'aa'"),
        ({"<unk>": 0, "a": 1}, [("a",)], "a pair"),
    ],
)
def test_construction_refuses(vocabulary: dict[str, int], merges: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        SentencePieceBPE(vocabulary, merges)


def test_unknown_characters_are_fused_or_not() -> None:
    vocabulary = {"<unk>": 0, "a": 1, "aa": 2}
    assert SentencePieceBPE(vocabulary, [("a", "a")]).encode("xxaaay") == [0, 2, 1, 0]
    assert SentencePieceBPE(vocabulary, [("a", "a")], fuse_unknown=False).encode("xxa") == [0, 0, 1]
    assert diagnose(SentencePieceBPE(vocabulary, []), ["a"]).unreachable is None
    with pytest.raises(TokenizerError, match="no piece covers 'x'"):
        SentencePieceBPE({"a": 0}, [], None).encode("x")
    with pytest.raises(TokenizerError, match="surrogate"):
        SentencePieceBPE(vocabulary, []).encode("\ud800")
