"""n-gram models against the formulas of the papers on plain counters, and their order of merit on real text."""

import ast
import functools
import math
import sysconfig
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch.classic import (
    AddK,
    ByteNGram,
    Katz,
    KneserNey,
    ModifiedKneserNey,
    NGramCounts,
    NGramModel,
    StupidBackoff,
    Vocabulary,
    WittenBell,
)
from octad_arch.errors import ArchError

PROBABILITIES = [AddK(0.3), WittenBell(), KneserNey(), ModifiedKneserNey(), Katz(), Katz(cutoff=2)]
EVERY = [*PROBABILITIES, StupidBackoff()]
TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=80)


@pytest.fixture(scope="module")
def words():
    """The docstrings of a third of the standard library, as lower-case words: half a megabyte of English."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for path in sorted(library.glob("[a-i]*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found += (ast.get_docstring(node) or "").lower().split()
    assert len(found) > 30_000
    return found


class Reference:
    """The papers' formulas, one word at a time, on counters; nothing is shared with what it checks."""

    def __init__(self, text, vocab_size, order, smoothing):
        self.vocab_size, self.order, self.smoothing = vocab_size, order, smoothing
        text = tuple(text)
        self.counts = [
            Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(order + 1)
        ]  # counts[0] is of no use
        self.predecessors = [Counter(gram[1:] for gram in self.counts[n]) for n in range(1, order + 1)]
        self.cached = {}
        # Katz asks the shorter context for all words, each of which does so again.
        self.Katz, self.followers = functools.cache(self.Katz), functools.cache(self.followers)

    def probability(self, context, word):
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        return getattr(self, type(self.smoothing).__name__)(context, word)

    def followers(self, context):
        return {gram[-1]: n for gram, n in self.counts[len(context) + 1].items() if gram[:-1] == context}

    def AddK(self, context, word):
        k, seen = self.smoothing.k, self.followers(context) if len(context) == self.order - 1 else {}
        return (seen.get(word, 0) + k) / (sum(seen.values()) + k * self.vocab_size)

    def WittenBell(self, context, word):
        shorter = self.WittenBell(context[1:], word) if context else 1 / self.vocab_size
        seen = self.followers(context)
        if not seen:
            return shorter
        return (seen.get(word, 0) + len(seen) * shorter) / (sum(seen.values()) + len(seen))

    def adjusted(self, gram):
        if len(gram) == self.order:
            return self.counts[self.order][gram]
        return self.predecessors[len(gram)][gram]

    def counts_of_counts(self, length, adjusted=True):
        if (length, adjusted) not in self.cached:
            found = Counter(self.adjusted(gram) if adjusted else n for gram, n in self.counts[length].items())
            self.cached[length, adjusted] = found
        return self.cached[length, adjusted]

    def KneserNey(self, context, word):
        n = self.counts_of_counts(len(context) + 1)
        d = n[1] / (n[1] + 2 * n[2]) if n[1] else self.smoothing.fallback
        return self.discounted(context, word, (d, d, d), self.KneserNey)

    def ModifiedKneserNey(self, context, word):
        n = self.counts_of_counts(len(context) + 1)
        d = self.smoothing.fallback
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            own = tuple(r - (r + 1) * y * n[r + 1] / n[r] for r in (1, 2, 3))
            d = own if min(own) > 0 else d
        return self.discounted(context, word, d, self.ModifiedKneserNey)

    def discounted(self, context, word, d, recurse):
        shorter = recurse(context[1:], word) if context else 1 / self.vocab_size
        a = {w: self.adjusted((*context, w)) for w in range(self.vocab_size)}
        total = sum(a.values())
        if total == 0:
            return shorter
        kinds = [sum(1 for n in a.values() if n == r) for r in (1, 2)] + [sum(1 for n in a.values() if n >= 3)]
        gamma = sum(share * number for share, number in zip(d, kinds, strict=True)) / total
        return max(a[word] - (0, *d)[min(a[word], 3)], 0) / total + gamma * shorter

    def katz_discounts(self, length):
        n = self.counts_of_counts(length, adjusted=False)
        for k in range(self.smoothing.cutoff, 0, -1):
            if all(n[r] for r in range(1, k + 1)):
                rest = Fraction((k + 1) * n[k + 1], n[1])
                if rest < 1:
                    d = [(Fraction((r + 1) * n[r + 1], r * n[r]) - rest) / (1 - rest) for r in range(1, k + 1)]
                    if all(0 < each <= 1 for each in d):
                        return d
        return []

    def Katz(self, context, word):
        def below(w):
            return self.Katz(context[1:], w) if context else 1 / self.vocab_size

        seen = self.followers(context)
        if not seen:
            return below(word)
        d = self.katz_discounts(len(context) + 1)
        kept = {w: float(n * d[n - 1]) if n <= len(d) else n for w, n in seen.items()}
        total = sum(seen.values())
        if len(seen) == self.vocab_size:
            return kept[word] / sum(kept.values())
        if all(n > len(d) or d[n - 1] == 1 for n in seen.values()):
            total += 1
        if word in seen:
            return kept[word] / total
        others = [w for w in range(self.vocab_size) if w not in seen]
        return (1 - sum(kept.values()) / total) * below(word) / sum(below(w) for w in others)

    def StupidBackoff(self, context, word):
        seen = self.followers(context)
        if word in seen:
            return seen[word] / sum(seen.values())
        return self.smoothing.factor * self.StupidBackoff(context[1:], word) if context else 0.0


