"""Training and cross-validation of the linear classifier."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from octad_data.calibration import Calibration, area_under_curve, isotonic, platt
from octad_data.classifier import Classifier, ClassifierConfig, against_the_rest, calibrated, standardised
from octad_data.errors import DataError
from octad_data.kernel import kernel
from octad_data.logistic import add_products, fit_logistic
from octad_data.text_features import Features, features
from octad_data.texts import Texts

Vector = NDArray[np.float64]
Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

# Chosen by cross-validation (benchmarks/classifier.py): on web pages with human labels, and on labelled messages.
PRESETS: Mapping[str, ClassifierConfig] = {
    "quality": ClassifierConfig(words=1, min_characters=2, max_characters=3, signal_scale=0.05, c=10.0),
    "toxicity": ClassifierConfig(words=1, min_characters=3, max_characters=4, signal_scale=0.05, c=3.0, balanced=True),
}


def train_classifier(
    texts: Texts | Iterable[str], labels: Sequence[object], config: ClassifierConfig | str = "quality"
) -> Classifier:
    """A classifier of labelled texts, with calibration from cross-validation.

    Args:
        texts: any length, any language.
        labels: one a text; they become strings, classes are in their order (numbers by size).
        config: or the name of one of `PRESETS`.

    Raises:
        DataError: numbers of texts and labels differ, fewer than two classes, or a class with fewer than two texts.
    Cost: about 20 MB of text a second once, and folds + 1 fits; 500 pages take about two seconds.
    """
    config = preset(config)
    texts = texts if isinstance(texts, Texts) else Texts.of(texts)
    names, targets = classes_of(labels, len(texts), config.folds)
    read = features(texts, config.ngrams)
    logits = _held_out_logits(read, targets, len(names), config, config.seed)
    calibrations = _calibrations(logits, targets, config)
    rows = np.arange(len(targets))
    idf, means, spreads, (weights, signal_weights, biases) = _fit(read, rows, targets, len(names), config)
    chances = calibrated(logits, calibrations).astype(np.float32)
    plain = (means, spreads, signal_weights, biases)
    return Classifier(config, names, idf, weights, *plain, calibrations, chances, targets)


@dataclass(frozen=True)
class CrossValidation:
    """How a configuration does on texts that it was not trained on.

    Attributes:
        labels: the classes.
        areas: area under the curve of each class against the rest, mean over all folds of all repeats.
        spreads: standard deviation of the same over the folds.
        f1: of each class, by the likeliest label, over all texts; mean of the repeats.
        macro_f1: their mean.
        accuracy: share of texts whose likeliest label is right.
    """

    labels: tuple[str, ...]
    areas: tuple[float, ...]
    spreads: tuple[float, ...]
    f1: tuple[float, ...]
    macro_f1: float
    accuracy: float


def cross_validate(
    texts: Texts | Iterable[str],
    labels: Sequence[object],
    config: ClassifierConfig | str = "quality",
    folds: int = 10,
    repeats: int = 3,
) -> CrossValidation:
    """Train on all folds but one and score that one, for each fold; idf and signal scales come from the others too.

    Raises:
        DataError: as `train_classifier`.
    """
    config = replace(preset(config), folds=folds)
    texts = texts if isinstance(texts, Texts) else Texts.of(texts)
    names, targets = classes_of(labels, len(texts), folds)
    return _cross_validate(features(texts, config.ngrams), targets, names, config, repeats)


def choose_config(
    texts: Texts | Iterable[str],
    labels: Sequence[object],
    candidates: Iterable[ClassifierConfig],
    folds: int = 10,
    repeats: int = 1,
) -> tuple[ClassifierConfig, list[tuple[ClassifierConfig, CrossValidation]]]:
    """The candidate of the largest mean area under the curve, and how all of them did.

    Raises:
        DataError: no candidate is given, or as `train_classifier`.
    """
    texts = texts if isinstance(texts, Texts) else Texts.of(texts)
    found = [(each, cross_validate(texts, labels, each, folds, repeats)) for each in candidates]
    if not found:
        raise DataError("no candidates are given; pass at least one ClassifierConfig")
    return max(found, key=lambda pair: float(np.mean(pair[1].areas)))[0], found


def preset(config: ClassifierConfig | str) -> ClassifierConfig:
    """A configuration by its name, or itself.

    Raises:
        DataError: there is no preset of that name.
    """
    if isinstance(config, ClassifierConfig):
        return config
    if config not in PRESETS:
        raise DataError(f"config={config!r} is no preset; use one of {', '.join(PRESETS)}")
    return PRESETS[config]


def classes_of(labels: Sequence[object], rows: int, folds: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes, and the class of each row.

    Raises:
        DataError: numbers differ, fewer than two classes, or one with fewer than two rows.
    """
    values = [_plain(label) for label in labels]
    if len(values) != rows:
        raise DataError(f"{rows} texts have {len(values)} labels; give one label a text")
    names = sorted(set(values), key=lambda name: (0, float(name), name) if _is_number(name) else (1, 0.0, name))
    if len(names) < 2:
        raise DataError(f"labels have {len(names)} class{'es' * (len(names) != 1)}; at least two are needed")
    places = {name: i for i, name in enumerate(names)}
    targets = np.array([places[value] for value in values], dtype=np.int64)
    counts = np.bincount(targets)
    if counts.min() < 2:
        rare = names[int(counts.argmin())]
        raise DataError(f"class {rare!r} has {counts.min()} text; at least 2 are needed, and {folds} for {folds} folds")
    return tuple(names), targets


