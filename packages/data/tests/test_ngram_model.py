import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from octad_data import Document
from octad_data.errors import DataError
from octad_data.ngram_model import (
    FALLBACK,
    NgramModel,
    discounts_of,
    rolling_hashes,
    slot_of,
    tokens_of,
    train_ngram_model,
)
from octad_data.perplexity import Perplexity, bucket_limits
from octad_data.step import to_batch
from octad_data.texts import Texts

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
Gram = tuple[str, ...]


class Reference:
    """Modified Kneser-Ney by its definition, in fractions, from lists of words."""

    def __init__(self, lines: list[list[str]], order: int) -> None:
        self.order = order
        lines = [[BEGIN, *line, END] for line in lines if line]
        raw = [Counter(tuple(x[i : i + k]) for x in lines for i in range(len(x) - k + 1)) for k in range(1, order + 1)]
        self.counts: list[dict[Gram, int]] = []
        for k in range(1, order + 1):
            if k == order:
                counts = dict(raw[k - 1])
            else:
                left = Counter(gram[1:] for gram in raw[k])  # distinct left neighbours
                counts = {g: n if g[0] == BEGIN else left[g] for g, n in raw[k - 1].items()}
            counts.pop((BEGIN,), None)
            self.counts.append(counts)
        self.discounts = [tuple(map(Fraction, self.discount(list(c.values())))) for c in self.counts]
        self.vocabulary = {g[0] for g in self.counts[0]}
        self.followers = [defaultdict(list) for _ in range(order)]
        for k, counts in enumerate(self.counts):
            for gram, n in counts.items():
                self.followers[k][gram[:-1]].append(n)

    @staticmethod
    def discount(counts: list[int]) -> tuple[Fraction, ...]:
        t = [Fraction(sum(n == k for n in counts)) for k in range(5)]
        if not all(t[1:]):
            return tuple(map(Fraction, FALLBACK))
        y = t[1] / (t[1] + 2 * t[2])
        found = tuple(k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3))
        return found if all(0 < d <= k for k, d in enumerate(found, start=1)) else tuple(map(Fraction, FALLBACK))

    def chance(self, context: Gram, word: str) -> Fraction:
        context = context[len(context) - self.order + 1 :] if len(context) >= self.order else context
        k = len(context)
        below = self.chance(context[1:], word) if k else Fraction(1, len(self.vocabulary) + 1)
        followers = self.followers[k].get(context)
        if not followers:
            return below
        d = (Fraction(0), *self.discounts[k])
        total = sum(followers)
        freed = sum(d[min(n, 3)] for n in followers) / total
        n = self.counts[k].get((*context, word), 0)
        return (n - d[min(n, 3)]) / total + freed * below

    def log_likelihood(self, line: list[str]) -> tuple[float, int]:
        tokens, total = [BEGIN, *line, END], 0.0
        for i in range(1, len(tokens)):
            total += math.log(self.chance(tuple(tokens[:i]), tokens[i]))
        return total, len(tokens) - 1


def lines(n: int, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(25)]
    chances = 1 / np.arange(1, 26)
    return [rng.choice(words, rng.integers(0, 9), p=chances / chances.sum()).tolist() for _ in range(n)]


def text_of(found: list[list[str]]) -> str:
    return "\n".join(" ".join(line) for line in found)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_model_equals_exact_counts_in_fractions(order: int) -> None:
    training, fresh = lines(150, order), lines(30, 99)
    fresh[0] = ["w0", "never", "seen", "w1", "w2"]
    model, reference = train_ngram_model([text_of(training)], order), Reference(training, order)
    assert model.vocabulary == len(reference.vocabulary) + 1
    found = model.log_likelihood([text_of([line]) for line in fresh])
    wanted = np.array([reference.log_likelihood(line) if line else (0.0, 0) for line in fresh])
    assert np.allclose(found, wanted, rtol=2e-6, atol=1e-5)  # the table holds float32
    together = model.log_likelihood([text_of(fresh)])[0]
    assert np.allclose(together, found.sum(axis=0))


def test_chances_after_any_context_sum_to_one() -> None:
    training = lines(80, 5)
    model = train_ngram_model([text_of(training)], 3)
    words = sorted({word for line in training for word in line})
    for context in ("w0", "w1 w0", "w3 unheard", "w2 w2 w2 w0"):
        before = without_end(model, context)
        end = model.log_likelihood([context])[0, 0] - before
        after = [without_end(model, f"{context} {word}") - before for word in [*words, "unheard"]]
        assert np.exp([*after, end]).sum() == pytest.approx(1, abs=1e-5)


