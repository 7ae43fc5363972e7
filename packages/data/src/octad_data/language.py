"""Which language a text is in: py3langid's n-gram model in a compiled loop, pycld2's word, and the words of twins.

py3langid (Lui and Baldwin 2012; a naive Bayes model of byte n-grams found by an automaton) is the surer of the two on
short texts, pycld2 errs elsewhere. The first's score gets three nats for the language that the second names, and loses
three for languages that are seldom written. Between languages that differ in some words alone, those words decide
(`language_twins`).
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel
from octad_data.language_twins import WRITTEN_AS, twins_of
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

UNDETERMINED = "und"
NO_LANGUAGE = "zxx"  # py3langid's own label of what is no language
SECOND_OPINION = 3.0  # nats
SELDOM = 3.0  # nats
TELLING_WORD = 6.0  # nats for a word that not all of some twins write
SAMPLE = 8000  # characters looked at, from the beginning
MIN_LETTERS = 3
WEIGHT_STEPS = 1024  # a nat; py3langid's weights, float16 from -15 to -2.7, are whole numbers of them
# What the web is mostly written in; the others are in the model and must be the surer.
COMMON_NAMES = (
    "af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km "
    "kn ko ky lt lv mk ml mn mr ms my ne nl no pa pl ps pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi "
    "zh zu xh"
)
COMMON = frozenset(COMMON_NAMES.split())
OTHER_NAMES = {"iw": "he", "zh-Hant": "zh", "jw": "jv", "nb": "no", "fil": "tl", "in": "id"}


@dataclass(frozen=True)
class Languages:
    """What was found in each text.

    Attributes:
        names: ISO 639 codes (`en`, `zh`, `kab`), or `und`.
        confidences: probabilities of these, flattened for the length of the text; 0 for `und`.
    """

    names: tuple[str, ...]
    confidences: NDArray[np.float64]


def detect_language(texts: Iterable[str]) -> Languages:
    """The language of each text, by its first 8,000 characters.

    `und` where there are fewer than three letters or nothing that looks like a language. Bosnian, Croatian and Serbian
    in Latin letters, Indonesian and Malay are told apart only by some words of theirs: a short text of one is often
    called another.

    Raises:
        DataError: the extra `language` is not installed.
    Cost: about 40,000 texts of 100 characters a second of one core, given many at once, 24,000 one at a time; 90 MB.
    """
    model = _model()
    samples = [_prepared(text) for text in texts]
    buffer = Texts.of(samples)
    scores = np.empty((len(samples), len(model.names)), dtype=np.float32)
    scores[:] = model.priors
    room = _ROOM.of(len(model.weights))
    automaton = model.start, model.next_rows, model.found
    _score(buffer.data, buffer.offsets, *automaton, model.weights, *room, scores)
    for row, sample in enumerate(samples):
        column = model.columns.get(_second_opinion(sample))
        if column is not None:
            scores[row, column] += SECOND_OPINION
    for own, other in model.written_as:
        np.maximum(scores[:, own], scores[:, other], out=scores[:, own])
    best = scores.argmax(axis=1)
    for row, sample in enumerate(samples):
        if twins := twins_of(model.names[best[row]]):
            for name, count in zip(twins.names, twins.counts(sample), strict=True):
                scores[row, model.columns[name]] += TELLING_WORD * count
            best[row] = scores[row].argmax()
    confidences = _confidences(scores, best, buffer.offsets)
    names = list[str]()
    for row, sample in enumerate(samples):
        name = model.names[best[row]]
        if name == NO_LANGUAGE or not _has_letters(sample):
            name = UNDETERMINED
            confidences[row] = 0.0
        names.append(name)
    return Languages(tuple(names), confidences)


def language_mix(text: str, min_characters: int = 40) -> dict[str, float]:
    """The share of a text's characters that is in each language, line by line; the largest first.

    Args:
        text: of several languages, perhaps.
        min_characters: shorter lines are put to the one before them.
    """
    passages = list[str]()
    for line in text.splitlines():
        if not line.strip():
            continue
        if passages and (len(line) < min_characters or len(passages[-1]) < min_characters):
            passages[-1] += "\n" + line
        else:
            passages.append(line)
    total = sum(map(len, passages))
    found: dict[str, float] = {}
    for name, passage in zip(detect_language(passages).names, passages, strict=True):
        found[name] = found.get(name, 0.0) + len(passage) / total
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def known_languages() -> tuple[str, ...]:
    """The codes that `detect_language` may give, besides `und`."""
    return tuple(sorted(set(_model().names) - {NO_LANGUAGE}))


@dataclass(frozen=True)
class DetectLanguage:
    """Adds `language` and `language_confidence`, and drops what is in none of the languages wanted.

    Attributes:
        keep: codes; empty keeps all.
        min_confidence: of a row that stays, where `keep` is given.
    """

    keep: tuple[str, ...] = ()
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise DataError(f"min_confidence={self.min_confidence} is not in [0, 1]; 0.65 is FineWeb's")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with both columns."""
        import pyarrow as pa

        from octad_data.step import drop, with_column

        found = detect_language(batch.column("text").to_pylist())
        batch = with_column(batch, "language", pa.array(found.names, pa.string()))
        batch = with_column(batch, "language_confidence", pa.array(found.confidences))
        if self.keep:
            is_other = np.array([name not in self.keep for name in found.names], dtype=np.bool_)
            batch = drop(batch, is_other, "language.other", found.confidences)
            batch = drop(batch, found.confidences < self.min_confidence, "language.unsure", found.confidences)
        return batch


