"""WordPiece (Schuster and Nakajima 2012), as BERT uses it: the longest piece that fits, again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from octad_tokenizer import normal_tables, wordpiece_file
from octad_tokenizer.base import BaseTokenizer, utf8_decoder
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.files import read_text
from octad_tokenizer.framing import BERT_FRAMING, Framing
from octad_tokenizer.normalization import BertNormalizer, bert_words, char_class
from octad_tokenizer.special import utf8

BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_CACHED_WORDS = 1 << 17
_BORDER = "9-a,d,20-2f,3a-40,5b-60,7b-7e,a0,1680,2000-200a,2028-2029,202f,205f,3000"
_CLEANED = [(f" {sign}", sign) for sign in (".", "?", "!", ",")] + [
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
]


class WordPieceTokenizer(BaseTokenizer):
    """Normalises, splits into words and punctuation marks, and each word into the longest pieces from the left.

    It loses text: case and accents (if the normaliser says so), white space, control characters; and a word with any
    part that no piece covers is `unknown` as a whole. `unknown_rate` says how much of a text that is.

    Args:
        vocabulary: piece to id; pieces inside a word begin with `prefix`.
        special_tokens: names; those in `vocabulary` keep their ids, the others get the next free ones.
        unknown: the token for words that cannot be split; a special token, in `vocabulary` or not.
        prefix: how a piece says that it is not the beginning of a word.
        max_input_chars_per_word: longer words are `unknown`.
        normalizer: what happens to the text first.
        framing: what `encode_framed` puts around texts; None is BERT's where the tokens are there, or nothing.
        clean_up: decode English nearer to how it is written: no space before `.`, `n't` and the like.

    Raises:
        TokenizerError: an empty piece, an id that is no int >= 0 or given twice, or a limit below 1.

    Cost: a look-up a word that was seen before; else at most (length of the word) * (length of the longest piece).
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        special_tokens: Sequence[str] = BERT_SPECIAL_TOKENS,
        *,
        unknown: str = "[UNK]",
        prefix: str = "##",
        max_input_chars_per_word: int = 100,
        normalizer: BertNormalizer | None = None,
        framing: Framing | None = None,
        clean_up: bool = True,
    ) -> None:
        if max_input_chars_per_word < 1:
            raise TokenizerError(f"max_input_chars_per_word={max_input_chars_per_word} is less than 1; BERT has 100")
        ordinary, special = _separated(vocabulary, special_tokens, unknown)
        texts = {i: utf8(piece.removeprefix(prefix) or piece) for piece, i in ordinary.items()}
        super().__init__(texts, special)
        self._pieces = ordinary
        self._spelling = {token_id: piece for piece, token_id in (*ordinary.items(), *special.items())}
        self.unknown, self.prefix, self.clean_up = unknown, prefix, clean_up
        self.max_input_chars_per_word = max_input_chars_per_word
        self.normalizer = normalizer or BertNormalizer()
        if framing is None:
            framing = BERT_FRAMING if special.keys() >= {"[CLS]", "[SEP]"} else Framing()
        self.framing = framing
        self._longest = max(map(len, ordinary), default=0)
        self._cache: dict[str, list[int]] = {}

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Piece to id of the ordinary tokens."""
        return MappingProxyType(self._pieces)

    def encode_framed(self, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
        """Ids of `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]`, and the segment (0 or 1) of each.

        Raises:
            TokenizerError: as `encode`, or the framing names a token that is not there.
        """
        second = None if pair is None else self.encode(pair)
        return self.framing.apply(self.special_tokens, self.encode(text), second)

    def unknown_rate(self, text: str) -> float:
        """The share of the words of `text` that become `unknown`; 0 for a text without words."""
        words = bert_words(self.normalizer(text))
        unknown = [self.special_tokens[self.unknown]]
        return sum(self._word_ids(word) == unknown for word in words) / len(words) if words else 0.0

    def _encode_text(self, text: str) -> list[int]:
        utf8(text)  # a lone surrogate has no place in a vocabulary
        ids: list[int] = []
        cache = self._cache
        for word in bert_words(self.normalizer(text)):
            ids += cache[word] if word in cache else self._word_ids(word)
        return ids

    def _word_ids(self, word: str) -> list[int]:
        if len(word) > self.max_input_chars_per_word:
            return [self.special_tokens[self.unknown]]
        ids = longest_pieces(word, self._pieces, self.prefix, self._longest)
        if ids is None:
            ids = [self.special_tokens[self.unknown]]
        if len(self._cache) >= _CACHED_WORDS:
            self._cache.clear()
        self._cache[word] = ids
        return ids

    def _last_cut(self, text: str) -> int | None:
        """After the last white space, ASCII punctuation mark or Chinese character: no word goes on behind one."""
        border = _BORDER + ("," + normal_tables.CHINESE) * self.normalizer.handle_chinese_chars
        backwards = char_class(border).search(text[::-1])
        return len(text) - backwards.start() if backwards else None

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Words with one space between: not the text that was encoded, but its words.

        Raises:
            TokenizerError: an unknown id or an unknown value of `errors`.
        """
        return "".join(self.decode_stream(ids, errors))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """`decode(ids)` in UTF-8."""
        return self.decode(ids).encode()

    def decode_stream(self, ids: Iterable[int], errors: str = "replace") -> Iterator[str]:
        """The text of `ids` as it comes; the pieces join to `decode(ids)`."""
        utf8_decoder(errors)
        for at, token_id in enumerate(ids):
            piece = self._spelling.get(token_id) or self._spelling_of_other(token_id)
            if at:
                piece = piece.removeprefix(self.prefix) if piece.startswith(self.prefix) else f" {piece}"
            yield cleaned_up(piece) if self.clean_up else piece

    def _spelling_of_other(self, token_id: int) -> str:
        self._bytes_of_other(token_id)
        return self._spelling[int(token_id)]

    def token_bytes(self, token_id: int) -> bytes:
        """The text of one token, without the prefix."""
        return self._bytes[token_id] if token_id in self._bytes else self._bytes_of_other(token_id)

    def save(self, path: str | Path) -> Path:
        """Write Hugging Face's `tokenizer.json`, completely or not at all; return where it is.

        Raises:
            OSError: the file cannot be written.
        """
        return wordpiece_file.write(self, path)

    @classmethod
    def load(cls, path: str | Path, *, ignore: Iterable[str] = ()) -> WordPieceTokenizer:
        """Read a `tokenizer.json` of type WordPiece with BERT's normaliser and pre-tokeniser, or a `vocab.txt`.

        Args:
            path: the file, or the folder that holds a `tokenizer.json`.
            ignore: parts to do without though they change ids: "added_token_options", "post_processor".

        Raises:
            TokenizerError: the file is of another kind, or has a part that we would have to drop; it names the part.
            OSError: there is no such file.
        """
        left_out = wordpiece_file.checked_ignore(ignore)
        if Path(path).suffix == ".txt":
            return cls.from_vocab_txt(path)
        return wordpiece_file.read(path, left_out, cls)

    @classmethod
    def from_vocab_txt(
        cls, path: str | Path, *, lowercase: bool = True, strip_accents: bool | None = None
    ) -> WordPieceTokenizer:
        """BERT's first format: a piece a line, its id the number of the line from 0.

        Args:
            path: the file.
            lowercase: True for "uncased" models; the file does not say.
            strip_accents: as in `BertNormalizer`.

        Raises:
            TokenizerError: a piece is empty or given twice, or [UNK] is missing; it names the line.
            OSError: there is no such file.
        """
        vocabulary: dict[str, int] = {}
        for token_id, line in enumerate(read_text(Path(path)).removesuffix("\n").split("\n")):
            piece = line.removesuffix("\r")
            if not piece:
                raise TokenizerError(f"{path}, line {token_id + 1} is empty; the line number is the id, so fill it")
            if piece in vocabulary:
                raise TokenizerError(f"{path}, lines {vocabulary[piece] + 1} and {token_id + 1} are both {piece!r}")
            vocabulary[piece] = token_id
        if "[UNK]" not in vocabulary:
            raise TokenizerError(f"{path} has no [UNK] among {len(vocabulary)} lines; is it a BERT vocabulary?")
        names = [name for name in BERT_SPECIAL_TOKENS if name in vocabulary]
        return cls(vocabulary, names, normalizer=BertNormalizer(lowercase=lowercase, strip_accents=strip_accents))


