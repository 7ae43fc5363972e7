"""GPT-2's spelling of bytes as printable characters, in which its files and Hugging Face's write tokens."""

from __future__ import annotations

from octad_tokenizer.errors import TokenizerError

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHER = sorted(set(range(256)).difference(_PRINTABLE))

BYTE_ORDER = bytes(_PRINTABLE + _OTHER)
"""The byte with id i, for i < 256, in GPT-2 and in what we train: printable ones first.

It is also the order of their spellings, so "the pair with the smallest ids" means here what it means to Hugging Face.
"""

_SPELLING = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + at) for at, byte in enumerate(_OTHER)}
_BYTE = {character: byte for byte, character in _SPELLING.items()}
_TO_SPELLING = {byte: ord(character) for byte, character in _SPELLING.items()}


def spelled(token: bytes) -> str:
    """One printable character a byte: a space is `Ġ`, a line end `Ċ`."""
    return token.decode("latin-1").translate(_TO_SPELLING)


def unspelled(spelling: str) -> bytes:
    """The bytes of a spelling.

    Raises:
        TokenizerError: a character that spells no byte.
    """
    try:
        return bytes([_BYTE[character] for character in spelling])
    except KeyError as error:
        raise TokenizerError(
            f"token {spelling!r} holds {error.args[0]!r}, which spells no byte in GPT-2's alphabet; "
            "if it is a special token, name it as one"
        ) from None
