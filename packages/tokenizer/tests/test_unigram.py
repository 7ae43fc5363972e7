"""Unigram against Hugging Face `tokenizers` and, where it is installed, SentencePiece itself."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import Tokenizer, TokenizerError, UnigramTokenizer
from octad_tokenizer.charsmap import Charsmap
from octad_tokenizer.lattice import Lattice, Pieces
from octad_tokenizer.sentencepiece_model import fields, parse_model, read_model
from tokenizers import decoders, models, normalizers, pre_tokenizers

SPECIAL = ["<pad>", "</s>", "<unk>"]
RULES = {
    "\t": " ",
    "\n": " ",
    "\u3000": " ",
    "ﬁ": "fi",
    "①": "1",
    "e\u0301": "é",
    "é\u0308": "?",
    "ｶ\uff9e": "ガ",
    "ｶ": "カ",
    "\u200b": "",
    "각": "각",
}


def charsmap_blob(rules: dict[str, str]) -> bytes:
    """A double-array trie in which each node has 256 units of its own for its children."""
    nodes: dict[bytes, int] = {b"": 0}
    values: dict[bytes, int] = {}
    texts = bytearray()
    for key, replacement in rules.items():
        data = key.encode()
        for size in range(1, len(data) + 1):
            nodes.setdefault(data[:size], len(nodes))
        values[data] = len(texts)
        texts += replacement.encode() + b"\0"
    places = {b"": 0} | {key: 256 * (nodes[key[:-1]] + 1) + key[-1] for key in nodes if key}
    units = [0] * (256 * (len(nodes) + 2))
    for key, number in nodes.items():
        place, children = places[key], 256 * (number + 1)
        offset = place ^ children
        packed = (offset >> 8 << 10 | 1 << 9) if offset % 256 == 0 else offset << 10
        units[place] = packed | (key in values) << 8 | (key[-1] if key else 0)
        if key in values:
            units[children] = values[key] | 1 << 31
    trie = b"".join(unit.to_bytes(4, "little") for unit in units)
    return len(trie).to_bytes(4, "little") + trie + bytes(texts)


def sentencepiece_rules() -> bytes:
    model = trained_model(["a b c d e f"] * 20, vocab_size=20)
    return base64.b64decode(parse_model(model).normalizer["precompiled_charsmap"])


def trained_model(lines: Iterable[str], **options: object) -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, hard_vocab_limit=False, **options
    )
    return model.getvalue()


def t5_like(
    pieces: list[tuple[str, float]], blob: bytes | None, *, byte_fallback: bool = False, scheme: str = "always"
) -> tokenizers.Tokenizer:
    theirs = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=byte_fallback))
    squeeze = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    theirs.normalizer = normalizers.Sequence(([normalizers.Precompiled(blob)] if blob else []) + [squeeze])
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    theirs.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    theirs.decoder = decoders.Metaspace(prepend_scheme=scheme)
    theirs.add_special_tokens(SPECIAL)
    return theirs


@pytest.fixture(scope="module")
def real_lines(data: Callable[[str], Path]) -> list[str]:
    names = ["text/wikitext2_valid.txt", "text/ud_zh_gsd_dev.conllu", "tokenizer/corpus.en"]
    texts = [data(name).read_text(encoding="utf-8")[:12_000] for name in names]
    return [line for text in texts for line in text.split("\n")]


@pytest.fixture(scope="module")
def pieces(wild_texts: list[str], real_lines: list[str]) -> list[tuple[str, float]]:
    """Learned by Hugging Face; to 12 decimals, because it reads longer ones inexactly, which decides ties."""
    theirs = tokenizers.Tokenizer(models.Unigram())
    theirs.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=1200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    theirs.train_from_iterator([*wild_texts[:300], *real_lines], trainer)
    return [(piece, round(score, 12)) for piece, score in json.loads(theirs.to_str())["model"]["vocab"]]


@pytest.fixture(scope="module", params=["always", "first"])
def pair(
    request: pytest.FixtureRequest, pieces: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[UnigramTokenizer, tokenizers.Tokenizer]:
    theirs = t5_like(pieces, charsmap_blob(RULES), scheme=request.param)
    path = tmp_path_factory.mktemp("unigram") / "tokenizer.json"
    theirs.save(str(path))
    return UnigramTokenizer.load(path), theirs


def test_ids_and_text_equal_hugging_face(
    pair: tuple[UnigramTokenizer, tokenizers.Tokenizer], wild_texts: list[str], real_lines: list[str]
) -> None:
    ours, theirs = pair
    for text in [*wild_texts[:300], *real_lines, "".join(RULES) * 3, "</s>a</s> b", " </s> a"]:
        ids = ours.encode(text)
        assert ids == theirs.encode(text).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        assert "".join(ours.decode_stream(ids)) == ours.decode(ids) == ours.decode_bytes(ids).decode()


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from([*"".join(RULES), *"ab \u0301\u0308\r\n", "日", "▁", "\U0001f600"])))
def test_any_text_has_hugging_faces_ids(pair: tuple[UnigramTokenizer, tokenizers.Tokenizer], text: str) -> None:
    ours, theirs = pair
    assert ours.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize("seed", range(15))
def test_any_vocabulary_gives_hugging_faces_ids(seed: int) -> None:
    """Scores of either sign, ties, missing characters, pieces of unknown characters, bytes."""
    generator = random.Random(seed)
    spellings = {"".join(generator.choices("abcé▁", k=generator.randrange(1, 5))) for _ in range(25)}
    scores = [generator.choice([-1.0, -2.0, -3.0, -generator.random() * 9, generator.random()]) for _ in spellings]
    pieces = [(name, 0.0) for name in SPECIAL] + list(zip(sorted(spellings), scores, strict=True))
    byte_fallback = generator.random() < 0.5
    if byte_fallback:
        pieces += [(f"<0x{byte:02X}>", 0.0) for byte in range(256) if byte != 0x64]
    theirs = t5_like(pieces, None, byte_fallback=byte_fallback)
    ours = UnigramTokenizer(pieces, 2, SPECIAL, byte_fallback=byte_fallback)
    for _ in range(40):
        text = "".join(generator.choices("abcdé日 ", k=generator.randrange(0, 30)))
        assert ours.encode(text) == theirs.encode(text).ids


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_streams_equal_the_joined_text(pair: tuple[UnigramTokenizer, tokenizers.Tokenizer], seed: int) -> None:
    ours, generator = pair[0], random.Random(seed)
    text = "".join(generator.choices([*"abcé  \n\u0301.日", *RULES, "</s>", " the"], k=generator.randrange(0, 30)))
    cuts = sorted(generator.choices(range(len(text) + 1), k=generator.randrange(0, 8)))
    chunks = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for allowed in ("all", "none"):
        expected = ours.encode(text, allowed_special=allowed)
        assert list(ours.encode_iterable(chunks, allowed_special=allowed)) == expected


def test_streams_need_not_wait_for_the_end(pieces: list[tuple[str, float]]) -> None:
    read = 0

    def chunks() -> Iterator[str]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield "word and "

    next(UnigramTokenizer(pieces, 2, SPECIAL).encode_iterable(chunks()))
    assert read < 5


def test_saved_files_go_both_ways(
    pair: tuple[UnigramTokenizer, tokenizers.Tokenizer], real_lines: list[str], tmp_path: Path
) -> None:
    ours = pair[0]
    path = ours.save(tmp_path)
    theirs, again = tokenizers.Tokenizer.from_file(str(path)), UnigramTokenizer.load(tmp_path)
    assert (again.pieces, again.special_tokens) == (ours.pieces, ours.special_tokens)
    assert (again.normalizer, again.pre_tokenizer) == (ours.normalizer, ours.pre_tokenizer)
    for line in real_lines[:200]:
        ids = ours.encode(line)
        assert theirs.encode(line).ids == again.encode(line) == ids
        assert theirs.decode(ids, skip_special_tokens=False) == ours.decode(ids)


def test_framed_texts_end_as_t5_wants(pieces: list[tuple[str, float]]) -> None:
    theirs = t5_like(pieces, None)
    template = tokenizers.processors.TemplateProcessing
    theirs.post_processor = template(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    ours = UnigramTokenizer(pieces, 2, SPECIAL)
    for texts in (["one"], [""], ["one", "two"]):
        expected = theirs.encode(*texts)
        assert ours.encode_framed(*texts) == (expected.ids, expected.type_ids)


def all_paths(word: str, scores: dict[str, tuple[int, float]]) -> Iterator[tuple[tuple[int, ...], float]]:
    if not word:
        yield (), 0.0
    for size in range(1, len(word) + 1):
        if word[:size] in scores:
            token_id, score = scores[word[:size]]
            for rest, total in all_paths(word[size:], scores):
                yield (token_id, *rest), score + total


@pytest.mark.parametrize("seed", range(10))
def test_best_paths_are_those_of_a_full_search(seed: int) -> None:
    generator = random.Random(seed)
    spellings = {*"ab", *("".join(generator.choices("ab", k=generator.randrange(2, 5))) for _ in range(8))}
    scores = {piece: (at, -9 * generator.random()) for at, piece in enumerate(sorted(spellings))}
    word = "".join(generator.choices("ab", k=7))
    expected = sorted(all_paths(word, scores), key=lambda path: -path[1])
    lattice = Lattice()
    lattice.add_word(word, Pieces(scores, -99))
    found = lattice.best_paths(len(expected) + 5)
    assert {tuple(edge.token_id for edge in path) for path, _ in found} == {ids for ids, _ in expected}
    assert len(found) == len(expected)
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_samples_have_the_models_probabilities(alpha: float) -> None:
    """20,000 draws: a share's standard deviation is at most 0.0036, so 0.015 is four of them."""
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.5), ("ab", -1.2), ("ba", -2.0), ("aba", -2.5)]
    ours = UnigramTokenizer(pieces, 0, pre_tokenizer=None)
    scores = {piece: (at, score) for at, (piece, score) in enumerate(pieces) if at}
    weights = {ids: math.exp(alpha * score) for ids, score in all_paths("abab", scores)}
    generator = random.Random(5)
    drawn = Counter(tuple(ours.sample("abab", seed=generator, alpha=alpha)) for _ in range(20_000))
    assert drawn.keys() == weights.keys()
    for ids, weight in weights.items():
        assert drawn[ids] / 20_000 == pytest.approx(weight / sum(weights.values()), abs=0.015)


