"""A linear classifier over hashed n-grams and plain signals: trained in seconds, read by anyone, one file."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octad_data.calibration import Calibration, Threshold, area_under_curve, threshold_for
from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel
from octad_data.text_features import NUM_SIGNALS, SIGNALS, Ngrams, Work, count_text
from octad_data.texts import Texts

Vector = NDArray[np.float64]
FORMAT = 1
MAX_SIGNAL = 4.0  # standard deviations; a page of ten million bars is as odd as one of ten thousand
LOG_TABLE = np.log(np.maximum(np.arange(256, dtype=np.float64), 1.0)).astype(np.float32) + np.float32(1)


@dataclass(frozen=True)
class ClassifierConfig:
    """What the classifier looks at and how hard it is held back.

    The value of an n-gram is (1 + log count) * log((1 + texts) / (1 + texts with it)) + 1; each text has length 1.

    Attributes:
        words: longest run of words and signs, 0 to 5; 0 for none.
        min_characters, max_characters: runs of characters, 1 to 8; a max of 0 for none.
        bits: log2 of the number of columns, 10 to 24.
        signal_scale: weight of the document signals (sizes, shares of signs, line ends ...); 0 leaves them out.
        c: weight of the data against the penalty, > 0.
        balanced: let every class weigh the same.
        calibration: `platt`, or `isotonic` where there are thousands of labels.
        folds: of the cross-validation from which calibration and thresholds come, >= 2.
        max_bytes: how much of each text is read.
        seed: of the folds.

    Raises:
        DataError: a field is outside its range.
    """

    words: int = 1
    min_characters: int = 2
    max_characters: int = 3
    bits: int = 18
    signal_scale: float = 0.05
    c: float = 10.0
    balanced: bool = False
    calibration: str = "platt"
    folds: int = 5
    max_bytes: int = 1 << 17
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {"words": (0, 5), "min_characters": (1, 8), "max_characters": (0, 8), "bits": (10, 24),
                  "folds": (2, 100), "max_bytes": (1, 1 << 30)}  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise DataError(
                    f"{name}={value!r} is not in {low}..{high}; use {name}={getattr(ClassifierConfig, name)}"
                )
        if self.max_characters and self.max_characters < self.min_characters:
            raise DataError(f"max_characters={self.max_characters} is below min_characters={self.min_characters}")
        if not self.c > 0 or not self.signal_scale >= 0:
            raise DataError(f"c={self.c}, signal_scale={self.signal_scale}: c > 0 and signal_scale >= 0 are needed")
        if not (self.words or self.max_characters or self.signal_scale):
            raise DataError("words=0, max_characters=0 and signal_scale=0 leave nothing to look at; use words=2")
        if self.calibration not in ("platt", "isotonic"):
            raise DataError(f"calibration={self.calibration!r} is unknown; use 'platt' or 'isotonic'")

    @property
    def ngrams(self) -> Ngrams:
        """The part that says what is counted."""
        return Ngrams(self.words, self.min_characters, self.max_characters, self.bits, self.max_bytes)


@dataclass(frozen=True)
class Evidence:
    """One thing that a classifier saw in a text.

    Attributes:
        feature: `words:`, `characters:` and the n-gram as it first stands in the text, or `signal:` and its name.
        amount: how often it occurs, or the signal's value.
        weight: what it adds to the logit.
    """

    feature: str
    amount: float
    weight: float


@dataclass(frozen=True)
class Classifier:
    """Weights, and all that is needed to read them.

    Attributes:
        config: how texts are read.
        labels: the classes in the order of the columns of `predict`.
        idf: float32, shape (2**bits,).
        weights: float32, shape (2**bits, logits); two classes have one logit, that of the second.
        signal_means, signal_spreads: of the training texts, shape (32,).
        signal_weights: shape (32, logits).
        biases: shape (logits,).
        calibrations: one for each logit.
        held_out: calibrated probabilities of the training texts, each from a model that did not see it; float32,
            shape (texts, classes). Thresholds come from them.
        truths: class of each training text.
    """

    config: ClassifierConfig
    labels: tuple[str, ...]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]
    signal_means: Vector
    signal_spreads: Vector
    signal_weights: Vector
    biases: Vector
    calibrations: tuple[Calibration, ...]
    held_out: NDArray[np.float32]
    truths: NDArray[np.int64]

    def logits(self, texts: Texts | Iterable[str]) -> Vector:
        """Scores before calibration, shape (texts, logits)."""
        texts = texts if isinstance(texts, Texts) else Texts.of(texts)
        out = np.zeros((len(texts), len(self.biases)))
        work = Work(texts, self.config.ngrams)
        plain = (self.signal_means, self.signal_spreads, self.signal_weights * self.config.signal_scale, self.biases)
        model = (self.config.max_bytes, self.idf, self.weights, *plain)
        score_texts(texts.data, texts.offsets, *work.arguments(), *model, LOG_TABLE, out)
        return out

    def predict(self, texts: Texts | Iterable[str]) -> Vector:
        """Calibrated probability of each class, shape (texts, classes); rows sum to 1.

        Cost: one pass, about 20 MB/s a core with the default n-grams.
        """
        return calibrated(self.logits(texts), self.calibrations)

    def classify(self, texts: Texts | Iterable[str]) -> list[str]:
        """The likeliest label of each text."""
        return [self.labels[i] for i in self.predict(texts).argmax(axis=1).tolist()]

    def explain(self, text: str, label: str | None = None, top: int = 20) -> list[Evidence]:
        """What moved the logit of a label most, largest first; over all evidence the weights and the bias add up to it.

        With two classes the logit is that of the second, and the sign is turned for the first.

        Raises:
            DataError: the label is unknown.
        """
        texts, label = Texts.of([text]), self.labels[-1] if label is None else label
        place = self.place(label)
        column, sign = (0, 1 if place else -1) if len(self.biases) == 1 else (place, 1)
        work, signals = Work(texts, self.config.ngrams), np.zeros(NUM_SIGNALS, dtype=np.float32)
        found = work.count(texts, 0, signals)
        touched = work.touched[:found]
        counts = work.counts[touched]
        values = (1 + np.log(counts.astype(np.float64))) * self.idf[touched]
        parts = sign * values / (np.linalg.norm(values) or 1.0) * self.weights[touched, column]
        points, kinds = work.room[0], ("words:", "characters:")
        names = [kinds[k] + "".join(map(chr, points[a:b])) for a, b, k in work.origins[:found].tolist()]
        evidence = [Evidence(*each) for each in zip(names, counts.tolist(), parts.tolist(), strict=True)]
        if self.config.signal_scale:
            z = standardised(signals[None], self.signal_means, self.signal_spreads)[0] * self.config.signal_scale
            pulls = sign * z * self.signal_weights[:, column]
            evidence += [
                Evidence(f"signal:{n}", float(v), float(p)) for n, v, p in zip(SIGNALS, signals, pulls, strict=True)
            ]
        return sorted(evidence, key=lambda each: -abs(each.weight))[:top]

    def threshold_for(
        self,
        label: str | None = None,
        *,
        precision: float | None = None,
        recall: float | None = None,
        keep_share: float | None = None,
    ) -> Threshold:
        """The probability of a label from which a precision or recall is reached, or a share is kept, held out.

        Raises:
            DataError: not exactly one goal is given, or it cannot be reached.
        """
        place = self.place(self.labels[-1] if label is None else label)
        chances, truths = self.held_out[:, place].astype(np.float64), self.truths == place
        return threshold_for(chances, truths, precision=precision, recall=recall, keep_share=keep_share)

    def area_under_curve(self, label: str | None = None) -> float:
        """Of the held-out probabilities of a label against the rest."""
        place = self.place(self.labels[-1] if label is None else label)
        return area_under_curve(self.held_out[:, place].astype(np.float64), self.truths == place)

    def place(self, label: str) -> int:
        """The column of a label in `predict`.

        Raises:
            DataError: there is no such label.
        """
        if label not in self.labels:
            raise DataError(f"label={label!r} is not one of {', '.join(self.labels)}")
        return self.labels.index(label)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one .npz file, whole or not at all; no pickle."""
        path = Path(path)
        header = {"format": FORMAT, "config": asdict(self.config), "labels": self.labels}
        header["calibrations"] = [each.kind for each in self.calibrations]
        arrays = {name: getattr(self, name) for name in ARRAYS}
        for i, each in enumerate(self.calibrations):
            arrays |= {f"scores_{i}": each.scores, f"probabilities_{i}": each.probabilities}
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Classifier":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, broken or of another kind.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise DataError(f"classifier of another version: {path} has format {header['format']}, not {FORMAT}")
            pairs = [
                (kind, arrays[f"scores_{i}"], arrays[f"probabilities_{i}"])
                for i, kind in enumerate(header["calibrations"])
            ]
            config, labels = ClassifierConfig(**header["config"]), tuple(header["labels"])
            calibrations = tuple(Calibration(*pair) for pair in pairs)
            loaded = cls(config, labels, calibrations=calibrations, **{name: arrays[name] for name in ARRAYS})
        except FileNotFoundError as error:
            raise DataError(f"classifier not found: {path}") from error
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"classifier broken: {path} ({type(error).__name__}: {error})") from error
        loaded._check(path)
        return loaded

    def _check(self, path: str | os.PathLike[str]) -> None:
        logits, size = len(self.labels) if len(self.labels) > 2 else 1, 1 << self.config.bits
        wanted = {"idf": (size,), "weights": (size, logits), "biases": (logits,), "signal_means": (NUM_SIGNALS,),
                  "signal_spreads": (NUM_SIGNALS,), "signal_weights": (NUM_SIGNALS, logits)}  # fmt: skip
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"classifier broken: {path} has {name} of shape {getattr(self, name).shape}, not {shape}"
                )


