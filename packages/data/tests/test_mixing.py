import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad_data import DataError, Document, Recipe
from octad_data.importance import ImportanceModel, bucket_counts, resampled
from octad_data.mixture import REPEATS_WORTH, Share, from_toml, planned, temperature_weights
from octad_data.mixture_search import best_mixture, fit_losses, search_mixture
from octad_data.parts import read_kept, write_part
from octad_data.proxy_model import ByteNgrams
from octad_data.step import Resources, to_batch
from octad_data.targeting import SelectLike
from octad_data.texts import Texts


def test_temperature_goes_from_natural_to_even() -> None:
    sizes = {"a": 900, "b": 90, "c": 10}
    assert temperature_weights(sizes) == pytest.approx({"a": 0.9, "b": 0.09, "c": 0.01})
    assert temperature_weights(sizes, temperature=1e9) == pytest.approx(dict.fromkeys("abc", 1 / 3), rel=1e-6)
    roots = {name: size**0.5 for name, size in sizes.items()}
    assert temperature_weights(sizes, temperature=2) == pytest.approx(
        {name: root / sum(roots.values()) for name, root in roots.items()}
    )


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8), st.floats(0.5, 5), st.floats(0, 0.1), st.floats(0.6, 1))
def test_floors_and_caps_hold(sizes: list[int], temperature: float, floor: float, cap: float) -> None:
    weights = temperature_weights({str(i): size for i, size in enumerate(sizes)}, temperature, floor, cap)
    assert sum(weights.values()) == pytest.approx(1)
    assert all(floor - 1e-6 <= weight <= cap + 1e-6 for weight in weights.values())


def test_a_plan_gives_the_rest_to_those_who_have_more() -> None:
    mixture = planned({"small": 1, "large": 1, "huge": 2}, {"small": 10, "large": 1000, "huge": 10_000}, 1000)
    assert mixture.shares["small"].tokens == 40 and mixture.shares["small"].epochs == 4
    assert mixture.shares["large"].tokens == 320 and mixture.shares["huge"].tokens == 640
    assert mixture.tokens == 1000 and sum(mixture.weights.values()) == pytest.approx(1)
    assert from_toml(mixture.to_toml()) == pytest.approx(mixture.weights)
    with pytest.raises(DataError, match="use budget=44,040"):
        planned({"small": 1, "large": 1, "huge": 2}, {"small": 10, "large": 1000, "huge": 10_000}, 10**6)
    with pytest.raises(DataError, match="name the same sources"):
        planned({"a": 1}, {"b": 1}, 1)


def test_repeated_tokens_are_worth_less() -> None:
    once, four, forty = (Share(1, 100 * n, 100) for n in (1, 4, 40))
    assert once.effective_tokens == 100
    assert four.effective_tokens == pytest.approx(100 + 100 * REPEATS_WORTH * (1 - np.exp(-3 / REPEATS_WORTH)))
    assert 0.9 * 400 < four.effective_tokens < 400 and forty.effective_tokens < 100 * (1 + REPEATS_WORTH)


def test_importance_is_the_ratio_of_hashed_counts() -> None:
    target, source = ["two and two make four", "six and one make seven"], ["the cat sat", "the dog and the cat ran"]
    counts = bucket_counts(target, 1 << 20)  # so many buckets that no two share one
    words = Counter(word for text in target for word in text.split())
    pairs = Counter(pair for text in target for pair in zip(text.split(), text.split()[1:], strict=False))
    assert sorted(counts[counts > 0].tolist()) == sorted([*words.values(), *pairs.values()])
    model = ImportanceModel.fit(target, source)
    scores = model.scores(["five and five make ten", "the cat and the dog", ""])
    assert scores[0] > 0 > scores[1] and scores[2] == 0
    per_ngram = model.scores(["five and five make ten"], per_ngram=True)
    assert per_ngram[0] == pytest.approx(scores[0] / 9)
    with pytest.raises(DataError, match="the target has no words"):
        ImportanceModel.fit([""], source)


def test_resampling_draws_in_proportion_to_the_weights() -> None:
    scores = np.log(np.array([1.0, 2.0, 4.0, 8.0]))
    drawn = Counter(int(resampled(scores, list("abcd"), 1, seed)[0]) for seed in range(4000))
    assert [drawn[row] / 4000 for row in range(4)] == pytest.approx([1 / 15, 2 / 15, 4 / 15, 8 / 15], abs=0.03)
    order = resampled(scores[::-1], list("dcba"), 2, seed=5)
    assert {"dcba"[row] for row in order} == {"abcd"[row] for row in resampled(scores, list("abcd"), 2, seed=5)}


