"""Unigram tokens (Kudo 2018), as SentencePiece trains and T5 uses them: the most probable cut of a text into pieces."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from octad_tokenizer import unigram_file
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.framing import Framing
from octad_tokenizer.lattice import UNKNOWN, Edge, Lattice, Pieces, fused
from octad_tokenizer.piece_tokenizer import PieceTokenizer
from octad_tokenizer.protocol import AllowedSpecial
from octad_tokenizer.special import checked_text
from octad_tokenizer.text_steps import WORDS_AFTER_SPACES, Step

_UNKNOWN_PENALTY = 10.0


class UnigramTokenizer(PieceTokenizer):
    """The path through the lattice of pieces with the highest sum of log-probabilities.

    It loses text: what the normaliser changes, and characters that no piece covers, unless bytes stand in for them.

    Args:
        pieces: (piece, log-probability); the index is the id. A space is written as U+2581.
        unknown_id: the id of the token for characters that no piece covers; neighbours share one.
        special_tokens: name to id; or names, which keep the ids they have in `pieces` or get the next free ones. The
            unknown token is one of them. Special pieces are never found inside of a text.
        byte_fallback: what no piece covers becomes pieces `<0x00>` to `<0xFF>`, if all that it needs are there.
        normalizer: as `tokenizer.json` has it, a `Precompiled` character map for instance.
        pre_tokenizer: as `tokenizer.json` has it; None cuts nowhere.
        framing: what `encode_framed` puts around texts; None is T5's where `</s>` is there, or nothing.

    Raises:
        TokenizerError: no pieces, one given twice or empty, a score that is no number, an id that is not there, or a
            step that we cannot follow.

    Cost: a look-up a pre-token that was seen before; else (its length) * (length of the longest piece).
    """

    def __init__(
        self,
        pieces: Sequence[tuple[str, float]],
        unknown_id: int | None,
        special_tokens: Mapping[str, int] | Sequence[str] = (),
        *,
        byte_fallback: bool = False,
        normalizer: Step | None = None,
        pre_tokenizer: Step | None = WORDS_AFTER_SPACES,
        framing: Framing | None = None,
    ) -> None:
        self._pieces = [(piece, float(score)) for piece, score in unigram_file.checked(pieces, unknown_id)]
        super().__init__(
            {piece: token_id for token_id, (piece, _) in enumerate(self._pieces)},
            None if unknown_id is None else self._pieces[unknown_id][0],
            special_tokens,
            byte_fallback=byte_fallback,
            normalizer=normalizer,
            pre_tokenizer=pre_tokenizer,
            framing=framing,
        )
        worst = min(score for _, score in self._pieces)
        scores = {piece: (i, self._pieces[i][1]) for piece, i in self._ids.items()}
        self._trie = Pieces(scores, worst - _UNKNOWN_PENALTY)
        self._unknown_id = unknown_id

    @property
    def pieces(self) -> tuple[tuple[str, float], ...]:
        """(piece, log-probability) by id, special tokens of the file included."""
        return tuple(self._pieces)

    @property
    def unknown_id(self) -> int | None:
        """The id for characters that no piece covers."""
        return self._unknown_id

    def _ids_of_word(self, word: str) -> list[int]:
        return self._path_ids(word, self._trie.best(word), frozenset())

    def _path_ids(self, text: str, path: Sequence[Edge], borders: frozenset[int]) -> list[int]:
        """Ids of a path; unknown neighbours together may be a piece."""
        ids: list[int] = []
        for start, stop, token_id in fused(path, borders):
            if token_id != UNKNOWN:
                ids.append(token_id)
            elif (joined := self._ids.get(text[start:stop])) is not None:
                ids.append(joined)
            else:
                ids += self._ids_of_unknown(text[start:stop])
        return ids

    def encode_nbest(
        self, text: str, num_best: int, *, allowed_special: AllowedSpecial = "all"
    ) -> list[tuple[list[int], float]]:
        """The most probable ways to encode `text`, best first, each with its sum of log-probabilities.

        Raises:
            TokenizerError: `num_best` is below 1; or as `encode`.

        Cost: O(num_best * characters * pieces a place).
        """
        if num_best < 1:
            raise TokenizerError(f"num_best={num_best} is less than 1; the best one alone is num_best=1")
        lattice, borders = self._lattice(text, allowed_special)
        return [(self._path_ids(lattice.text, path, borders), score) for path, score in lattice.best_paths(num_best)]

    def sample(
        self,
        text: str,
        *,
        seed: int | random.Random,
        alpha: float = 1.0,
        allowed_special: AllowedSpecial = "all",
    ) -> list[int]:
        """Ids of one path at random, P(path) ~ P_unigram(path)**alpha: subword regularisation (Kudo 2018, eq. 8).

        Args:
            text: as for `encode`.
            seed: a number, or a generator that goes on from call to call.
            alpha: 0 makes all paths equally likely, a large one gives the best path.
            allowed_special: as for `encode`.

        Raises:
            TokenizerError: `alpha` is negative; or as `encode`.
        """
        if not alpha >= 0:
            raise TokenizerError(f"alpha={alpha} is not >= 0; 1 samples from the model, 0 uniformly")
        generator = seed if isinstance(seed, random.Random) else random.Random(seed)
        lattice, borders = self._lattice(text, allowed_special)
        return self._path_ids(lattice.text, lattice.sample(alpha, generator), borders)

    def _lattice(self, text: str, allowed_special: AllowedSpecial) -> tuple[Lattice, frozenset[int]]:
        lattice, borders, is_first = Lattice(), set[int](), True
        names = {token_id: name for name, token_id in self.special_tokens.items()}
        for segment, special_id in self._special.split(checked_text(text), self._special.allowed(allowed_special)):
            for word in self._steps.words(segment, is_first):
                borders.add(len(lattice.text))
                lattice.add_word(word, self._trie)
            if special_id is not None:
                borders.add(len(lattice.text))
                lattice.add_token(names[special_id], special_id)
            is_first = is_first and not segment and special_id is None
        return lattice, frozenset(borders)

    def unreachable_pieces(self) -> dict[int, bytes]:
        """The ordinary pieces that no path takes: other pieces make their text with a higher score."""
        found = {}
        for piece, token_id in self._ids.items():
            if len(self._trie.best(piece)) > 1:
                found[token_id] = self.token_bytes(token_id)
        return found

    def save(self, path: str | Path) -> Path:
        """Write Hugging Face's `tokenizer.json`, completely or not at all; return where it is.

        Raises:
            TokenizerError: the tokenizer came from a SentencePiece model, whose normaliser the format cannot hold.
            OSError: the file cannot be written.
        """
        return unigram_file.write(self, path)

    @classmethod
    def load(cls, path: str | Path, *, ignore: Iterable[str] = ()) -> UnigramTokenizer:
        """Read a `tokenizer.json` of type Unigram, or a SentencePiece `.model` of type unigram.

        Args:
            path: the file, or the folder that holds a `tokenizer.json`.
            ignore: parts to do without though they change ids: "added_token_options", "normalizer", "post_processor".

        Raises:
            TokenizerError: the file is of another kind, or has a part that we would have to drop; it names the part.
            OSError: there is no such file.
        """
        return unigram_file.read(path, ignore, cls)