def test_samples_and_best_paths_of_whole_texts(pieces: list[tuple[str, float]], real_lines: list[str]) -> None:
    ours = UnigramTokenizer(pieces, 2, SPECIAL)
    text = next(line for line in real_lines if len(line) > 200)[:200] + " </s> 日\U0001f600\U0001f600 end"
    found = ours.encode_nbest(text, 20)
    assert found[0][0] == ours.encode(text)
    scores = [score for _, score in found]
    assert scores == pytest.approx(sorted(scores, reverse=True), rel=1e-12)  # ties may differ in the last bit
    assert len({tuple(ids) for ids, _ in found}) == 20
    assert ours.sample(text, seed=3) == ours.sample(text, seed=3) != ours.sample(text, seed=4)
    for ids in [*(ids for ids, _ in found), ours.sample(text, seed=1)]:
        assert ours.decode(ids) == ours.decode(ours.encode(text))
    assert ours.sample(text, seed=0, alpha=1000) == ours.encode(text)
    assert ours.encode_nbest("", 3) == [([], 0.0)]
    assert ours.sample("", seed=0) == []


def test_unknown_and_byte_pieces() -> None:
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("a", -1.0), *((f"<0x{byte:02X}>", 0.0) for byte in range(256))]
    ours = UnigramTokenizer(pieces, 0, byte_fallback=True)
    assert isinstance(ours, Tokenizer)
    ids = ours.encode("aé日 a")
    assert ids == [1, 2, *(3 + byte for byte in "é日".encode()), 1, 2]
    assert ours.decode(ids) == "aé日 a"
    assert list(ours.decode_stream(ids)) == ["a", "é", "日", " ", "a"]
    assert ours.decode(ours.encode("<0x41>")) == "<0x41>"
    without = UnigramTokenizer(pieces[:3], 0)
    assert without.encode("axya") == [1, 2, 0, 2]
    assert without.unknown_rate("axya") == 0.25
    assert without.unknown_rate("") == 0
    assert without.encode("<unk>", allowed_special="none") == [1, 0]
    with pytest.raises(TokenizerError, match="no piece covers 'xy'"):
        UnigramTokenizer(pieces[:3], None).encode("axya")


