import numpy as np
import pytest
from octad_data import DataError, Document
from octad_data.bloom import BloomFilter, StreamDuplicates
from octad_data.step import to_batch


def numbers(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, size=size, dtype=np.uint64)


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.0005])
def test_bloom_errs_as_often_as_theory_says(rate):
    members, strangers = numbers(50_000, 1), numbers(400_000, 2)
    filled = BloomFilter.sized(50_000, rate)
    filled.add(members)
    assert filled.contains(members).all()
    expected = rate * len(strangers)
    assert abs(filled.contains(strangers).sum() - expected) < 5 * expected**0.5 + 0.05 * expected
    assert filled.false_positive_rate == pytest.approx(rate, rel=0.1)
    assert filled.fill == pytest.approx(0.5, abs=0.04)  # k is a whole number


def test_bloom_of_consecutive_numbers_errs_no_more():
    filled = BloomFilter.sized(50_000, 0.01)
    filled.add(np.arange(50_000, dtype=np.uint64))
    assert filled.contains(np.arange(50_000, 450_000, dtype=np.uint64)).mean() == pytest.approx(0.01, abs=0.001)


def test_bloom_add_says_what_was_there():
    filled = BloomFilter(10_000, 5)
    assert filled.add(np.array([1, 2, 1, 3, 2], dtype=np.uint64)).tolist() == [False, False, True, False, True]


def test_bloom_merges_and_comes_back_from_a_file(tmp_path):
    first, second = BloomFilter.sized(1000, seed=-3), BloomFilter.sized(1000, seed=-3)
    first.add(numbers(500, 1))
    second.add(numbers(500, 2))
    first.merge(second)
    first.save(tmp_path / "filter.npz")
    loaded = BloomFilter.load(tmp_path / "filter.npz")
    both = BloomFilter.sized(1000, seed=-3)
    both.add(np.concatenate((numbers(500, 2), numbers(500, 1))))
    assert (loaded.words == both.words).all() and loaded.contains(numbers(500, 1)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["filter.npz"]
    with pytest.raises(DataError, match="cannot be merged"):
        first.merge(BloomFilter.sized(1000, seed=4))


def test_bloom_refuses_what_is_not_one(tmp_path):
    path = tmp_path / "x.npz"
    for content in (b"", b"PK\x03\x04", b"nothing of the kind"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a Bloom filter"):
            BloomFilter.load(path)
    with pytest.raises(DataError, match="capacity=0"):
        BloomFilter.sized(0)
    with pytest.raises(DataError, match="num_hashes=0"):
        BloomFilter(10, 0)


LINE = "the quick brown fox jumps over the lazy dog and then sleeps in the warm afternoon sun"
OTHER = "nothing in this line was ever said before by anyone in any of the documents of this test"


def test_stream_takes_out_lines_and_documents_that_were_seen():
    stream = StreamDuplicates(BloomFilter.sized(10_000, 1e-6), ngram=5)
    documents = [
        Document(f"{LINE}\nshort line\n", "a", "s"),
        Document(f"{OTHER}\n{LINE}\nshort line\n{OTHER} again, and a good deal more than was said above\n", "b", "s"),
        Document(LINE.upper() + "!", "c", "s"),
        Document("short line", "d", "s"),
    ]
    batch = stream(to_batch(documents))
    assert batch.column("text").to_pylist()[1] == documents[1].text.replace(LINE + "\n", "")
    assert batch.column("dropped_by").to_pylist() == [None, None, "duplicates.bloom", None]
    assert batch.column("dropped_value").to_pylist()[2] == 1.0
    later = stream(to_batch([Document(LINE, "e", "s")]))
    assert later.column("dropped_by").to_pylist() == ["duplicates.bloom"]


def test_stream_that_does_not_learn_only_removes_what_it_was_given():
    stream = StreamDuplicates(BloomFilter.sized(10_000, 1e-6), ngram=5, learn=False)
    batch = stream(to_batch([Document(LINE, "a", "s"), Document(LINE, "b", "s")]))
    assert batch.column("dropped_by").null_count == 2
    with pytest.raises(DataError, match="threshold=0"):
        StreamDuplicates(stream.filter, threshold=0)
    with pytest.raises(DataError, match="kind='page'"):
        StreamDuplicates(stream.filter, kind="page")
