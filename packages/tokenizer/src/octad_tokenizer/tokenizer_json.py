"""What every `tokenizer.json` of Hugging Face's has, whatever its model: reading, writing, added tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.files import read_json, write_whole

FILE_NAME = "tokenizer.json"
TOKEN_OPTIONS = ("single_word", "lstrip", "rstrip")
Parsed = TypeVar("Parsed")


def write_document(document: Mapping[str, Any], path: str | Path) -> Path:
    """Write a `.json` file, or a `tokenizer.json` into a folder, completely or not at all; return its path.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".json" or path.is_dir():
        path = path / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return path


def read_document(path: str | Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    """What `parse` makes of a file, or of a folder's `tokenizer.json`.

    Raises:
        TokenizerError: it is not JSON, not shaped as `parse` expects, or refused by it; the message names the file.
        OSError: there is no such file.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    found = read_json(path)
    try:
        return parse(found)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise TokenizerError(f"{path} is not shaped like a {FILE_NAME}: {error!r}") from error


def checked_ignore(ignore: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """The parts of a file to do without.

    Raises:
        TokenizerError: one that nobody can leave out.
    """
    if isinstance(ignore, str):
        raise TokenizerError(f"ignore={ignore!r} is one str; pass [{ignore!r}]")
    left_out = frozenset(ignore)
    if unknown := sorted(left_out - set(known)):
        raise TokenizerError(f"ignore names {unknown}; it can name {sorted(known)}")
    return left_out


def model_of(found: Mapping[str, Any], kind: str, reader: str) -> Mapping[str, Any]:
    """The document's model.

    Raises:
        TokenizerError: it is of another kind.
    """
    model: Mapping[str, Any] = found["model"]
    if model.get("type", kind) != kind:
        raise TokenizerError(f"the model is {model.get('type')!r}; {reader} can be read here")
    return model


def special_tokens(found: Mapping[str, Any], ignore: Collection[str], *, is_normalized: bool) -> dict[str, int]:
    """Name to id of the added tokens.

    Args:
        found: the document.
        ignore: with "added_token_options" the options are dropped.
        is_normalized: whether texts are normalised, so that `normalized` makes a difference.

    Raises:
        TokenizerError: a token has options that would change where it is found.
    """
    options = (*TOKEN_OPTIONS, "normalized") if is_normalized else TOKEN_OPTIONS
    tokens: dict[str, int] = {}
    for token in found.get("added_tokens") or []:
        name, token_id = token["content"], token["id"]
        if not isinstance(name, str) or not name or isinstance(token_id, bool) or not isinstance(token_id, int):
            raise TokenizerError(f"an added token is {name!r} with id {token_id!r}; it needs a name and an int")
        given = [option for option in options if token.get(option)]
        if given and "added_token_options" not in ignore:
            raise TokenizerError(
                f"token {name!r} has the options {given}, so its ids would differ from ours; "
                'pass ignore=["added_token_options"] to read it without'
            )
        if tokens.get(name, token_id) != token_id:
            raise TokenizerError(f"token {name!r} is added with the ids {tokens[name]} and {token_id}; keep one")
        tokens[name] = token_id
    return tokens


def added_token(name: str, token_id: int) -> dict[str, Any]:
    """The entry of a special token."""
    options = dict.fromkeys((*TOKEN_OPTIONS, "normalized"), False)
    return {"id": token_id, "content": name, **options, "special": True}


def frame(special: Mapping[str, int], **parts: Any) -> dict[str, Any]:
    """A document with these parts, the rest empty."""
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    added = [added_token(name, token_id) for name, token_id in sorted(special.items(), key=lambda item: item[1])]
    return {"version": "1.0", "added_tokens": added, **empty, **parts}
