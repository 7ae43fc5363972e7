import random

import numpy as np
import pytest
from octad_data import DataError, Document, MinHash, near_duplicates
from octad_data.minhash import Sketcher
from octad_data.scramble import scramble
from octad_data.shingles import Shingler, jaccard


def word_sets(shared: int, own: int, rng: random.Random) -> tuple[str, str]:
    """Two texts whose sets of single words have J = shared / (shared + 2 * own)."""
    words = [f"w{rng.getrandbits(48)}" for _ in range(shared + 2 * own)]
    first, second = words[:shared] + words[shared : shared + own], words[:shared] + words[shared + own :]
    rng.shuffle(first)
    rng.shuffle(second)
    return " ".join(first), " ".join(second)


def pairs(similarity: float, count: int, seed: int) -> list[Document]:
    rng = random.Random(seed)
    shared = round(200 * similarity)
    own = (200 - shared) // 2
    return [
        Document(text, f"{number:04d}{side}", "s")
        for number in range(count)
        for side, text in zip("ab", word_sets(shared, own, rng), strict=True)
    ]


def merged_pairs(documents: list[Document], config: MinHash) -> int:
    cluster_of = near_duplicates(documents, config).cluster_of
    assert {cluster[:4] for name, cluster in cluster_of.items() if name[:4] != cluster[:4]} == set()
    return sum(cluster_of[d.id] != d.id for d in documents if d.id.endswith("b"))


@pytest.mark.parametrize("similarity", [0.1, 0.3, 0.45, 0.49])
def test_minhash_never_merges_below_a_half(similarity):
    assert merged_pairs(pairs(similarity, 150, seed=1), MinHash(ngram=1)) == 0


@pytest.mark.parametrize("similarity", [0.8, 0.85, 0.9, 0.99])
def test_minhash_recall_above_four_fifths(similarity):
    # 1 - (1 - .8**6)**24 = .9993: 2 misses are allowed in 250, which a sound finder exceeds once in 1,000 such runs.
    assert merged_pairs(pairs(similarity, 250, seed=2), MinHash(ngram=1)) >= 248


def test_minhash_without_verification_follows_the_curve():
    # 400 pairs at J = .5 and 14 x 8: 5.3 % expected, standard deviation 1.1 %; a hash that keeps order merges 40 %.
    config = MinHash(bands=14, rows=8, ngram=1, verify=False)
    assert abs(merged_pairs(pairs(0.5, 400, seed=3), config) / 400 - config.candidate_chance(0.5)) < 0.045
    assert merged_pairs(pairs(0.2, 400, seed=4), config) == 0  # expected: 0.014 pairs


@pytest.mark.parametrize("shared", [0, 20, 50, 100, 150, 190, 200])
def test_sketch_estimates_jaccard_without_bias(shared):
    rng = np.random.default_rng(shared)
    sketch, errors = Sketcher(128, seed=5), []
    for _ in range(100):
        members = np.unique(rng.integers(0, 2**64, size=400, dtype=np.uint64))
        first, second = np.sort(members[:200]), np.sort(members[200 - shared : 400 - shared])
        errors.append(np.mean(sketch(first) == sketch(second)) - jaccard(first, second))
    deviation = (jaccard(first, second) * (1 - jaccard(first, second)) / 128) ** 0.5
    assert abs(np.mean(errors)) <= 4 * deviation / 10  # four standard errors of a mean of 100
    # Hashes that depend on each other spread the estimate wider than independent ones.
    assert np.std(errors) <= 1.35 * deviation


def test_sketch_keeps_no_order():
    """Of consecutive numbers, each must be as likely as any other to be the minimum."""
    members = scramble(np.arange(64, dtype=np.uint64))
    signature = Sketcher(6400, seed=0)(members)
    winners = [np.argmin(hashes) for hashes in _hashes_of_each(members, 6400)]
    counts = np.bincount(winners, minlength=64)
    assert len(signature) == 6400
    assert np.sum((counts - 100.0) ** 2 / 100.0) < 120  # chi-square with 63 degrees: 1 in 10,000 is 113


def _hashes_of_each(members, num_hashes):
    sketch = Sketcher(num_hashes, seed=0)
    return np.stack([sketch(members[i : i + 1]) for i in range(len(members))], axis=1)


def test_minhash_finds_edited_texts(documents):
    rng = random.Random(6)
    text = [f"word{rng.randrange(5000)}" for _ in range(400)]
    edited = text.copy()
    edited[100:102] = ["and", "a", "longer", "piece", "instead"]
    other = [f"word{rng.randrange(5000)}" for _ in range(400)]
    found = documents(" ".join(text), " ".join(edited).upper() + "!", " ".join(other))
    clusters = near_duplicates(found)
    assert clusters.cluster_of == {"d000": "d000", "d001": "d000", "d002": "d002"}
    assert clusters.survivors == {"d001", "d002"}  # the longer, though later
    assert clusters.members() == {"d000": ["d000", "d001"], "d002": ["d002"]}


def test_minhash_is_deterministic_and_order_free():
    found = pairs(0.8, 60, seed=7)
    shuffled = random.Random(0).sample(found, len(found))
    config = MinHash(ngram=1, seed=3)
    first, second = near_duplicates(found, config), near_duplicates(shuffled, config)
    assert first.cluster_of == second.cluster_of and first.survivors == second.survivors


def test_minhash_joins_chains(documents):
    words = [f"w{number}" for number in range(130)]
    windows = [" ".join(words[start : start + 100]) for start in (0, 10, 20, 30)]  # neighbours J = .82, ends .54
    clusters = near_duplicates(documents(*windows), MinHash(ngram=1))
    assert set(clusters.cluster_of.values()) == {"d000"}


def test_minhash_short_empty_and_unspaced_texts(documents):
    chinese = "我们今天去公园散步然后一起吃饭晚上再看电影明天还要早起上班所以不能太晚睡觉希望天气会好"
    found = documents("", " ", "!!!", "!!!", "one two", "one two", "one three", chinese, chinese[:-1] + "冷")
    cluster_of = near_duplicates(found).cluster_of
    assert cluster_of["d000"] != cluster_of["d001"]  # nothing is alike to nothing
    assert cluster_of["d002"] == cluster_of["d003"]
    assert cluster_of["d004"] == cluster_of["d005"] != cluster_of["d006"]
    assert cluster_of["d007"] == cluster_of["d008"]
    assert near_duplicates([]).cluster_of == {}


@pytest.mark.parametrize("ngram", [1, 2, 5, 9])
def test_shingler_matches_sets_of_words(ngram):
    rng = random.Random(ngram)
    first = [rng.choice("abcdef") for _ in range(60)]
    second = first[:40] + [rng.choice("abcdef") for _ in range(20)]
    shingle = Shingler(ngram, seed=1)

    def reference(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}

    a, b = reference(first), reference(second)
    x, y = shingle(" ".join(first)), shingle(", ".join(second).upper())
    assert (len(x), len(y)) == (len(a), len(b))
    assert jaccard(x, y) == pytest.approx(len(a & b) / len(a | b), abs=1e-12)


def test_minhash_many_equal_documents_are_one_cluster(documents):
    clusters = near_duplicates(documents(*["the same text again and again for ever"] * 300))
    assert len(clusters.survivors) == 1 and clusters.survivors == {"d000"}


@pytest.mark.parametrize("field", [{"bands": 0}, {"rows": -1}, {"ngram": 0}, {"threshold": 0.0}, {"threshold": 1.5}])
def test_minhash_names_the_wrong_field(field):
    with pytest.raises(DataError, match=next(iter(field))):
        MinHash(**field)