def test_special_tokens_never_come_out_of_a_text(pieces: list[tuple[str, float]]) -> None:
    """Hugging Face would find the piece `</s>` in what its normaliser makes of a text that does not hold it."""
    ours = UnigramTokenizer(pieces, 2, SPECIAL, normalizer=step(charsmap_blob({"＜": "<"})))
    assert ours.normalize("＜/s>") == "</s>"
    assert 1 not in ours.encode("＜/s>")
    assert 1 not in ours.encode("</s>", allowed_special="none")
    assert ours.encode("</s>") == [1]


def step(blob: bytes) -> dict[str, object]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from([*"".join(RULES), *"ae\u0301\u0308\u200d\r\n ", "👩", "क", "ि"])))
def test_character_maps_work_as_in_hugging_face(text: str) -> None:
    blob = charsmap_blob(RULES)
    assert Charsmap(blob).by_grapheme(text) == normalizers.Precompiled(blob).normalize_str(text)


def test_character_maps_take_the_longest_rule() -> None:
    charsmap = Charsmap(charsmap_blob(RULES))
    assert charsmap.longest_first("ｶ\uff9eｶx\u200bé\u0308e\u0301\t") == "ガカx?é "
    assert charsmap.keeps_spaces_apart()
    assert not Charsmap(charsmap_blob({"a b": "c"})).keeps_spaces_apart()
    assert not Charsmap(charsmap_blob({" a": "c"})).keeps_spaces_apart()
    assert Charsmap(charsmap_blob({" ": "_"})).keeps_spaces_apart()


