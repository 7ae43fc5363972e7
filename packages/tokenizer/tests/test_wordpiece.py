"""WordPiece against Hugging Face `tokenizers`, with its own vocabularies."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import BertNormalizer, Framing, Tokenizer, TokenizerError, WordPieceTokenizer
from octad_tokenizer.normalization import bert_words, decomposed, white_space_words, without_marks

SCALARS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OPTIONS = [
    {},
    {"lowercase": False},
    {"strip_accents": False},
    {"clean_text": False, "handle_chinese_chars": False},
]


def reference_normalizer(options: dict[str, bool]) -> tokenizers.normalizers.BertNormalizer:
    defaults = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    return tokenizers.normalizers.BertNormalizer(**(defaults | options))


def trained(texts: list[str], options: dict[str, bool], size: int = 900) -> tokenizers.Tokenizer:
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = reference_normalizer(options)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    theirs.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    theirs.train_from_iterator(texts, trainer)
    cls, sep = theirs.token_to_id("[CLS]"), theirs.token_to_id("[SEP]")
    theirs.post_processor = tokenizers.processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return theirs


@pytest.fixture(scope="module")
def texts(wild_texts: list[str], data: Callable[[str], Path]) -> list[str]:
    names = ["text/wikitext2_valid.txt", "text/ud_zh_gsd_dev.conllu", "tokenizer/corpus.en"]
    return [*wild_texts[:700], *(data(name).read_text(encoding="utf-8")[:25_000] for name in names)]


@pytest.fixture(scope="module", params=range(len(OPTIONS)), ids=lambda at: str(OPTIONS[at]))
def pair(
    request: pytest.FixtureRequest, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[WordPieceTokenizer, tokenizers.Tokenizer]:
    theirs = trained(texts, OPTIONS[request.param])
    path = tmp_path_factory.mktemp("wordpiece") / "tokenizer.json"
    theirs.save(str(path))
    return WordPieceTokenizer.load(path), theirs


def test_every_scalar_value_is_what_it_is_to_hugging_face() -> None:
    """Each between two letters: planes 0 and 1, and one in 50 of the others (the tables were made from all)."""
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    every = tokenizers.normalizers.BertNormalizer(True, True, True, True).normalize_str
    some = SCALARS[:0x20000] + SCALARS[0x20000::50]
    for at in range(0, len(some), 5000):
        block = "".join(f"a{character}B" for character in some[at : at + 5000])
        assert BertNormalizer()(block) == every(block)
        assert bert_words(block) == [word for word, _ in split(block)]
    assert "".join(white_space_words("".join(SCALARS))) == re.sub(r"[^\S\x1c-\x1f]", "", "".join(SCALARS))


def test_every_mark_is_what_it_is_to_hugging_face() -> None:
    """The characters that some Unicode version decomposes, reorders or calls a mark."""
    nfkd, marks = tokenizers.normalizers.NFKD().normalize_str, tokenizers.normalizers.StripAccents().normalize_str
    some = [c for c in SCALARS if unicodedata.category(c)[0] == "M" or unicodedata.normalize("NFKD", c) != c]
    for at in range(0, len(some), 1000):
        block = "".join(f"a{character}B" for character in some[at : at + 1000])
        assert decomposed(block, "NFKD") == nfkd(block)
        assert without_marks(block) == marks(block)


def test_marks_in_any_order_decompose_as_in_hugging_face() -> None:
    generator = random.Random(3)
    marks = [character for character in SCALARS if unicodedata.combining(character)]
    composed = [character for character in SCALARS if unicodedata.decomposition(character)]
    references = {"NFD": tokenizers.normalizers.NFD(), "NFKD": tokenizers.normalizers.NFKD()}
    for _ in range(1000):
        text = "".join(generator.choice(generator.choice((marks, marks, composed, SCALARS))) for _ in range(8))
        for form, reference in references.items():
            assert decomposed(text, form) == reference.normalize_str(text)


def test_ids_and_text_equal_hugging_face(
    pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer], texts: list[str]
) -> None:
    ours, theirs = pair
    for text in texts:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        assert "".join(ours.decode_stream(ids)) == ours.decode(ids) == ours.decode_bytes(ids).decode()


@settings(max_examples=80, deadline=None)
@given(text=st.text())
def test_any_text_has_hugging_faces_ids(pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer], text: str) -> None:
    ours, theirs = pair
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_framed_texts_equal_hugging_faces(pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer]) -> None:
    ours, theirs = pair
    for texts in (["a"], ["", ""], ["one two", "three [MASK] four"]):
        expected = theirs.encode(*texts)
        assert ours.encode_framed(*texts) == (expected.ids, expected.type_ids)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_streams_equal_the_joined_text(pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer], seed: int) -> None:
    ours, generator = pair[0], random.Random(seed)
    pieces = [
        *"abcé \n\t\x1c\x0b\x85.'=-",
        "\u0301",
        "\u0338",
        "日",
        "\uf900",
        "[MASK]",
        "[",
        "the",
        "\u00a0",
        "\u2028",
    ]
    text = "".join(generator.choices(pieces, k=generator.randrange(0, 30)))
    cuts = sorted(generator.choices(range(len(text) + 1), k=generator.randrange(0, 8)))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for allowed in ("all", "none"):
        expected = ours.encode(text, allowed_special=allowed)
        assert list(ours.encode_iterable(chunks, allowed_special=allowed)) == expected


def test_saved_files_go_both_ways(
    pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer], texts: list[str], tmp_path: Path
) -> None:
    ours = pair[0]
    path = ours.save(tmp_path)
    theirs, again = tokenizers.Tokenizer.from_file(str(path)), WordPieceTokenizer.load(tmp_path)
    assert (again.vocabulary, again.special_tokens) == (ours.vocabulary, ours.special_tokens)
    assert (again.normalizer, again.framing) == (ours.normalizer, ours.framing)
    for text in texts[:300]:
        assert ours.encode_framed(text)[0] == theirs.encode(text).ids
        assert again.encode(text) == ours.encode(text)


def test_special_tokens_are_found_only_if_allowed(pair: tuple[WordPieceTokenizer, tokenizers.Tokenizer]) -> None:
    ours = pair[0]
    assert isinstance(ours, Tokenizer)
    mask = ours.special_tokens["[MASK]"]
    assert ours.encode("[MASK]") == [mask]
    assert mask not in ours.encode("[MASK]", allowed_special="none")
    assert ours.token_bytes(mask) == b"[MASK]"


def test_vocab_txt_is_a_piece_a_line(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*SPECIAL, "un", "##aff", "##able", "é", "\u2028x", "##a"]).encode() + b"\r\n")
    ours = WordPieceTokenizer.from_vocab_txt(path)
    assert ours.encode("UNaffable unx") == [5, 6, 7, 1]
    assert ours.vocab_size == 11
    assert ours.token_bytes(6) == b"aff"
    assert WordPieceTokenizer.load(path).encode("é") == [1]
    assert WordPieceTokenizer.from_vocab_txt(path, lowercase=False).encode("é") == [8]
    assert ours.unknown_rate("un unaffable x . x") == 3 / 5
    assert ours.unknown_rate("\n") == 0
    assert ours.encode_framed("un") == ([2, 5, 3], [0, 0, 0])


def test_long_words_are_unknown() -> None:
    ours = WordPieceTokenizer({"a": 0, "##a": 1}, [], max_input_chars_per_word=5)
    assert ours.encode("aaaaa aaaaaa") == [0, 1, 1, 1, 1, 2]
    assert ours.special_tokens == {"[UNK]": 2}
    assert ours.encode_framed("a") == ([0], [0])
    assert Framing().write({}) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 is empty"),
        ("[UNK]\n\na\n", "line 2 is empty"),
        ("[UNK]\na\n\n", "line 3 is empty"),
        ("[UNK]\na\na\n", "lines 2 and 3"),
        ("a\nb\n", r"no \[UNK\]"),
        (b"[UNK]\n\xff", "not UTF-8"),
    ],
)
def test_broken_vocab_txt_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TokenizerError, match=f"{re.escape(str(path))}.*{message}"):
        WordPieceTokenizer.load(path)


def test_documents_that_we_cannot_follow_are_refused(tmp_path: Path) -> None:
    path = WordPieceTokenizer({"a": 0}, SPECIAL).save(tmp_path)
    good = json.loads(path.read_text())
    added = {**good["added_tokens"][0], "content": "<new>", "id": 50}
    changes = [
        ({"model": {**good["model"], "type": "BPE"}}, "'BPE'"),
        ({"model": {**good["model"], "vocab": {"a": 0, "b": 0}}}, "each its own"),
        ({"model": {**good["model"], "vocab": {"a": "x"}}}, "an id is an int"),
        ({"model": {**good["model"], "vocab": ["a"]}}, "not shaped"),
        ({"model": {"type": "WordPiece"}}, "not shaped"),
        ({"normalizer": None}, "BERT's own"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "BERT's own"),
        ({"post_processor": {"type": "RobertaProcessing"}}, "RobertaProcessing"),
        ({"added_tokens": [{**added, "lstrip": True}]}, "lstrip"),
        ({"added_tokens": [{**added, "normalized": True}]}, "normalized"),
        ({"added_tokens": [{**added, "content": "a"}]}, "other ids"),
        ({"added_tokens": [added, {**added, "id": 51}]}, "keep one"),
    ]
    for change, message in changes:
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(TokenizerError, match=message):
            WordPieceTokenizer.load(path)
    path.write_text(json.dumps({**good, "added_tokens": [{**added, "lstrip": True}]}))
    assert WordPieceTokenizer.load(path, ignore=["added_token_options"]).encode("<new>") == [50]
    path.write_text(json.dumps(good)[:-20])
    with pytest.raises(TokenizerError, match="not JSON"):
        WordPieceTokenizer.load(path)


def test_wordpiece_refuses() -> None:
    for vocabulary, message in (({"": 0}, "non-empty"), ({"a": -1}, "int >= 0"), ({"a": 0, "b": 0}, "each its own")):
        with pytest.raises(TokenizerError, match=message):
            WordPieceTokenizer(vocabulary)
    with pytest.raises(TokenizerError, match="less than 1"):
        WordPieceTokenizer({"a": 0}, max_input_chars_per_word=0)
    ours = WordPieceTokenizer({"a": 0}, [])
    with pytest.raises(TokenizerError, match="surrogate"):
        ours.encode("a\ud800")
    for wrong in (-1, 2, "a", None):
        with pytest.raises(TokenizerError, match="not in the vocabulary"):
            ours.decode([wrong])
    with pytest.raises(TokenizerError, match="errors="):
        ours.decode([0], errors="loud")
    with pytest.raises(TokenizerError, match="names"):
        Framing((("[CLS]", 0), ("A", 0))).apply({}, [1])
    with pytest.raises(TokenizerError, match="once"):
        Framing((("[CLS]", 0),))
