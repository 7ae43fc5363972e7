import csv
import json
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from octad_data import Document
from octad_data.classifier import Classifier, ClassifierConfig
from octad_data.classifier_training import PRESETS, choose_config, cross_validate, fold_of, train_classifier
from octad_data.errors import DataError
from octad_data.score import Score
from octad_data.step import to_batch
from octad_data.texts import Texts

GOOD = [
    "the",
    "theory",
    "of",
    "light",
    "and",
    "of",
    "matter",
    "explains",
    "how",
    "stars",
    "form",
    "and",
    "why",
    "they",
    "shine",
]
BAD = ["buy", "cheap", "pills", "now", "click", "here", "best", "price", "free", "win", "casino", "bonus", "subscribe"]
SMALL = ClassifierConfig(bits=14)


def made(n: int, seed: int = 0) -> tuple[list[str], list[int]]:
    rng = random.Random(seed)
    labels = [i % 2 for i in range(n)]
    words = [[rng.choice(GOOD if label == (rng.random() < 0.8) else BAD) for _ in range(30)] for label in labels]
    return [" ".join(text) for text in words], labels


@pytest.fixture(scope="module")
def trained() -> Classifier:
    return train_classifier(*made(120), SMALL)


def test_classifier_tells_unseen_texts_apart(trained: Classifier) -> None:
    texts, labels = made(100, seed=1)
    chances = trained.predict(texts)
    assert np.allclose(chances.sum(axis=1), 1)
    assert np.mean((chances[:, 1] > 0.5) == np.array(labels, dtype=bool)) > 0.95
    assert trained.area_under_curve() > 0.95
    assert [label == "1" for label in trained.classify(texts[:2])] == [False, True]


def test_training_twice_gives_the_same_numbers(trained: Classifier) -> None:
    again = train_classifier(*made(120), SMALL)
    assert (again.weights == trained.weights).all() and (again.held_out == trained.held_out).all()


def test_evidence_adds_up_to_the_logit(trained: Classifier) -> None:
    text = "Buy the theory of stars, now! Now and now: cheap light."
    evidence = trained.explain(text, top=10**9)
    assert sum(each.weight for each in evidence) + trained.biases[0] == pytest.approx(
        trained.logits([text])[0, 0], abs=1e-5
    )
    amounts = {each.feature: each.amount for each in evidence}
    assert amounts["words:now"] == 3 and amounts["characters:heo"] == 1 and "signal:digits" in amounts
    turned = trained.explain(text, "0", top=10**9)
    assert sum(each.weight for each in turned) == pytest.approx(-sum(each.weight for each in evidence), abs=1e-6)
    weights = {each.feature: each.weight for each in evidence}
    assert weights["words:cheap"] < 0 < weights["words:stars"]


def test_classifier_comes_back_from_its_file(trained: Classifier, tmp_path) -> None:
    texts, _ = made(10, seed=2)
    path = trained.save(tmp_path / "quality.npz")
    loaded = Classifier.load(path)
    assert (loaded.predict(texts) == trained.predict(texts)).all()
    assert loaded.threshold_for(recall=0.9) == trained.threshold_for(recall=0.9)
    assert [each.name for each in tmp_path.iterdir()] == ["quality.npz"]


def test_a_broken_file_is_named(trained: Classifier, tmp_path) -> None:
    path = trained.save(tmp_path / "quality.npz")
    whole = path.read_bytes()
    for size in (0, 10, 1000, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"broken: .*quality"):
            Classifier.load(path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="broken"):
        Classifier.load(tmp_path / "other.npz")
    with pytest.raises(DataError, match="not found"):
        Classifier.load(tmp_path / "missing.npz")


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_three_classes_have_one_probability_each(calibration: str) -> None:
    rng = random.Random(3)
    sets = [
        GOOD,
        BAD,
        ["le", "chat", "dort", "sur", "la", "chaise", "et", "la", "souris", "danse", "dans", "le", "jardin"],
    ]
    labels = ["good", "bad", "french"] * 40
    texts = [" ".join(rng.choices(sets[i % 3], k=8)) for i in range(120)]
    found = train_classifier(texts, labels, replace(SMALL, balanced=True, calibration=calibration))
    assert found.labels == ("bad", "french", "good")
    chances = found.predict(["la souris dort", "cheap casino", "light and matter"])
    assert np.allclose(chances.sum(axis=1), 1)
    assert chances.argmax(axis=1).tolist() == [1, 0, 2]
    text = "la souris casino"
    total = sum(each.weight for each in found.explain(text, "french", 10**9)) + found.biases[1]
    assert total == pytest.approx(found.logits([text])[0, 1], abs=1e-5)