def test_broken_character_maps_are_refused() -> None:
    blob = charsmap_blob(RULES)
    for wrong in (b"", b"\1", blob[:40], b"\0\0\0\0" + blob[4:], b"\3\0\0\0" + blob[4:], b"\xff" * 4 + blob[4:]):
        with pytest.raises(TokenizerError, match="broken"):
            Charsmap(wrong)
    generator = random.Random(0)
    for _ in range(300):
        damaged = bytearray(blob)
        for _ in range(200):
            damaged[generator.randrange(4, len(damaged))] = generator.randrange(256)
        charsmap = Charsmap(bytes(damaged))
        for run in (charsmap.by_grapheme, charsmap.longest_first):
            try:
                assert isinstance(run("ﬁ① a\te\u0301ｶ日"), str)
            except TokenizerError as error:
                assert "character map" in str(error)


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_models_are_read_as_sentencepiece_reads_them(
    byte_fallback: bool, real_lines: list[str], wild_texts: list[str], tmp_path: Path
) -> None:
    data = trained_model(
        real_lines[:1500],
        vocab_size=900,
        byte_fallback=byte_fallback,
        character_coverage=0.98,
        user_defined_symbols="<u>",
    )
    path = tmp_path / "spiece.model"
    path.write_bytes(data)
    import sentencepiece

    theirs, ours = sentencepiece.SentencePieceProcessor(model_proto=data), UnigramTokenizer.load(path)
    assert ours.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2, "<u>": 3}
    for text in [*real_lines, *wild_texts[::3]]:
        ids = ours.encode(text, allowed_special="none")
        assert ids == theirs.encode(text)
    assert [ids for ids, _ in ours.encode_nbest("the second word", 5)] == theirs.nbest_encode_as_ids(
        "the second word", 5
    )
    with pytest.raises(TokenizerError, match=r"keep the \.model"):
        ours.save(tmp_path)


def test_real_rules_work_as_in_hugging_face(wild_texts: list[str]) -> None:
    """SentencePiece's nmt_nfkc, which is T5's."""
    blob = sentencepiece_rules()
    ours, theirs = Charsmap(blob), normalizers.Precompiled(blob)
    generator = random.Random(2)
    characters = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(generator.choices(characters, k=12)) for _ in range(2000)]
    for text in [*wild_texts, *texts]:
        assert ours.by_grapheme(text) == theirs.normalize_str(text)
    assert ours.keeps_spaces_apart()


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


MODEL = field(1, field(1, b"<unk>") + field(3, 2)) + field(1, field(1, "▁a".encode()) + b"\x15\0\0\x80\xbf")


def test_models_are_read_without_a_library(tmp_path: Path) -> None:
    model = parse_model(MODEL)
    assert model.pieces == [("<unk>", 0.0), ("▁a", -1.0)]
    assert (model.kind, model.unknown_id, model.byte_fallback) == ("unigram", 0, False)
    path = tmp_path / "m.model"
    path.write_bytes(MODEL)
    ours = UnigramTokenizer.load(path)
    assert ours.encode(" a  a ") == [1, 1]
    assert ours.decode([1, 1]) == "a a"
    assert list(fields(b"\x09" + bytes(8))) == [(1, bytes(8))]