def without_end(model: NgramModel, line: str) -> float:
    """log p of the words of a line, walked over the table."""
    tokens, positions = tokens_of(Texts.of([line]), model.unit)
    hashes, total = rolling_hashes(tokens, positions, model.order), 0.0
    for i in range(1, len(tokens) - 1):
        for k in range(min(model.order, i + 1), 0, -1):
            slot = slot_of(hashes[k - 1, i], model.keys)
            if slot >= 0:
                total += float(model.log_chances[slot])
                break
            context = slot_of(hashes[k - 2, i - 1], model.keys) if k > 1 else -1
            total += float(model.log_backoffs[context]) if context >= 0 else 0.0
        else:
            total += model.log_unknown
    return total


def test_characters_are_units_too() -> None:
    model = train_ngram_model(["Abc  ab\nabc"], 2, "character")
    assert model.vocabulary == 4 + 2  # a b c, space; the end and the unknown
    same = model.log_likelihood(["ABC ab\n\n  abc \n", "abc ab\nabc"])
    assert (same[0] == same[1]).all() and same[0, 1] == 7 + 4


def test_discounts_match_the_formula_and_fall_back() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [100, 40, 20, 10, 5])
    y = 100 / 180
    assert discounts_of(counts) == pytest.approx((1 - 2 * y * 0.4, 2 - 3 * y * 0.5, 3 - 4 * y * 0.5))
    assert discounts_of(np.ones(5, dtype=np.int64)) == FALLBACK


def test_model_comes_back_from_its_file(tmp_path) -> None:
    model = train_ngram_model([text_of(lines(50, 1))], 3)
    loaded = NgramModel.load(model.save(tmp_path / "lm.npz"))
    texts = ["w1 w2 w3", "new words", "", "w1\nw2"]
    assert np.array_equal(loaded.perplexity(texts), model.perplexity(texts), equal_nan=True)
    whole = (tmp_path / "lm.npz").read_bytes()
    for size in (0, 50, len(whole) - 40):
        (tmp_path / "lm.npz").write_bytes(whole[:size])
        with pytest.raises(DataError, match="broken"):
            NgramModel.load(tmp_path / "lm.npz")
    with pytest.raises(DataError, match="not found"):
        NgramModel.load(tmp_path / "none.npz")


def test_any_text_has_a_perplexity_or_nothing_to_read() -> None:
    model = train_ngram_model([text_of(lines(50, 1))], 3)
    strange = ["", " \n\n ", "\x00", "\ud800", "中文", "a" * 300_000, "🙂" * 1000, "\n" * 10_000, "a\n" * 70_000]
    found = model.perplexity(strange)
    assert np.isnan(found[:2]).all() and np.isnan(found[7])
    assert np.isfinite(np.delete(found, [0, 1, 7])).all() and (found[2:7] > 1).all()


def test_what_cannot_be_trained_is_said() -> None:
    with pytest.raises(DataError, match="no text"):
        train_ngram_model(["", "\n"])
    with pytest.raises(DataError, match="order=9"):
        train_ngram_model(["a"], 9)
    with pytest.raises(DataError, match="unit='byte'"):
        train_ngram_model(["a"], 2, "byte")


def test_step_adds_perplexity_and_bucket_and_drops(tmp_path) -> None:
    prose = "the cat sat on the mat\nthe dog sat on the cat\na cat and a dog sat there\n" * 3
    path = str(train_ngram_model([prose], 2).save(tmp_path / "lm.npz"))
    texts = ["the cat sat on the mat", "a dog sat on the mat", "xq zz jkl pq", ""]
    batch = to_batch([Document(text, str(i), "s") for i, text in enumerate(texts)])
    values = NgramModel.load(path).perplexity(texts)
    assert values[0] < values[1] < values[2]
    head, middle = bucket_limits(values)
    assert values[0] <= head <= values[1] <= middle <= values[2]
    out = Perplexity(path, at_most=float(values[1]), head_at_most=head, middle_at_most=middle)(batch)
    assert out.column("perplexity").to_pylist() == [*values[:3].tolist(), None]
    assert out.column("perplexity_bucket").to_pylist() == ["head", "middle", "tail", None]
    assert out.column("dropped_by").to_pylist() == [None, None, "perplexity.perplexity", None]
    assert Perplexity(path)(batch.slice(0, 0)).schema.field("perplexity").type == pa.float64()
    with pytest.raises(DataError, match="at_most=1"):
        Perplexity(path, at_most=1, at_least=2)
    with pytest.raises(DataError, match="no finite"):
        bucket_limits(np.array([np.nan]))