@pytest.mark.parametrize("smoothing", EVERY, ids=repr)
@settings(max_examples=40, deadline=None)
@given(train=TEXTS, text=st.lists(st.integers(0, 4), min_size=1, max_size=8), order=st.integers(1, 4))
def test_ngram_models_match_their_papers(smoothing, train, text, order):
    model, reference = NGramModel.fit(train, 5, order, smoothing), Reference(train, 5, order, smoothing)
    want = [reference.probability(text[:i], word) for i, word in enumerate(text)]
    np.testing.assert_allclose(model.probabilities(text), want, rtol=1e-9)  # the same operations in another order
    rows = model.distributions(text, range(len(text)))
    np.testing.assert_allclose(rows[np.arange(len(text)), text], want, rtol=1e-9)


@pytest.mark.parametrize("smoothing", EVERY, ids=repr)
def test_ngram_models_match_their_papers_on_words(smoothing, words):
    """Real counts of counts: the discounts of the papers themselves, not their fallbacks."""
    vocabulary = Vocabulary.of(words[:3000])
    train, text = vocabulary.encode(words[:2500]), vocabulary.encode(words[2500:3000])
    model, reference = (
        NGramModel.fit(train, len(vocabulary), 3, smoothing),
        Reference(train.tolist(), len(vocabulary), 3, smoothing),
    )
    at = [2, 60, 200, 401]
    want = [reference.probability(text[i - 2 : i].tolist(), int(text[i])) for i in at]
    np.testing.assert_allclose(model.probabilities(text)[at], want, rtol=1e-9)


@pytest.mark.parametrize("smoothing", PROBABILITIES, ids=repr)
@settings(max_examples=40, deadline=None)
@given(train=TEXTS, text=st.lists(st.integers(0, 6), max_size=8), order=st.integers(1, 4))
def test_probabilities_sum_to_one_after_every_context(smoothing, train, text, order):
    rows = NGramModel.fit(train, 7, order, smoothing).distributions(text, range(len(text) + 1))
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-9)
    assert (rows > 0).all()


@pytest.mark.parametrize("smoothing", PROBABILITIES, ids=repr)
def test_probabilities_of_words_sum_to_one(smoothing, words):
    vocabulary = Vocabulary.of(words, min_count=2, unknown="<unk>")
    ids = vocabulary.encode(words)
    model = NGramModel.fit(ids[:20_000], len(vocabulary), 4, smoothing)
    rows = model.distributions(ids[20_000:20_300], range(0, 301, 3))
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-9)
    assert rows.min() > 0