@pytest.mark.parametrize("size", range(len(MODEL)))
def test_a_cut_model_is_refused_or_a_whole_prefix(size: int, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(MODEL[:size])
    if size == len(field(1, field(1, b"<unk>") + field(3, 2))):
        assert len(read_model(path).pieces) == 1
    else:
        with pytest.raises(TokenizerError, match=re.escape(str(path))):
            read_model(path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from([MODEL, b"\x0a", b"\xff", b"\x12\x02\x18\x02"])).map(b"".join))
def test_any_bytes_are_a_model_or_an_error(data: bytes) -> None:
    try:
        assert parse_model(data).pieces
    except TokenizerError as error:
        assert str(error)


def test_models_that_we_cannot_follow_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    for extra, message in (
        (field(2, field(3, 2)), "type 'bpe'"),
        (field(2, bytes([24 << 3 & 0x7F | 0x80, 1, 1])), "suffix"),
        (field(3, field(5, 0)), "escape_whitespaces"),
        (field(1, field(1, b"\xff")), "not UTF-8"),
        (b"\x0b", "wire type 3"),
        (b"\x88" * 12, "more than ten"),
    ):
        path.write_bytes(MODEL + extra)
        with pytest.raises(TokenizerError, match=message):
            UnigramTokenizer.load(path)


def test_documents_that_we_cannot_follow_are_refused(pieces: list[tuple[str, float]], tmp_path: Path) -> None:
    path = UnigramTokenizer(pieces, 2, SPECIAL).save(tmp_path)
    good = json.loads(path.read_text())
    changes = [
        ({"model": {**good["model"], "vocab": [["a"]]}}, "not shaped"),
        ({"model": {**good["model"], "vocab": [["a", "b"]]}}, "log-probability"),
        ({"model": {**good["model"], "vocab": [["a", -1], ["a", -2], ["b", 0]]}}, "both 'a'"),
        ({"model": {**good["model"], "vocab": []}}, "no pieces"),
        ({"model": {**good["model"], "unk_id": 10**6}}, "unknown_id"),
        ({"model": {**good["model"], "type": "BPE"}}, "'BPE'"),
        ({"normalizer": {"type": "NFC"}}, "'NFC'"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}}, "not base64"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}}, "no regex"),
        ({"pre_tokenizer": {"type": "Digits"}}, "'Digits'"),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"}}, "prepend_scheme"),
        ({"post_processor": {"type": "Other"}}, "'Other'"),
        ({"added_tokens": [{**good["added_tokens"][0], "id": 77}]}, "other ids"),
    ]
    for change, message in changes:
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(TokenizerError, match=message):
            UnigramTokenizer.load(path)


def test_other_steps_work_as_in_hugging_face(pieces: list[tuple[str, float]], tmp_path: Path) -> None:
    theirs = t5_like(pieces, None)
    steps = [
        normalizers.Replace("``", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
        normalizers.Strip(),
        normalizers.Prepend("the "),
    ]
    theirs.normalizer = normalizers.Sequence(steps)
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = UnigramTokenizer.load(tmp_path)
    for text in ["", " ", "A ``Ünïcödé ﬁ ", "\u00a0 A  B\n", "x</s> y </s>"]:
        assert ours.encode(text) == theirs.encode(text).ids
        chunks = ["".join(group) for _, group in itertools.groupby(text)]
        assert list(ours.encode_iterable(chunks)) == ours.encode(text)


def test_unigram_refuses(pieces: list[tuple[str, float]]) -> None:
    ours = UnigramTokenizer(pieces, 2, SPECIAL)
    with pytest.raises(TokenizerError, match="surrogate"):
        ours.encode("a\ud800")
    with pytest.raises(TokenizerError, match="num_best=0"):
        ours.encode_nbest("a", 0)
    with pytest.raises(TokenizerError, match="alpha=-1"):
        ours.sample("a", seed=0, alpha=-1)
    with pytest.raises(TokenizerError, match="finite"):
        UnigramTokenizer([("a", math.nan)], None)
    for wrong in (-1, len(pieces), "a", None):
        with pytest.raises(TokenizerError, match="not in the vocabulary"):
            ours.decode([5, wrong])
