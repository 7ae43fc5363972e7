"""The history of language models, each small enough to read at one sitting and proven against its paper.

1948  Shannon: text has an entropy; n-grams and guesses bound it (`block_entropies`, `guessing_bounds`).
1953  Counts lie about what was not seen: Good, Katz, Kneser and Ney (`NGramModel` with a `Smoothing`).
2003  Bengio: words are vectors, a network predicts from them (`Bengio`).
1997  Hochreiter and Schmidhuber: a state that gates keep (`LSTMLanguageModel`).
2014  Sutskever: one network reads, another writes (`Seq2Seq`, `beam_search`); Bahdanau, Luong: and it looks back.
2018  Peters: a word's vector depends on its sentence (`ELMo`, `ELMoTagger`).
2018  Devlin: words are hidden and found again, and the encoder then does other tasks (`HeadedEncoder`, `mask_words`).
2019  Raffel: every task is text to text (`corrupt_spans`).

What came next is the rest of `octad_arch`: `transformer_2017`, `bert_encoder`, and on.
"""

from octad_arch.classic.beam import Hypothesis, beam_search, length_penalty
from octad_arch.classic.bengio import Bengio, BengioModel
from octad_arch.classic.counts import NGramCounts
from octad_arch.classic.elmo import CharacterWords, ELMo, ELMoModel, ELMoTagger, LayerMixture
from octad_arch.classic.encoder_heads import (
    EncoderHead,
    HeadedEncoder,
    HeadedEncoderModel,
    PooledHead,
    TokenHead,
    WordHead,
)
from octad_arch.classic.entropy import block_entropies, guess_shares, guessing_bounds, ranks
from octad_arch.classic.lstm import LSTMLanguageModel, LSTMLayer, LSTMModel
from octad_arch.classic.ngram import ByteNGram, byte_entropy
from octad_arch.classic.ngram_model import NGramModel
from octad_arch.classic.objectives import Masked, SentencePair, Spans, corrupt_spans, mask_words, sentence_pair
from octad_arch.classic.seq2seq import Seq2Seq, Seq2SeqModel
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
    "Bengio",
    "BengioModel",
    "ByteNGram",
    "CharacterWords",
    "ELMo",
    "ELMoModel",
    "ELMoTagger",
    "EncoderHead",
    "HeadedEncoder",
    "HeadedEncoderModel",
    "Hypothesis",
    "Katz",
    "KneserNey",
    "LSTMLanguageModel",
    "LSTMLayer",
    "LSTMModel",
    "LayerMixture",
    "Masked",
    "ModifiedKneserNey",
    "NGramCounts",
    "NGramModel",
    "PooledHead",
    "SentencePair",
    "Seq2Seq",
    "Seq2SeqModel",
    "Smoothing",
    "Spans",
    "StupidBackoff",
    "TokenHead",
    "Vocabulary",
    "WittenBell",
    "WordHead",
    "beam_search",
    "block_entropies",
    "byte_entropy",
    "corrupt_spans",
    "guess_shares",
    "guessing_bounds",
    "length_penalty",
    "mask_words",
    "ranks",
    "sentence_pair",
]
