"""Broken files, broken texts, broken settings: one clear error each, and no good file is ever lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from octad_tokenizer import (
    GPT2,
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    TokenizerError,
    UnigramTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
    load_gpt2_files,
    load_tiktoken_ranks,
    native,
    save_gpt2_files,
    save_tiktoken_ranks,
    train_bpe,
)

BYTES = {bytes([byte]): byte for byte in range(256)}
BPE = train_bpe(["the cat sat on the mat"] * 3, 264, special_tokens=["<s>"])
WORDPIECE = WordPieceTokenizer({"a": 0, "##b": 1})
UNIGRAM = UnigramTokenizer([("<unk>", 0.0), ("▁a", -1.0)], 0)
TOKENIZERS = {
    "bpe": BPE,
    "byte": ByteTokenizer(["<s>"]),
    "character": CharacterTokenizer("ab", ["?"], "?"),
    "word": WordTokenizer(["ab"]),
    "wordpiece": WORDPIECE,
    "unigram": UNIGRAM,
}
SAVED = {"bpe": BPE, "wordpiece": WORDPIECE, "unigram": UNIGRAM}


@pytest.mark.parametrize("name", SAVED)
def test_a_file_that_was_cut_off_is_refused(name: str, tmp_path: Path) -> None:
    whole = SAVED[name].save(tmp_path).read_bytes()
    for size in range(0, len(whole) - 2, 41):
        (tmp_path / "tokenizer.json").write_bytes(whole[:size])
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            type(SAVED[name]).load(tmp_path)


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("content", ["null", "1", "[]", "{}", '"model"', '{"model": 1}', '{"model": {"vocab": 3}}'])
def test_another_kind_of_json_is_refused(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        type(SAVED[name]).load(tmp_path)


@pytest.mark.parametrize("name", SAVED)
def test_every_part_of_a_file_may_be_wrong(name: str, tmp_path: Path) -> None:
    """Each value of the document in turn becomes something else: a tokenizer or our error, nothing third."""
    whole = json.loads(SAVED[name].save(tmp_path).read_text())

    def variants(value: object) -> object:
        if isinstance(value, dict):
            for key in value:
                for other in variants(value[key]):
                    yield {**value, key: other}
                yield {one: value[one] for one in value if one != key}
        if isinstance(value, list) and value:
            for other in variants(value[0]):
                yield [other, *value[1:]]
        yield from (None, -1, "x", ["x"], {"x": 1}, 1.5)

    plain = (None, -1, "x", ["x"], [1], {"x": 1})
    model = whole["model"]
    some = [{**whole, key: other} for key in whole if key != "model" for other in variants(whole[key])]
    for key in model:
        others = plain if key in ("vocab", "merges") else variants(model[key])
        some += [{**whole, "model": {**model, key: other}} for other in others]
    for document in some[::5] if name == "bpe" else some:
        (tmp_path / "tokenizer.json").write_text(json.dumps(document))
        try:
            type(SAVED[name]).load(tmp_path).encode("a")
        except TokenizerError as error:
            assert name == "bpe" or "tokenizer.json" in str(error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merges": ["a b c"]}, "not a pair"),
        ({"merges": [["h", "zz"]]}, "needs b'zz'"),
        ({"merges": [["\ud800", "a"]]}, "spells no byte"),
        ({"byte_fallback": True}, "byte_fallback, as SentencePiece"),
        ({"dropout": 0.1}, r"ignore=\['dropout'\]"),
        ({"continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
        ({"vocab": {"a": 0}}, "lacks 255"),
        ({"vocab": {"a": 0, "<s>": 5}}, "other ids"),
        ({"vocab": {"日": 1}}, "spells no byte"),
    ],
)
def test_byte_pair_files_are_checked(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = BPE.save(tmp_path)
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "model": {**whole["model"], **change}}))
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer.load(path)


def test_parts_that_change_ids_are_left_out_only_by_name(tmp_path: Path) -> None:
    path = BPE.save(tmp_path)
    whole = json.loads(path.read_text())
    whole["model"]["dropout"] = 0.1
    whole["pre_tokenizer"]["add_prefix_space"] = True
    whole["added_tokens"][0]["lstrip"] = True
    path.write_text(json.dumps(whole))
    names = ["dropout", "add_prefix_space", "added_token_options"]
    for at, name in enumerate(names):
        with pytest.raises(TokenizerError, match=f"ignore=.*{name}"):
            BytePairTokenizer.load(path, ignore=[*names[:at], *names[at + 1 :]])
    assert BytePairTokenizer.load(path, ignore=names).fingerprint == BPE.fingerprint


def test_added_tokens_are_kept_whether_special_or_not(tmp_path: Path) -> None:
    path = BPE.save(tmp_path)
    whole = json.loads(path.read_text())
    new = {**whole["added_tokens"][0], "content": "<new>", "id": 300, "special": False, "normalized": True}
    path.write_text(json.dumps({**whole, "added_tokens": [*whole["added_tokens"], new]}))
    ours = BytePairTokenizer.load(path)
    assert ours.encode("a<new>")[-1] == 300
    assert BytePairTokenizer.load(ours.save(tmp_path)).fingerprint == ours.fingerprint


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = BPE.save(tmp_path)
    path.write_text(path.read_text().replace('"vocab": {', '"vocab": {"A": 7000, ', 1))
    with pytest.raises(TokenizerError, match="'A' twice"):
        BytePairTokenizer.load(path)
    path.write_text("[" * 100_000)
    with pytest.raises(TokenizerError, match="nested too deeply"):
        BytePairTokenizer.load(path)


def test_gpt2_files_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    vocab, merges = save_gpt2_files(BPE, tmp_path)
    whole = merges.read_text()
    for size in range(len(whole) - 1):
        merges.write_text(whole[:size])
        with pytest.raises(TokenizerError, match=r"merges\.txt"):
            load_gpt2_files(vocab, merges, special_tokens=["<s>"])
    merges.write_text("")
    assert load_gpt2_files(vocab, merges, special_tokens=["<s>"], allow_unmade=True).merges == ()
    for content, message in (('{"a": true}', "an id is an int"), ("[1]", "object"), ('{"a": 1', "not JSON")):
        vocab.write_text(content)
        with pytest.raises(TokenizerError, match=message):
            load_gpt2_files(vocab, merges)


def test_tiktoken_files_that_are_wrong_are_refused(tmp_path: Path) -> None:
    path = save_tiktoken_ranks(BPE, tmp_path / "ranks.tiktoken")
    whole = path.read_text()
    for extra in (
        "IQ== 900\n",
        " 900\n",
        "=\n",
        "YWI= -1\n",
        "YWI= x\n",
        "YWI= 0\n",
        "YWI 900\n",
        "YWI= 9 9\n",
        "\x00",
    ):
        path.write_text(whole + extra)
        with pytest.raises(TokenizerError):
            load_tiktoken_ranks(path, pattern=GPT2)
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(TokenizerError):
        load_tiktoken_ranks(path, pattern=GPT2)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_lone_surrogates_are_refused_everywhere(name: str) -> None:
    ours = TOKENIZERS[name]
    for use in (ours.encode, lambda text: ours.encode_batch([text]), lambda text: list(ours.encode_iterable([text]))):
        with pytest.raises(TokenizerError, match="surrogate"):
            use("a\ud83d")


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("wrong", [-1, 10**6, 10**30, "a", None, 0.5])
def test_ids_out_of_range_are_refused_everywhere(name: str, wrong: object) -> None:
    ours = TOKENIZERS[name]
    for use in (
        ours.decode,
        ours.decode_bytes,
        lambda ids: list(ours.decode_stream(ids)),
        lambda ids: ours.token_bytes(ids[0]),
    ):
        with pytest.raises(TokenizerError, match="not in the vocabulary"):
            use([wrong])


def test_nothing_to_learn_from_is_refused() -> None:
    for texts in ([], [""], ["", ""], ["<s><s>"]):
        with pytest.raises(TokenizerError, match="text"):
            train_bpe(texts, 300, special_tokens=["<s>"])
    for texts in ([], [""]):
        with pytest.raises(TokenizerError, match="no characters"):
            CharacterTokenizer.train(texts)
        with pytest.raises(TokenizerError, match="no words"):
            WordTokenizer.train(texts, 10)


@pytest.mark.parametrize("vocab_size", [-1, 0, 255, 257])
def test_a_vocabulary_smaller_than_the_bytes_is_refused(vocab_size: int) -> None:
    with pytest.raises(TokenizerError, match="at least 258"):
        train_bpe(["text"], vocab_size, special_tokens=["<a>", "<b>"])


@pytest.fixture(params=["engine", "reference"])
def either_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "reference":
        monkeypatch.setattr(native, "engine", None)
        monkeypatch.setattr(native, "_warned", True)
    elif native.engine is None:
        pytest.skip("the C engine is not built here")


@pytest.mark.usefixtures("either_engine")
def test_a_pattern_that_matches_nothing_is_refused() -> None:
    """It used to train on whole texts without a word."""
    for pattern in ("(?!)", r"\d+"):
        with pytest.raises(TokenizerError, match=re.escape(f"pattern={pattern!r} matches nothing")):
            train_bpe(["abc", "", "abc abc"], 257, pattern=pattern)
    with pytest.raises(TokenizerError, match=r"pattern='\(\?!\)' matches nothing"):
        train_bpe(["abc abc"], 300, allow_smaller=True, superwords_from=256, superword_pattern="(?!)")
    assert train_bpe(["abc", "abd 7"], 257, pattern=r"\d").merges == ((b"a", b"b"),)
    with pytest.raises(TokenizerError, match="give a text"):
        train_bpe([""], 257, pattern="(?!)")


@pytest.mark.usefixtures("either_engine")
@pytest.mark.parametrize("name", ["vocab_size", "min_frequency", "threads", "max_memory_bytes", "superwords_from"])
def test_settings_that_are_no_ints_are_refused(name: str) -> None:
    with pytest.raises(TokenizerError, match=f"{name}=300.5 is no int"):
        train_bpe(["some text"], **{"vocab_size": 260, name: 300.5})


@pytest.mark.usefixtures("either_engine")
def test_settings_beyond_64_bits_are_as_good_as_no_limit() -> None:
    huge = 1 << 70
    whole = train_bpe(["some text, some text"], huge, allow_smaller=True, max_memory_bytes=huge)
    assert whole.fingerprint == train_bpe(["some text, some text"], 1000, allow_smaller=True).fingerprint
    assert not train_bpe(["some text"], 300, allow_smaller=True, min_frequency=huge).merges


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([(b"a", b"b", b"c")], r"merge 0 \(b'a', b'b', b'c'\) is no pair"),
        ([(b"a", b"b"), (b"a",)], r"merge 1 \(b'a',\) is no pair"),
        ([(b"a", b"b"), (b"b", b"a"), (b"a", b"b")], r"merge 2 \(b'a', b'b'\) is merge 0 again"),
        ([None], "merge 0 None is no pair"),
        ([([b"a"], b"b")], "merge 0 .* is no pair"),
        ([("a", "b")], r"merge 0 \('a', 'b'\) needs 'a'"),
        ([b"ab"], "merge 0 .* needs 97"),
    ],
)
def test_merges_that_are_no_distinct_pairs_are_refused(merges: list[Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        BytePairTokenizer({**BYTES, b"ab": 256, b"ba": 257}, merges)


def test_a_bool_is_no_id() -> None:
    with pytest.raises(TokenizerError, match="id True"):
        BytePairTokenizer({**BYTES, b"\1": True}, [])
    with pytest.raises(TokenizerError, match="id False"):
        BytePairTokenizer({token: at + 1 for token, at in BYTES.items()}, [], {"<s>": False})


def save_all(folder: Path, tokenizer: BytePairTokenizer) -> list[Path]:
    return [
        tokenizer.save(folder),
        *save_gpt2_files(tokenizer, folder),
        save_tiktoken_ranks(tokenizer, folder / "x.tiktoken"),
        WORDPIECE.save(folder / "wordpiece.json"),
        UNIGRAM.save(folder / "unigram.json"),
    ]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_every_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in save_all(tmp_path, BPE)}
    other = train_bpe(["quite another text"], 262)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    saves: list[Callable[[], object]] = [
        lambda: other.save(tmp_path),
        lambda: save_gpt2_files(other, tmp_path),
        lambda: save_tiktoken_ranks(other, tmp_path / "x.tiktoken"),
        lambda: WordPieceTokenizer({"b": 0}).save(tmp_path / "wordpiece.json"),
        lambda: UnigramTokenizer([("b", 0.0)], 0).save(tmp_path / "unigram.json"),
    ]
    for save in saves:
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync" if call == "fsync" else "pathlib.Path.replace", fail)
            with pytest.raises(OSError, match="disk full"):
                save()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_files_are_replaced_only_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up while the second is written: the first must not be new beside an old one."""
    before = {path: path.read_bytes() for path in save_gpt2_files(BPE, tmp_path)}
    real, calls = os.fsync, []

    def fail_second(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError("disk full")
        real(handle)

    monkeypatch.setattr("os.fsync", fail_second)
    with pytest.raises(OSError, match="disk full"):
        save_gpt2_files(train_bpe(["quite another text"], 262), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
