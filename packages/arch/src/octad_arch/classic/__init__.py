"""The history of language models, each small enough to read at one sitting and proven against its paper.

1948, Shannon: text has an entropy; n-grams and guesses bound it (`block_entropies`, `guessing_bounds`).
"""

from octad_arch.classic.counts import NGramCounts
from octad_arch.classic.entropy import block_entropies, guess_shares, guessing_bounds, ranks
from octad_arch.classic.ngram import ByteNGram, byte_entropy
from octad_arch.classic.ngram_model import NGramModel
from octad_arch.classic.smoothing import (
    AddK,
    Katz,
    KneserNey,
    ModifiedKneserNey,
    Smoothing,
    StupidBackoff,
    WittenBell,
)
from octad_arch.classic.vocabulary import Vocabulary

__all__ = [
    "AddK",
    "ByteNGram",
    "Katz",
    "KneserNey",
    "ModifiedKneserNey",
    "NGramCounts",
    "NGramModel",
    "Smoothing",
    "StupidBackoff",
    "Vocabulary",
    "WittenBell",
    "block_entropies",
    "byte_entropy",
    "guess_shares",
    "guessing_bounds",
    "ranks",
]