def test_every_text_has_a_probability(trained: Classifier) -> None:
    strange = ["", " \n", "\x00", "\ud800 lone", "中文没有空格", "a" * 300_000, "🙂" * 1000, "́" * 50, "| " * 10_000]
    chances = trained.predict(strange)
    assert np.isfinite(chances).all() and (chances >= 0).all() and (chances <= 1).all()
    assert trained.predict([]).shape == (0, 2)
    alone = np.concatenate([trained.predict([text]) for text in strange])
    assert np.allclose(chances, alone, rtol=0, atol=1e-12)  # a text's number does not hang on its neighbours


def test_folds_spread_each_class_evenly() -> None:
    targets = np.repeat([0, 1, 2], [50, 31, 4])
    fold = fold_of(targets, 5, seed=0)
    counts = np.array([np.bincount(fold[targets == k], minlength=5) for k in range(3)])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all() and np.ptp(np.bincount(fold)) <= 1


def test_the_better_configuration_is_chosen() -> None:
    texts, labels = made(60)
    blind = replace(SMALL, words=0, max_characters=0, max_bytes=1)
    best, found = choose_config(texts, labels, [blind, SMALL], folds=5)
    assert best == SMALL and found[0][1].areas[0] < 0.8 < found[1][1].areas[0]


def test_what_is_wrong_with_the_labels_is_said() -> None:
    with pytest.raises(DataError, match="2 texts have 1 labels"):
        train_classifier(["a", "b"], [1])
    with pytest.raises(DataError, match="1 class;"):
        train_classifier(["a", "b"], [1, 1])
    with pytest.raises(DataError, match="class '2' has 1 text"):
        train_classifier(["a", "b", "c"], [1, 1, 2.0])
    with pytest.raises(DataError, match="no preset"):
        train_classifier(["a"], [1], "fineweb")
    for wrong in ({"words": 9}, {"bits": 40}, {"c": 0.0}, {"calibration": "none"}, {"max_characters": 1}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            ClassifierConfig(**wrong)


def test_score_adds_a_column_and_drops_below_the_threshold(trained: Classifier, tmp_path) -> None:
    path = str(trained.save(tmp_path / "quality.npz"))
    texts = [" ".join(GOOD), " ".join(BAD), ""]
    batch = to_batch([Document(text, str(i), "s") for i, text in enumerate(texts)])
    scored = Score(path, column="quality", at_least=0.6)(batch)
    chances = trained.predict(texts)[:, 1]
    assert np.allclose(scored.column("quality").to_numpy(), chances, atol=1e-6)
    assert scored.schema.field("quality").type == pa.float32()
    assert scored.column("dropped_by").to_pylist()[:2] == [None, "score.quality"]
    assert scored.column("dropped_value").to_pylist()[1] == pytest.approx(chances[1])
    spam = Score(path, label="0", at_most=0.5)(batch)
    assert spam.column("dropped_by").to_pylist()[:2] == [None, "score.score"]
    assert Score(path)(batch.slice(0, 0)).num_rows == 0
    with pytest.raises(DataError, match="not one of 0, 1"):
        Score(path, label="2")(batch)
    with pytest.raises(DataError, match="not found"):
        Score(str(tmp_path / "missing"))(batch)
    with pytest.raises(DataError, match=r"at_least=0\.9"):
        Score(path, at_least=0.9, at_most=0.1)


def test_quality_on_human_labels(shared_data) -> None:
    lines = shared_data("quality/dclm_majority.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    texts, labels = Texts.of(row["text"] for row in rows), [row["label"] for row in rows]
    found = cross_validate(texts, labels, "quality", folds=5, repeats=1)
    assert found.areas[1] > 0.87 and found.accuracy > 0.78  # measured .90 and .84; one fold's deviation is .03


@pytest.mark.slow
def test_toxicity_on_labelled_messages(shared_data) -> None:
    with shared_data("toxicity/hate_offensive_even.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = cross_validate([row["tweet"] for row in rows], [row["class"] for row in rows], "toxicity", 5, 1)
    assert found.macro_f1 > 0.70 and np.mean(found.areas) > 0.91  # measured .723 and .9185
    assert PRESETS["toxicity"].balanced
