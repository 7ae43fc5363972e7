"""Byte-pair encoding over characters, as SentencePiece has it: Llama 2, Mistral, Gemma."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from octad_tokenizer import sentencepiece_bpe_file
from octad_tokenizer.framing import Framing
from octad_tokenizer.merge import apply_merges
from octad_tokenizer.piece_tokenizer import PieceTokenizer
from octad_tokenizer.text_steps import Step


class SentencePieceBPE(PieceTokenizer):
    """Splits text into characters, those without a piece into bytes, and merges neighbours, the earliest merge first.

    Unlike `BytePairTokenizer` it loses text: what the normaliser changes, and unknown characters without byte pieces.

    Args:
        vocabulary: piece to id; a space is written as U+2581.
        merges: pairs of pieces, earliest first; their parts and products must be in `vocabulary`. Pairs with the
            same product next to each other count as one rank, so that the leftmost of them is merged first.
        unknown: the piece for characters that no other covers.
        special_tokens: name to id; or names, which keep the ids they have in `vocabulary` or get the next free ones.
        byte_fallback: unknown characters become pieces `<0x00>` to `<0xFF>`.
        fuse_unknown: neighbouring unknown characters share one unknown token.
        normalizer: as `tokenizer.json` has it.
        pre_tokenizer: as `tokenizer.json` has it; None cuts nowhere.
        framing: what `encode_framed` puts around texts; None is nothing.

    Raises:
        TokenizerError: a rule above is broken, or a step cannot be followed.

    Cost: O(n log n) for a pre-token of n characters.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        unknown: str | None = "<unk>",
        special_tokens: Mapping[str, int] | Sequence[str] = (),
        *,
        byte_fallback: bool = False,
        fuse_unknown: bool = True,
        normalizer: Step | None = None,
        pre_tokenizer: Step | None = None,
        framing: Framing | None = None,
    ) -> None:
        sentencepiece_bpe_file.check(vocabulary, unknown)
        super().__init__(
            vocabulary,
            unknown,
            special_tokens,
            byte_fallback=byte_fallback,
            normalizer=normalizer,
            pre_tokenizer=pre_tokenizer,
            framing=framing or Framing(),
        )
        self._vocabulary, self._merges = dict(vocabulary), tuple(merges)
        self._ranks, self._products = sentencepiece_bpe_file.merge_table(vocabulary, self._merges)
        self._fuse_unknown = fuse_unknown

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Piece to id, those of the file that are special included."""
        return MappingProxyType(self._vocabulary)

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """The pairs of pieces that become one, earliest first."""
        return self._merges

    @property
    def unknown(self) -> str | None:
        """The piece for characters that no other covers."""
        return self._unknown

    @property
    def fuse_unknown(self) -> bool:
        """Whether neighbouring unknown characters share one unknown token."""
        return self._fuse_unknown

    def _ids_of_word(self, word: str) -> list[int]:
        unknown_id = None if self._unknown is None else self.special_tokens[self._unknown]
        ids: list[int] = []
        for character in word:
            token_id = self._ids.get(character)
            found = self._ids_of_unknown(character) if token_id is None else [token_id]
            if not (self._fuse_unknown and found == [unknown_id] and ids and ids[-1] == unknown_id):
                ids += found
        return apply_merges(ids, self._ranks, self._products)

    def save(self, path: str | Path) -> Path:
        """Write Hugging Face's `tokenizer.json`, completely or not at all; return where it is.

        Raises:
            TokenizerError: the tokenizer came from a SentencePiece model, whose normaliser the format cannot hold.
            OSError: the file cannot be written.
        """
        return sentencepiece_bpe_file.write(self, path)

    @classmethod
    def load(cls, path: str | Path, *, ignore: Iterable[str] = ()) -> SentencePieceBPE:
        """Read a `tokenizer.json` of type BPE whose tokens are characters, or a SentencePiece `.model` of type bpe.

        Args:
            path: the file, or the folder that holds a `tokenizer.json`.
            ignore: parts to do without though they change ids: "added_token_options", "dropout", "normalizer",
                "post_processor".

        Raises:
            TokenizerError: the file is of another kind, or has a part that we would have to drop; it names the part.
            OSError: there is no such file.
        """
        return sentencepiece_bpe_file.read(path, ignore, cls)