def fold_of(targets: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, every class spread evenly."""
    generator = np.random.default_rng(seed)
    fold = np.empty(len(targets), dtype=np.int64)
    first = 0
    for name in range(int(targets.max()) + 1):
        rows = generator.permutation(np.flatnonzero(targets == name))
        fold[rows] = (np.arange(len(rows)) + first) % folds
        first += len(rows)
    return fold


def _cross_validate(
    read: Features, targets: NDArray[np.int64], names: tuple[str, ...], config: ClassifierConfig, repeats: int
) -> CrossValidation:
    areas, f1, right = [], [], []
    for repeat in range(repeats):
        seed = config.seed + repeat
        logits = _held_out_logits(read, targets, len(names), config, seed)
        scores = np.concatenate([-logits, logits], axis=1) if logits.shape[1] == 1 else against_the_rest(logits)
        fold = fold_of(targets, config.folds, seed)
        for i in range(config.folds):
            inside = fold == i
            areas.append([area_under_curve(scores[inside, k], targets[inside] == k) for k in range(len(names))])
        guesses = scores.argmax(axis=1)
        right.append(float(np.mean(guesses == targets)))
        f1.append([_f1(guesses == k, targets == k) for k in range(len(names))])
    means, deviations, per_class = np.nanmean(areas, axis=0), np.nanstd(areas, axis=0), np.mean(f1, axis=0)
    return CrossValidation(
        names, tuple(means.tolist()), tuple(deviations.tolist()), tuple(per_class.tolist()),
        float(per_class.mean()), float(np.mean(right)),
    )  # fmt: skip


def _f1(guesses: NDArray[np.bool_], truths: NDArray[np.bool_]) -> float:
    return 2 * float((guesses & truths).sum()) / max(float(guesses.sum() + truths.sum()), 1.0)


def _held_out_logits(
    read: Features, targets: NDArray[np.int64], classes: int, config: ClassifierConfig, seed: int
) -> Vector:
    logits = np.zeros((len(targets), 1 if classes == 2 else classes))
    for inside in _folds(targets, config.folds, seed):
        rows, others = np.flatnonzero(inside), np.flatnonzero(~inside)
        idf, means, spreads, (weights, signal_weights, biases) = _fit(read, others, targets, classes, config)
        scores = np.tile(biases, (len(rows), 1))
        add_products(*_weighted(read, rows, idf), weights.astype(np.float64), scores)
        logits[rows] = scores + _dense(read, rows, means, spreads, config) @ signal_weights
    return logits


def _folds(targets: NDArray[np.int64], folds: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    folds = min(folds, int(np.bincount(targets).max()))
    fold = fold_of(targets, folds, seed)
    return (inside for inside in (fold == i for i in range(folds)) if inside.any())


def _fit(
    read: Features, rows: NDArray[np.int64], targets: NDArray[np.int64], classes: int, config: ClassifierConfig
) -> tuple[NDArray[np.float32], Vector, Vector, tuple[NDArray[np.float32], Vector, Vector]]:
    texts_with = np.zeros(1 << config.bits, dtype=np.int64)
    count_rows(read.starts, read.columns, rows, texts_with)
    idf = (np.log((1 + len(rows)) / (1 + texts_with)) + 1).astype(np.float32)
    means = read.signals[rows].mean(axis=0, dtype=np.float64)
    spreads = np.maximum(read.signals[rows].std(axis=0, dtype=np.float64), 1e-3)
    mine = targets[rows]
    counts = np.bincount(mine, minlength=classes)
    weights = (
        (len(mine) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[mine]
        if config.balanced
        else np.ones(len(mine))
    )
    dense = _dense(read, rows, means, spreads, config)
    matrix = _weighted(read, rows, idf)
    size = 1 << config.bits
    return idf, means, spreads, fit_logistic(*matrix, dense, mine, weights, classes, size, config.c)


def _dense(
    read: Features, rows: NDArray[np.int64], means: Vector, spreads: Vector, config: ClassifierConfig
) -> NDArray[np.float32]:
    return (standardised(read.signals[rows], means, spreads) * config.signal_scale).astype(np.float32)


def _weighted(read: Features, rows: NDArray[np.int64], idf: NDArray[np.float32]) -> Rows:
    sizes = read.starts[rows + 1] - read.starts[rows]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    columns, values = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.float32)
    weigh_rows(read.starts, read.columns, read.counts, rows, idf, columns, values)
    return starts, columns, values


def _calibrations(logits: Vector, targets: NDArray[np.int64], config: ClassifierConfig) -> tuple[Calibration, ...]:
    fit = platt if config.calibration == "platt" else isotonic
    if logits.shape[1] == 1:
        return (fit(logits[:, 0], targets == 1),)
    odds = against_the_rest(logits)
    return tuple(fit(odds[:, k], targets == k) for k in range(logits.shape[1]))


@kernel
def count_rows(
    starts: NDArray[np.int64], columns: NDArray[np.int32], rows: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Add to `out` how many of the rows have each column."""
    for row in rows:
        for i in range(starts[row], starts[row + 1]):
            out[columns[i]] += 1


@kernel
def weigh_rows(
    starts: NDArray[np.int64],
    columns: NDArray[np.int32],
    counts: NDArray[np.float32],
    rows: NDArray[np.int64],
    idf: NDArray[np.float32],
    out_columns: NDArray[np.int32],
    out_values: NDArray[np.float32],
) -> None:
    """Copy rows with the values (1 + log count) * idf, scaled to length 1."""
    place = 0
    for row in rows:
        first, square = place, 0.0
        for i in range(starts[row], starts[row + 1]):
            value = (np.float32(1) + np.log(counts[i])) * idf[columns[i]]
            out_columns[place] = columns[i]
            out_values[place] = value
            square += value * value
            place += 1
        length = np.sqrt(square) if square > 0 else 1.0
        for i in range(first, place):
            out_values[i] /= length


def _plain(label: object) -> str:
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bool):
        return str(int(label))
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _is_number(name: str) -> bool:
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False
