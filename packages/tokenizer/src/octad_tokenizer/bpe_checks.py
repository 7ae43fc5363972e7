"""What a byte-pair vocabulary has to fulfil, checked where one is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import special_ids, utf8


def separated(
    vocabulary: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str]
) -> tuple[dict[bytes, int], dict[str, int]]:
    """The ordinary and the special part of a vocabulary that may list both."""
    ordinary = dict(vocabulary)
    first_free = max((i for i in ordinary.values() if isinstance(i, int)), default=-1) + 1
    if isinstance(special_tokens, Mapping):
        special = dict(special_tokens)
        listed = {name for name, token_id in special.items() if ordinary.get(utf8(name)) == token_id}
    else:
        listed = {name for name in special_tokens if utf8(name) in ordinary and len(utf8(name)) > 1}
        special = special_ids([name for name in special_tokens if name not in listed], first_free)
        special |= {name: ordinary[utf8(name)] for name in listed}
    for name in listed:
        del ordinary[utf8(name)]
    return ordinary, dict(sorted(special.items(), key=lambda item: item[1]))


def check_vocabulary(vocabulary: Mapping[bytes, int]) -> None:
    """Raise TokenizerError unless tokens are bytes, ids are distinct, and every byte has a token."""
    for token, token_id in vocabulary.items():
        if not isinstance(token, bytes) or not token:
            raise TokenizerError(f"vocabulary holds {token!r}; a token is non-empty bytes")
        if not isinstance(token_id, int) or isinstance(token_id, bool) or token_id < 0:
            raise TokenizerError(f"token {token!r} has id {token_id!r}; an id is an int >= 0")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError(f"{len(vocabulary)} tokens have {len(set(vocabulary.values()))} ids; give each its own")
    if missing := [byte for byte in range(256) if bytes([byte]) not in vocabulary]:
        raise TokenizerError(
            f"vocabulary lacks {len(missing)} of the 256 single bytes, first {bytes(missing[:1])!r}; "
            "without them some text has no tokens: add them"
        )


def checked_merges(merges: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """The merges as pairs of bytes, each listed once; else TokenizerError."""
    merges = tuple(merges)
    try:
        pairs = tuple((left, right) for left, right in merges)
        if len(set(pairs)) == len(pairs):
            return pairs
    except (TypeError, ValueError):
        pass
    first: dict[tuple[bytes, bytes], int] = {}
    for rank, merge in enumerate(merges):
        match merge:
            case (bytes() as left, bytes() as right):
                if (left, right) in first:
                    raise TokenizerError(f"merge {rank} {merge!r} is merge {first[left, right]} again; list it once")
                first[left, right] = rank
            case _:
                break
    raise TokenizerError(f"merge {len(first)} {merges[len(first)]!r} is no pair of bytes; give (left, right)")


def merge_ids(
    vocabulary: Mapping[bytes, int], merges: Sequence[tuple[bytes, bytes]]
) -> tuple[list[int], list[int], list[int]]:
    """The ids of the left, the right and the product of each merge."""
    try:
        return (
            [vocabulary[left] for left, _ in merges],
            [vocabulary[right] for _, right in merges],
            [vocabulary[left + right] for left, right in merges],
        )
    except KeyError as error:
        missing = error.args[0]
        rank, pair = next((k, (a, b)) for k, (a, b) in enumerate(merges) if missing in (a, b, a + b))
        raise TokenizerError(f"merge {rank} {pair!r} needs {missing!r} in the vocabulary; add it") from None
