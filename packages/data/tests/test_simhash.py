import random

import numpy as np
import pyarrow as pa
import pytest
from octad_data import DataError, Document
from octad_data.shingles import Shingler
from octad_data.simhash import SimHash, block_masks, simhash, simhash_pairs
from octad_data.step import to_batch
from octad_data.texts import Texts


def test_simhash_is_the_sign_of_the_sum():
    texts = Texts.of(["one two three two", "four", ""])
    shingles = Shingler(1).sets(texts)
    weights = np.array([1.0, 2.0, 0.5, 2.0, 1.0])
    for given in (None, weights):
        expected = []
        for text in range(3):
            sums = [0.0] * 64
            for place in range(shingles.offsets[text], shingles.offsets[text + 1]):
                for bit in range(64):
                    sign = 1 if int(shingles.shingles[place]) >> bit & 1 else -1
                    sums[bit] += sign * (1.0 if given is None else weights[place])
            expected.append(sum(1 << bit for bit in range(64) if sums[bit] > 0))
        assert simhash(shingles, given).tolist() == expected
    with pytest.raises(DataError, match="weights"):
        simhash(shingles, weights[:2])


def test_simhash_bits_differ_as_the_angle():
    rng = np.random.default_rng(0)
    for shared in (0, 50, 90, 99):
        angle = np.arccos(shared / 100) / np.pi
        differ = []
        for _ in range(60):
            members = rng.integers(0, 2**64, size=200 - shared, dtype=np.uint64)
            both = np.concatenate((members[:100], members[100 - shared : 200 - shared]))
            first, second = simhash(type(Shingler(1).sets(Texts.of([])))(both, np.array([0, 100, 200])))
            differ.append(int(first ^ second).bit_count() / 64)
        # 60 * 64 bits: standard error .008 at an angle of .5
        assert np.mean(differ) == pytest.approx(angle, abs=0.035)


@pytest.mark.parametrize("distance", [0, 1, 3, 6])
def test_simhash_pairs_misses_none(distance):
    rng = random.Random(distance)
    hashes = [rng.getrandbits(64) for _ in range(300)]
    for origin in range(0, 300, 3):
        near = hashes[origin]
        for bit in rng.sample(range(64), rng.randrange(9)):
            near ^= 1 << bit
        hashes.append(near)
    hashes = list(dict.fromkeys(hashes))
    expected = [
        (a, b, (hashes[a] ^ hashes[b]).bit_count())
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if (hashes[a] ^ hashes[b]).bit_count() <= distance
    ]
    found = simhash_pairs(np.array(hashes, dtype=np.uint64), distance)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_simhash_tables_cover_every_choice_of_bits():
    for distance, size in ((1, 10), (3, 10**6), (3, 10**9), (8, 10**5)):
        masks = [int(mask) for mask in block_masks(distance, size)]
        for seed in range(200):
            flipped = sum(1 << bit for bit in random.Random(seed).sample(range(64), distance))
            assert any(flipped & mask == 0 for mask in masks)


def test_simhash_of_many_copies_is_a_star():
    first, second, bits = simhash_pairs(np.array([7] * 2000 + [6], dtype=np.uint64), 3)
    assert len(first) == 2000 and not first.any()
    assert bits.tolist() == [0] * 1999 + [1] and second.tolist() == list(range(1, 2001))
    assert len(simhash_pairs(np.array([], dtype=np.uint64))[0]) == 0
    with pytest.raises(DataError, match="distance=20"):
        simhash_pairs(np.array([1], dtype=np.uint64), 20)


def test_simhash_step_is_null_without_words():
    batch = SimHash()(to_batch([Document("a text of some words", "a", "s"), Document("", "b", "s")]))
    column = batch.column("simhash")
    assert column.type == pa.uint64() and column.null_count == 1 and column[1].as_py() is None
    with pytest.raises(DataError, match="ngram=0"):
        SimHash(ngram=0)