def test_kneser_ney_by_hand():
    """Text a b a c a b, order 2, V = 4 (d is never seen).

    Bigrams ab 2, ba 1, ac 1, ca 1: n1 = 3, n2 = 1, D = 3/5. Predecessors: a has {b, c} 2, b has {a} 1, c has {a} 1;
    n1 = 2, n2 = 1, D = 1/2, P(a) = (2 - 1/2)/4 + (3/8)/4, P(b) = P(c) = 1/8 + 3/32, P(d) = 3/32.
    P(b | a) = (2 - 3/5)/3 + (2 * 3/5)/3 * 7/32.
    """
    model = NGramModel.fit([0, 1, 0, 2, 0, 1], 4, 2, KneserNey())
    np.testing.assert_allclose(model.distributions([], [0])[0], [15 / 32, 7 / 32, 7 / 32, 3 / 32], rtol=1e-12)
    after_a = [0.4 * 15 / 32, 1.4 / 3 + 0.4 * 7 / 32, 0.4 / 3 + 0.4 * 7 / 32, 0.4 * 3 / 32]
    np.testing.assert_allclose(model.distributions([0], [1])[0], after_a, rtol=1e-12)


def test_continuation_counts_tell_san_francisco_from_a_common_word():
    """Frequent, but after one word only: the case that Kneser and Ney are for."""
    text = "in san francisco . he left san francisco by dawn . she saw the san francisco mint . a cup of tea . "
    words = (text + "the tea of india . green tea . cold tea ").split()
    vocabulary = Vocabulary.of([*words, "never"])
    ids = vocabulary.encode(words)
    francisco, tea, never = vocabulary.encode(["francisco", "tea", "never"])
    assert words.count("francisco") == 3 and words.count("tea") == 4
    kneser_ney = NGramModel.fit(ids, len(vocabulary), 2, KneserNey()).distributions([never], [1])[0]
    katz = NGramModel.fit(ids, len(vocabulary), 2, Katz()).distributions([never], [1])[0]
    assert kneser_ney[tea] > 2 * kneser_ney[francisco]
    assert katz[tea] < 2 * katz[francisco]


def test_better_smoothing_needs_fewer_bits(words):
    """Chen and Goodman's order of merit, on words and on characters held out from the end of the fixture."""
    vocabulary = Vocabulary.of(words, min_count=2, unknown="<unk>")
    texts = [(vocabulary.encode(words), len(vocabulary), 3)]
    texts += [(np.frombuffer(" ".join(words).encode(), np.uint8), 256, 5)]
    for ids, vocab_size, order in texts:
        cut = len(ids) * 9 // 10
        bits = [
            NGramModel.fit(ids[:cut], vocab_size, order, smoothing).bits_per_symbol(ids[cut:])
            for smoothing in (ModifiedKneserNey(), KneserNey(), Katz(), AddK(1.0))
        ]
        assert bits == sorted(bits), bits
        assert bits[0] < NGramModel.fit(ids[:cut], vocab_size, 1, AddK(1.0)).bits_per_symbol(ids[cut:]) - 0.5


def test_witten_bell_is_the_byte_model(words):
    text = " ".join(words[:5000]).encode()
    ids = np.frombuffer(text, np.uint8)
    want = ByteNGram.fit(text[:20_000], 5).probabilities(text[20_000:])
    got = NGramModel.fit(ids[:20_000], 256, 5, WittenBell()).probabilities(ids[20_000:])
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_generation_draws_from_the_model_and_follows_the_generator(words):
    vocabulary = Vocabulary.of(words)
    model = NGramModel.fit(vocabulary.encode(words), len(vocabulary), 3)
    start = vocabulary.encode(["return", "the"])
    first, again = (model.generate(20, np.random.default_rng(seed), start) for seed in (7, 7))
    assert first == again != model.generate(20, np.random.default_rng(8), start)
    coin = NGramModel.fit([0, 1] * 30, 3, 2)
    draws = np.array([coin.generate(1, np.random.default_rng(seed), [0])[0] for seed in range(400)])
    share, want = np.bincount(draws, minlength=3) / 400, coin.distributions([0], [1])[0]
    np.testing.assert_allclose(share, want, atol=4 * math.sqrt(0.25 / 400))


