"""GPT-2's two files, both ways: `vocab.json` (spelling to id) and `merges.txt` (a pair of spellings a line)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.byte_spelling import spelled, unspelled
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.files import read_json, read_text, write_together
from octad_tokenizer.patterns import GPT2

_VERSION = "#version: 0.2"


def load_gpt2_files(
    vocab: str | Path,
    merges: str | Path,
    *,
    special_tokens: Sequence[str] = ("<|endoftext|>",),
    pattern: str = GPT2,
    allow_unmade: bool = False,
) -> BytePairTokenizer:
    """The tokenizer in a `vocab.json` and a `merges.txt`.

    Args:
        vocab: path of `vocab.json`.
        merges: path of `merges.txt`.
        special_tokens: names; those that `vocab.json` lists keep their ids, the others get the next free ones.
        pattern: the files do not hold it.
        allow_unmade: accept tokens that no merge makes. They are never used, and mostly a sign of a `merges.txt` that
            was cut off or of special tokens that were not named.

    Raises:
        TokenizerError: a file is not of its format, the two do not belong together, or a rule of `BytePairTokenizer`
            is broken.
        OSError: there is no such file.
    """
    found = read_json(Path(vocab))
    if not isinstance(found, dict):
        raise TokenizerError(f"{vocab} holds a {type(found).__name__}; vocab.json is an object, token to id")
    if wrong := next((token for token, i in found.items() if isinstance(i, bool) or not isinstance(i, int)), None):
        raise TokenizerError(f"{vocab}: token {wrong!r} has id {found[wrong]!r}; an id is an int")
    listed = {name: found[name] for name in special_tokens if name in found}
    vocabulary = {unspelled(token): token_id for token, token_id in found.items() if token not in listed}
    first_free = max(found.values(), default=-1) + 1
    others = [name for name in special_tokens if name not in listed]
    special = listed | {name: first_free + at for at, name in enumerate(others)}
    pairs = _read_merges(Path(merges))
    if not allow_unmade:
        _check_all_made(vocabulary, pairs, f"{vocab} and {merges}")
    return BytePairTokenizer(vocabulary, pairs, special, pattern)


def _check_all_made(vocabulary: Mapping[bytes, int], merges: Sequence[tuple[bytes, bytes]], where: str) -> None:
    made = {left + right for left, right in merges}
    if unmade := [token for token in vocabulary if len(token) > 1 and token not in made]:
        raise TokenizerError(
            f"{where}: no merge makes {len(unmade)} of the tokens, first {unmade[:3]}; is merges.txt cut off? Name "
            "special tokens in special_tokens, or pass allow_unmade=True"
        )


def _read_merges(path: Path) -> list[tuple[bytes, bytes]]:
    """The first line may be a version; a later one that begins with # is a merge of #."""
    merges = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2:
            raise TokenizerError(f"{path}, line {number}: {line!r} is not two tokens with a space between")
        merges.append((unspelled(pair[0]), unspelled(pair[1])))
    return merges


def save_gpt2_files(tokenizer: BytePairTokenizer, folder: str | Path) -> tuple[Path, Path]:
    """Write `vocab.json` and `merges.txt` into `folder`, each completely or not at all; return their paths.

    Raises:
        TokenizerError: the tokenizer has what the files cannot hold: another pattern than GPT-2's, ignore_merges, or
            a special token spelled as an ordinary one.
        OSError: a file cannot be written.
    """
    if tokenizer.pattern != GPT2 or tokenizer.ignore_merges:
        raise TokenizerError("GPT-2's files hold neither a pattern nor ignore_merges; save as tokenizer.json instead")
    vocabulary = {spelled(token): token_id for token, token_id in tokenizer.vocabulary.items()}
    if clash := sorted(vocabulary.keys() & tokenizer.special_tokens.keys()):
        raise TokenizerError(f"special tokens {clash} are spelled as ordinary tokens are; rename them, say <|name|>")
    by_id = dict(sorted({**vocabulary, **tokenizer.special_tokens}.items(), key=lambda item: item[1]))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [_VERSION, *(f"{spelled(left)} {spelled(right)}" for left, right in tokenizer.merges)]
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    write_together({vocab: json.dumps(by_id, ensure_ascii=False), merges: "\n".join(lines) + "\n"})
    return vocab, merges