class _Room(threading.local):
    """What a thread counts n-grams in; the half megabyte is kept from call to call."""

    def of(self, num_features: int) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
        """A count of each n-gram, all zero, and room to name those that were met."""
        if not hasattr(self, "arrays"):
            self.arrays = np.zeros(num_features, dtype=np.uint16), np.empty(num_features, dtype=np.int32)
        return self.arrays


_ROOM = _Room()


@dataclass(frozen=True)
class _Model:
    names: Sequence[str]
    columns: dict[str, int]
    start: np.uint64
    next_rows: NDArray[np.unsignedinteger[Any]]
    found: NDArray[np.int32]
    weights: NDArray[np.int16]
    priors: NDArray[np.float32]
    written_as: tuple[tuple[int, int], ...]


@cache
def _model() -> _Model:
    try:
        import pycld2  # noqa: F401 - asked for each text
        from py3langid import langid
    except ModuleNotFoundError as error:
        raise DataError(
            f"missing extra: telling languages needs {error.name}; pip install 'octad-data[language]'"
        ) from None
    read: Any = langid.LanguageIdentifier.from_modelpath(langid.MODEL_DIR / langid.MODEL_FILE)
    names = list(read.nb_classes)
    priors = np.array(read.nb_pc, dtype=np.float32) - np.array(
        [0 if n in COMMON else SELDOM for n in names], np.float32
    )
    columns: dict[str, int] = {}
    for column, name in enumerate(names):
        columns.setdefault(name, column)
    moves, rows, outputs = (np.asarray(table) for table in (read.tk_nextmove, read.tk_row, read.tk_output))
    return _Model(
        names,
        columns,
        np.uint64(rows[0]),
        rows.astype(np.min_scalar_type(rows.max()))[moves],  # one look-up a byte, in half the memory of the moves
        outputs.astype(np.int32)[moves],
        np.round(np.asarray(read.nb_ptc, dtype=np.float32) * WEIGHT_STEPS).astype(np.int16),
        priors,
        tuple((columns[name], columns[other]) for name, other in WRITTEN_AS.items()),
    )


def _prepared(text: str) -> str:
    """The beginning of a text, in the form that the model was trained on."""
    import unicodedata

    sample = text[:SAMPLE]
    return unicodedata.normalize("NFC", sample.lower() if sample.isupper() else sample)


def _has_letters(sample: str) -> bool:
    """Whether a text begins with something that can be read: three letters in two hundred characters."""
    letters = filter(str.isalpha, sample[:200])
    return next(islice(letters, MIN_LETTERS - 1, None), None) is not None


def _second_opinion(sample: str) -> str:
    """pycld2's code, empty where it has none."""
    import pycld2

    try:
        name: str = pycld2.detect(sample.encode("utf-8", "replace"), bestEffort=True)[2][0][1]
    except pycld2.error:
        return ""  # it refuses control characters
    return OTHER_NAMES.get(name, name)


@kernel
def _score(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    start: np.uint64,
    next_rows: NDArray[np.unsignedinteger[Any]],
    found: NDArray[np.int32],
    weights: NDArray[np.int16],
    counts: NDArray[np.uint16],
    met: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Add to each row the log-likelihoods of the n-grams that the automaton finds, each counted as log(1 + n).

    A move is a row of the automaton and a byte: `next_rows` says where it leads, `found` which n-gram ends there, or
    -1. `counts` of every n-gram is zero before and after, and no sample has more n-grams than one holds.
    """
    for text in range(len(texts) - 1):
        row, different = start, 0
        for place in range(texts[text], texts[text + 1]):
            move = (row << np.uint64(8)) + np.uint64(data[place])
            row = np.uint64(next_rows[move])
            feature = found[move]
            if feature >= 0:
                if counts[feature] == 0:
                    met[different] = feature
                    different += 1
                counts[feature] += 1
        for index in range(different):
            feature = met[index]
            factor = np.float32(np.log1p(counts[feature]) / WEIGHT_STEPS)
            counts[feature] = 0
            for column in range(weights.shape[1]):
                scores[text, column] += factor * weights[feature, column]


@allocating_kernel
def _confidences(
    scores: NDArray[np.float32], best: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Softmax of each row at its best column, of scores divided by the square root of the text's bytes."""
    confidences = np.empty(len(scores), dtype=np.float64)
    for row in range(len(scores)):
        width = np.sqrt(max(offsets[row + 1] - offsets[row], 1))
        total = 0.0
        for column in range(scores.shape[1]):
            total += np.exp((scores[row, column] - scores[row, best[row]]) / width)
        confidences[row] = 1 / total
    return confidences
