"""The normaliser and pre-tokeniser steps of a `tokenizer.json` that SentencePiece vocabularies use, as functions."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from octad_tokenizer import normal_tables
from octad_tokenizer.charsmap import Charsmap
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.normalization import (
    BertNormalizer,
    Normalizer,
    bert_words,
    characters,
    decomposed,
    lowered,
    white_space_words,
    without_marks,
)

Splitter: TypeAlias = Callable[[str, bool], list[str]]
"""(text, whether it begins the whole text) -> pre-tokens."""

Step: TypeAlias = Mapping[str, Any]

Scheme: TypeAlias = Literal["always", "first", "never"]
_SCHEMES: tuple[Scheme, ...] = ("always", "first", "never")

METASPACE = "\u2581"
"""What stands for a space inside of pieces."""

WORDS_AFTER_SPACES: Step = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": "always", "split": True},
    ],
}
"""T5's pre-tokeniser: words, each with a mark for the space before it."""


def normalizer_of(step: Step | None) -> Normalizer:
    """The function that a normaliser of `tokenizer.json` stands for.

    Raises:
        TokenizerError: a kind that we cannot follow.
    """
    if step is None:
        return str
    kind = step["type"]
    if kind == "Sequence":
        return _chained([normalizer_of(one) for one in step["normalizers"]])
    if kind == "Replace":
        return _replace(step["pattern"], step["content"])
    if kind == "Strip":
        return _strip(step["strip_left"], step["strip_right"])
    if kind == "Prepend":
        return _prepend(step["prepend"])
    if kind == "Precompiled":
        return charsmap_of(step).by_grapheme
    if kind == "BertNormalizer":
        return BertNormalizer(**{name: value for name, value in step.items() if name != "type"})
    if kind in ("NFD", "NFKD"):
        return _decompose(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    raise TokenizerError(f"its normaliser has a step {kind!r}; we can follow {sorted((*_PLAIN, *_WITH_OPTIONS))}")


_PLAIN: dict[str, Normalizer] = {"Lowercase": lowered, "StripAccents": without_marks}
_WITH_OPTIONS = ("Sequence", "Replace", "Strip", "Prepend", "Precompiled", "BertNormalizer", "NFD", "NFKD")


def splitter_of(step: Step | None) -> Splitter:
    """The function that a pre-tokeniser of `tokenizer.json` stands for.

    Raises:
        TokenizerError: a kind that we cannot follow.
    """
    if step is None:
        return lambda text, is_first: [text]
    kind = step["type"]
    if kind == "Sequence":
        return _split_again([splitter_of(one) for one in step["pretokenizers"]])
    if kind == "WhitespaceSplit":
        return lambda text, is_first: white_space_words(text)
    if kind == "BertPreTokenizer":
        return lambda text, is_first: bert_words(text)
    if kind == "Metaspace":
        return _metaspace(step["replacement"], prepend_scheme(step), bool(step.get("split", True)))
    raise TokenizerError(
        f"its pre-tokeniser has a step {kind!r}; we can follow Metaspace, WhitespaceSplit, BertPreTokenizer, Sequence"
    )


def prepend_scheme(step: Step) -> Scheme:
    """Which pre-tokens get a mark in front: older files have `add_prefix_space` instead.

    Raises:
        TokenizerError: an unknown scheme.
    """
    scheme = step.get("prepend_scheme") or ("always" if step.get("add_prefix_space", True) else "never")
    for known in _SCHEMES:
        if scheme == known:
            return known
    raise TokenizerError(f"its Metaspace has prepend_scheme {scheme!r}; it is one of {_SCHEMES}")


def steps_in(step: Step | None) -> list[Step]:
    """The steps of a sequence, or the one step."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [inner for one in step.get("normalizers", step.get("pretokenizers", ())) for inner in steps_in(one)]


def charsmap_of(step: Step) -> Charsmap:
    """The character map of a `Precompiled` step.

    Raises:
        TokenizerError: it is not base64, or no character map.
    """
    try:
        return Charsmap(base64.b64decode(step["precompiled_charsmap"], validate=True))
    except (binascii.Error, ValueError) as error:
        if isinstance(error, TokenizerError):
            raise
        raise TokenizerError(f"its precompiled_charsmap is not base64: {error}") from error


def _chained(steps: Sequence[Normalizer]) -> Normalizer:
    def run(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return run


def _replace(pattern: Mapping[str, str], content: str) -> Normalizer:
    if "String" in pattern:
        return lambda text: text.replace(pattern["String"], content)
    import regex  # type: ignore[import-untyped, unused-ignore]  # 13 ms, which few programs need

    try:
        expression = regex.compile(pattern["Regex"])
    except regex.error as error:
        raise TokenizerError(f"its normaliser replaces {pattern['Regex']!r}, which is no regex: {error}") from error
    return lambda text: str(expression.sub(lambda _: content, text))


def _strip(left: bool, right: bool) -> Normalizer:
    space = characters(normal_tables.SPACE)

    def run(text: str) -> str:
        text = text.lstrip(space) if left else text
        return text.rstrip(space) if right else text

    return run


def _prepend(mark: str) -> Normalizer:
    return lambda text: mark + text if text else text


def _decompose(form: Literal["NFD", "NFKD"]) -> Normalizer:
    return lambda text: decomposed(text, form)


def _split_again(steps: Sequence[Splitter]) -> Splitter:
    def run(text: str, is_first: bool) -> list[str]:
        parts = [(text, is_first)]
        for step in steps:
            parts = [
                (piece, first and at == 0 and before.startswith(piece))
                for before, first in parts
                for at, piece in enumerate(step(before, first))
            ]
        return [piece for piece, _ in parts]

    return run


def _metaspace(mark: str, scheme: str, is_split: bool) -> Splitter:
    word = re.compile(f"{re.escape(mark)}?[^{re.escape(mark)}]+|{re.escape(mark)}")

    def run(text: str, is_first: bool) -> list[str]:
        if not text:
            return []
        text = text.replace(" ", mark)
        if not text.startswith(mark) and (scheme == "always" or (scheme == "first" and is_first)):
            text = mark + text
        return word.findall(text) if is_split else [text]

    return run
