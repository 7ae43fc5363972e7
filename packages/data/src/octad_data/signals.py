"""What can be counted in a document without a model: the signals of Gopher, C4, FineWeb and RedPajama-v2 as columns.

All come from one cutting into words. A signal says nothing about keeping; that is for `rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.c4_lines import C4_NAMES, c4_signals
from octad_data.errors import DataError
from octad_data.line_signals import LINE_NAMES, line_signals
from octad_data.ngram_signals import NGRAM_NAMES, ngram_signals
from octad_data.texts import Texts
from octad_data.word_signals import WORD_NAMES, word_signals
from octad_data.words import Words, splitter

if TYPE_CHECKING:
    import pyarrow as pa

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "words": WORD_NAMES,
    "lines": LINE_NAMES,
    "ngrams": NGRAM_NAMES,
    "c4": C4_NAMES,
}


def signal_names(families: tuple[str, ...] = tuple(FAMILIES)) -> tuple[str, ...]:
    """The names of the columns, in order."""
    return tuple(name for family in families for name in FAMILIES[family])


def compute_signals(
    texts: Texts, language: str = "en", families: tuple[str, ...] = tuple(FAMILIES)
) -> dict[str, NDArray[np.float64]]:
    """Every signal of each text, by its name.

    Args:
        texts: of one language.
        language: decides how words are cut (see `WordSplitter`) and which words are stop words.
        families: of `words`, `lines`, `ngrams` and `c4`; what is not needed costs nothing.

    Cost: one second of a core for some 20 MB of English, all families.
    """
    words = splitter(language)(texts)
    found: dict[str, NDArray[np.float64]] = {}
    for family in families:
        found |= zip(FAMILIES[family], _family(family, texts, words, language).T, strict=True)
    return found


@dataclass(frozen=True)
class Signals:
    """Adds the signals as columns.

    Attributes:
        language: of all documents; `*` takes each row's own from the column `language`.
        families: of `words`, `lines`, `ngrams`, `c4`.
    """

    language: str = "en"
    families: tuple[str, ...] = tuple(FAMILIES)

    def __post_init__(self) -> None:
        for family in self.families:
            if family not in FAMILIES:
                raise DataError(f"families: {family!r} is not known; use of {', '.join(FAMILIES)}")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with a column of floats for each signal."""
        import pyarrow as pa

        from octad_data.step import with_column

        texts = Texts.from_arrow(batch.column("text"))
        if self.language != "*":
            found = compute_signals(texts, self.language, self.families)
        else:
            if "language" not in batch.schema.names:
                raise DataError('language = "*" needs a column "language"; put detect_language before signals')
            found = self._by_language(texts, batch.column("language").to_pylist())
        for name, values in found.items():
            batch = with_column(batch, name, pa.array(values))
        return batch

    def _by_language(self, texts: Texts, languages: list[str | None]) -> dict[str, NDArray[np.float64]]:
        found = {name: np.zeros(len(texts)) for name in signal_names(self.families)}
        for language in sorted({language or "und" for language in languages}):
            rows = [row for row, other in enumerate(languages) if (other or "und") == language]
            part = compute_signals(Texts.of(texts[row] for row in rows), language, self.families)
            for name, values in part.items():
                found[name][rows] = values
        return found


def _family(family: str, texts: Texts, words: Words, language: str) -> NDArray[np.float64]:
    if family == "words":
        return word_signals(texts, words, language)
    if family == "lines":
        return line_signals(texts, words)
    if family == "ngrams":
        return ngram_signals(texts, words)
    return c4_signals(texts, words, language)
