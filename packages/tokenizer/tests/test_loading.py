"""One function for every kind of file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from octad_tokenizer import (
    BytePairTokenizer,
    SentencePieceBPE,
    TokenizerError,
    UnigramTokenizer,
    WordPieceTokenizer,
    load_tokenizer,
)

KINDS = {
    "bytes": BytePairTokenizer({bytes([byte]): byte for byte in range(256)}, [], pattern=r"\w+|\W"),
    "characters": SentencePieceBPE({"<unk>": 0, "a": 1}, []),
    "unigram": UnigramTokenizer([("<unk>", 0.0), ("▁a", -1.0)], 0),
    "wordpiece": WordPieceTokenizer({"a": 0}),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_file_gives_its_kind(name: str, tmp_path: Path) -> None:
    path = KINDS[name].save(tmp_path)
    for place in (path, tmp_path, str(tmp_path)):
        again = load_tokenizer(place)
        assert type(again) is type(KINDS[name])
        assert again.encode("a") == KINDS[name].encode("a")
    document = json.loads(path.read_text())
    del document["model"]["type"]
    path.write_text(json.dumps(document))
    assert type(load_tokenizer(path)) is type(KINDS[name])
    document["model"]["dropout"] = 0.5
    document["model"]["type"] = "WordLevel"
    path.write_text(json.dumps(document))
    with pytest.raises(TokenizerError, match="'WordLevel'"):
        load_tokenizer(path)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_can_be_pickled(name: str) -> None:
    ours = KINDS[name]
    ours.encode("a a")
    again = pickle.loads(pickle.dumps(ours))
    assert again.encode("a b") == ours.encode("a b")
    assert again.special_tokens == ours.special_tokens


def test_other_files_are_told_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\na\n")
    assert load_tokenizer(tmp_path / "vocab.txt").encode("A b") == [1, 0]
    with pytest.raises(TokenizerError, match="pattern="):
        load_tokenizer(tmp_path / "x.tiktoken")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(TokenizerError, match="not shaped"):
        load_tokenizer(tmp_path / "x.json")
    (tmp_path / "x.model").write_bytes(b"\x0a")
    with pytest.raises(TokenizerError, match="cut off"):
        load_tokenizer(tmp_path / "x.model")
    with pytest.raises(FileNotFoundError):
        load_tokenizer(tmp_path / "nothing")