@pytest.mark.parametrize("smoothing", EVERY, ids=repr)
def test_saved_model_is_the_same(smoothing, words, tmp_path):
    vocabulary = Vocabulary.of(words)
    ids = vocabulary.encode(words[:8000])
    model = NGramModel.fit(ids[:4000], len(vocabulary), 3, smoothing)
    model.save(tmp_path / "model.npz")
    again = NGramModel.load(tmp_path / "model.npz")
    assert np.array_equal(again.probabilities(ids), model.probabilities(ids))
    assert (again.order, again.is_probability) == (3, model.is_probability)


def test_torn_or_foreign_file_is_a_clear_error(tmp_path):
    path = tmp_path / "model.npz"
    NGramModel.fit([0, 1, 0], 2, 2).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArchError, match="no n-gram model"):
        NGramModel.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ArchError, match="no n-gram model"):
        NGramModel.load(path)


def test_counts_are_those_of_a_counter(words):
    vocabulary = Vocabulary.of(words)
    ids = vocabulary.encode(words[:6000])
    counts = NGramCounts.of(ids, len(vocabulary), 4)
    text = ids.tolist()
    for n, level in enumerate(counts.levels, 1):
        plain = Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        assert level.count.tolist() == [plain[gram] for gram in sorted(plain)]
    before = Counter(gram[1:] for gram in {tuple(text[i : i + 3]) for i in range(len(text) - 2)})
    two = sorted({tuple(text[i : i + 2]) for i in range(len(text) - 1)})
    assert counts.continuations(2).tolist() == [before[gram] for gram in two]


def test_vocabulary_numbers_any_symbols():
    vocabulary = Vocabulary.of(["b", "a", "b", ("x", 1)], unknown="?")
    assert vocabulary.symbols == ("?", "b", "a", ("x", 1))
    assert vocabulary.encode(["a", "z", ("x", 1)]).tolist() == [2, 0, 3]
    assert vocabulary.decode([1, 0]) == ["b", "?"]


@pytest.mark.parametrize(
    ("call", "words_of_it"),
    [
        (lambda: NGramModel.fit([], 3), "empty"),
        (lambda: NGramModel.fit([3], 3), "ids run from"),
        (lambda: NGramModel.fit([0.5], 3), "integers"),
        (lambda: NGramModel.fit([0], 3, 0), "order=0"),
        (lambda: NGramModel.fit([0], 3, 2).bits_per_symbol([]), "empty"),
        (lambda: NGramModel.fit([0], 3, 2, StupidBackoff()).bits_per_symbol([0]), "sum to 1"),
        (lambda: NGramModel.fit([0], 3, 2).distributions([0], [2]), "prefix"),
        (lambda: AddK(0), "k=0"),
        (lambda: ModifiedKneserNey((0.5, 0.5, 4)), "D_r"),
        (lambda: KneserNey(0), "fallback"),
        (lambda: Katz(-1), "cutoff"),
        (lambda: StupidBackoff(2), "factor"),
        (lambda: Vocabulary.of("aab", min_count=2), "unknown"),
        (lambda: Vocabulary(("a", "a")), "twice"),
        (lambda: Vocabulary(("a",)).encode("b"), "not in the vocabulary"),
    ],
)
def test_mistakes_are_clear_errors(call, words_of_it):
    with pytest.raises(ArchError, match=words_of_it):
        call()