def reference_loss(train: str, test: str, order: int) -> float:
    """Witten and Bell's rule with dictionaries."""
    follow: dict[bytes, Counter[int]] = {}
    data = train.encode()
    for at in range(len(data)):
        for size in range(min(order, at) + 1):
            follow.setdefault(data[at - size : at], Counter())[data[at]] += 1
    loss, data = 0.0, test.encode()
    for at in range(len(data)):
        chance = 1 / 256
        for size in range(min(order, at) + 1):
            counts = follow.get(data[at - size : at])
            if counts is None:
                break
            chance = (counts[data[at]] + len(counts) * chance) / (counts.total() + len(counts))
        loss -= float(np.log(chance))
    return loss / len(data)


def test_the_proxy_is_interpolated_ngrams() -> None:
    rng = random.Random(0)
    train = " ".join(rng.choices(["the", "cat", "sät", "on", "mats"], k=200))
    test = " ".join(rng.choices(["the", "dog", "sät", "mats"], k=50))
    for order in (0, 1, 3):
        model = ByteNgrams.empty(order, 22)
        model.train(Texts.of([train]))
        assert model.loss(Texts.of([test])) == pytest.approx(reference_loss(train, test, order), rel=1e-4)


def test_the_regression_finds_the_best_of_a_known_law() -> None:
    rng = np.random.default_rng(0)
    gains = np.array([0.2, 1.0, 0.4])

    def loss(weights: np.ndarray) -> np.ndarray:
        return 3 - np.log(weights + 0.05) @ gains

    weights = rng.dirichlet(np.ones(3), 40)
    model = fit_losses(("a", "b", "c"), weights, loss(weights))
    assert model.foresees and model.error < 0.1 * model.spread
    grid = rng.dirichlet(np.ones(3), 20_000)
    best = best_mixture(model)
    assert loss(np.array([list(best.values())]))[0] < loss(grid).min() + 0.02
    limited = best_mixture(model, highest={"b": 0.3})
    assert limited["b"] <= 0.3 + 1e-6 and sum(limited.values()) == pytest.approx(1)
    noise = fit_losses(("a", "b", "c"), weights, rng.normal(size=40))
    assert not noise.foresees
    with pytest.raises(DataError, match="four rows at least"):
        fit_losses(("a",), np.ones((3, 1)), np.ones(3))


def test_a_search_never_returns_what_it_measured_as_worse() -> None:
    search = search_mixture({"good": 100, "bad": 900}, lambda w: 2 - w["good"], proxies=8)
    assert search.chosen_loss <= min(loss for _, loss in search.tried) and search.weights["good"] > 0.8
    assert "below the loss of the natural mix" in search.verdict
    flat = search_mixture({"a": 1, "b": 1}, lambda w: 1.0, proxies=8)
    assert "natural one; it is kept" in flat.verdict


def test_select_like_keeps_what_is_like_the_target(tmp_path: Path) -> None:
    rng = random.Random(0)
    sums = [
        f"Tom has {rng.randrange(99)} apples and buys {rng.randrange(99)} more, how many apples?" for _ in range(60)
    ]
    others = [" ".join(rng.choices(["river", "stone", "green", "walk", "over", "hill"], k=12)) for _ in range(240)]
    documents = [Document(text, str(number), "s") for number, text in enumerate([*sums[:40], *others])]
    (tmp_path / "target.txt").write_text("\n".join(sums[40:]))
    for folder in ("parts", "into", "scratch"):
        (tmp_path / folder).mkdir()
    for start in range(0, 280, 70):
        write_part(tmp_path / "parts" / f"part-{start:03d}.parquet", to_batch(documents[start : start + 70]), [])
    parts = sorted((tmp_path / "parts").iterdir())
    step = SelectLike(target=(str(tmp_path / "target.txt"),), share=1 / 7)
    step.decide(parts, tmp_path / "into", Resources(100, 1, tmp_path / "scratch"))
    import pyarrow.parquet as pq

    rows = [row for part in parts for row in pq.read_table(tmp_path / "into" / part.name).to_pylist()]
    assert len(rows) == sum(read_kept(part).num_rows for part in parts)
    stays = [row["dropped_by"] is None for row in rows]
    assert sum(stays) == 40 and sum(stays[:40]) >= 38


def test_a_recipe_that_targets_must_decontaminate(tmp_path: Path) -> None:
    select = {"use": "select_like", "target": ["gsm8k_train.jsonl"], "share": 0.5}
    clean = {"use": "decontaminate", "against": ["gsm8k_test.jsonl"]}
    Recipe.from_table({"step": [clean, select]})
    for steps in ([select], [select, clean]):
        with pytest.raises(DataError, match="decontaminate"):
            Recipe.from_table({"step": steps})