def longest_pieces(word: str, pieces: Mapping[str, int], prefix: str, longest: int) -> list[int] | None:
    """The ids of the longest pieces from the left; None where at some place none fits."""
    ids: list[int] = []
    start = 0
    while start < len(word):
        lead = prefix if start else ""
        stop = min(len(word), start + longest)
        while stop > start and lead + word[start:stop] not in pieces:
            stop -= 1
        if stop == start:
            return None
        ids.append(pieces[lead + word[start:stop]])
        start = stop
    return ids


def cleaned_up(text: str) -> str:
    """One token's text, after a space, as English is written; what Hugging Face's WordPiece decoder does."""
    for found, better in _CLEANED:
        text = text.replace(found, better)
    return text


def _separated(
    vocabulary: Mapping[str, int], special_tokens: Sequence[str], unknown: str
) -> tuple[dict[str, int], dict[str, int]]:
    """The ordinary and the special part of a vocabulary that may list both."""
    for piece, token_id in vocabulary.items():
        if not isinstance(piece, str) or not piece:
            raise TokenizerError(f"vocabulary holds {piece!r}; a piece is a non-empty str")
        if not isinstance(token_id, int) or token_id < 0:
            raise TokenizerError(f"piece {piece!r} has id {token_id!r}; an id is an int >= 0")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError(f"{len(vocabulary)} pieces have {len(set(vocabulary.values()))} ids; give each its own")
    if isinstance(special_tokens, str):
        raise TokenizerError(f"special_tokens={special_tokens!r} is one str; pass [{special_tokens!r}]")
    next_free = max(vocabulary.values(), default=-1) + 1
    special: dict[str, int] = {}
    for name in dict.fromkeys((*special_tokens, unknown)):
        special[name] = vocabulary.get(name, next_free)
        next_free += name not in vocabulary
    return {piece: i for piece, i in vocabulary.items() if piece not in special}, special