ARRAYS = ("idf", "weights", "signal_means", "signal_spreads", "signal_weights", "biases", "held_out", "truths")


def calibrated(logits: Vector, calibrations: Sequence[Calibration]) -> Vector:
    """Probabilities of all classes; with more than two, each against the rest and then scaled to sum to 1."""
    if logits.shape[1] == 1:
        chance = calibrations[0](logits[:, 0])
        return np.stack([1 - chance, chance], axis=1)
    odds = against_the_rest(logits)
    chances = np.stack([each(odds[:, i]) for i, each in enumerate(calibrations)], axis=1) + 1e-12
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def against_the_rest(logits: Vector) -> Vector:
    """log(p / (1 - p)) of each class's softmax probability p."""
    top = logits.max(axis=1, keepdims=True)
    powers = np.exp(logits - top)
    rest = powers.sum(axis=1, keepdims=True) - powers
    return np.asarray((logits - top) - np.log(np.maximum(rest, 1e-300)))


def standardised(signals: NDArray[np.float32], means: Vector, spreads: Vector) -> Vector:
    """Signals in standard deviations from the mean of the training texts, cut at 4."""
    return np.clip((signals - means) / spreads, -MAX_SIGNAL, MAX_SIGNAL)


@allocating_kernel
def score_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    words: int,
    min_characters: int,
    max_characters: int,
    bits: int,
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    counts: NDArray[np.float32],
    touched: NDArray[np.int32],
    origins: NDArray[np.int32],
    seen: NDArray[np.int64],
    max_bytes: int,
    idf: NDArray[np.float32],
    weights: NDArray[np.float32],
    means: NDArray[np.float64],
    spreads: NDArray[np.float64],
    signal_weights: NDArray[np.float64],
    biases: NDArray[np.float64],
    logs: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Write the logits of all texts; `counts` is left all zero."""
    signals = np.zeros(NUM_SIGNALS, dtype=np.float32)
    logits = weights.shape[1]
    for row in range(len(offsets) - 1):
        start = offsets[row]
        end = min(offsets[row + 1], start + max_bytes)
        found = count_text(
            data, start, end, classes, lower, words, min_characters, max_characters, bits, points, places,
            hashes, kinds, bounds, counts, touched, origins, seen, row + 1, signals,
        )  # fmt: skip
        square = 0.0
        for i in range(found):
            column = touched[i]
            count = counts[column]
            counts[column] = 0
            value = (logs[int(count)] if count < 256 else np.float32(1) + np.log(count)) * idf[column]
            square += value * value
            for k in range(logits):
                out[row, k] += value * weights[column, k]
        length = np.sqrt(square) if square > 0 else 1.0
        for k in range(logits):
            out[row, k] = out[row, k] / length + biases[k]
        for s in range(NUM_SIGNALS):
            z = min(max((signals[s] - means[s]) / spreads[s], -MAX_SIGNAL), MAX_SIGNAL)
            for k in range(logits):
                out[row, k] += z * signal_weights[s, k]
