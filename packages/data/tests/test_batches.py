import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import BatchReader, DataError, write_shards


def counting(folder, count, first=0, shard_tokens=37, **options):
    """Shards whose token number i is first + i, so that every sequence tells where it was cut."""
    tokens = np.arange(first, first + count)
    documents = np.split(tokens, range(11, count, 11))
    options = {"vocab_size": 60_000, "tokenizer_fingerprint": "t", **options}
    return write_shards(documents, folder, shard_tokens=shard_tokens, **options)


def take(reader, batches):
    return [next(reader) for _ in range(batches)]


@pytest.mark.parametrize(("count", "seq_len", "batch_size"), [(101, 10, 5), (1000, 7, 3), (17, 16, 4), (2, 1, 1)])
def test_reader_visits_each_sequence_once_an_epoch(tmp_path, count, seq_len, batch_size):
    reader = BatchReader(counting(tmp_path / "s", count), batch_size, seq_len, seed=1)
    size = (count - 1) // seq_len
    assert reader.sequences_per_epoch == (size,)
    rows = np.concatenate(take(reader, 3 * size))  # 3 * batch_size whole epochs
    assert rows.dtype == np.int64 and rows.shape == (3 * size * batch_size, seq_len + 1)
    assert np.array_equal(rows - rows[:, :1], np.tile(np.arange(seq_len + 1), (len(rows), 1)))
    starts = rows[:, 0].reshape(-1, size)
    for epoch in starts:
        assert sorted(epoch.tolist()) == [i * seq_len for i in range(size)]
    assert reader.epoch == 3 * batch_size and reader.epochs == (3.0 * batch_size,)
    assert reader.tokens_seen == len(rows) * seq_len
    if size > 20:
        assert len({tuple(epoch.tolist()) for epoch in starts}) == len(starts)  # another order each time
        assert sorted(starts[0].tolist()) != starts[0].tolist()


@settings(deadline=None, max_examples=25)  # every example writes and syncs files
@given(st.data())
def test_reader_resumes_exactly_at_any_point(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("resume")
    counts = data.draw(st.lists(st.integers(20, 200), min_size=1, max_size=3))
    sources = {counting(folder / str(i), n, 1000 * i): data.draw(st.floats(0.1, 5)) for i, n in enumerate(counts)}
    world, seq_len, seed = (data.draw(st.integers(low, high)) for low, high in ((1, 3), (1, 19), (0, 3)))
    batch_size = world * data.draw(st.integers(1, 4))
    stop, more = data.draw(st.integers(0, 12)), 4
    one = BatchReader(sources, batch_size, seq_len, seed)
    take(one, stop)
    state = json.loads(json.dumps(one.state_dict()))
    expected = take(one, more)
    resumed = BatchReader(sources, batch_size, seq_len, seed)
    take(resumed, data.draw(st.integers(0, 3)))  # loading must overwrite wherever it stands
    resumed.load_state_dict(state)
    assert all(np.array_equal(a, b) for a, b in zip(take(resumed, more), expected, strict=True))
    assert resumed.state_dict() == one.state_dict()
    ranks = [BatchReader(sources, batch_size, seq_len, seed, rank, world) for rank in range(world)]
    for reader in ranks:
        reader.load_state_dict(state)
    for batch in expected:
        assert np.array_equal(np.concatenate([next(reader) for reader in ranks]), batch)
    assert all(reader.state_dict() == one.state_dict() for reader in ranks)


def test_reader_mixes_by_weight_in_every_prefix(tmp_path):
    weights = {0: 5, 1: 3, 2: 1.5}
    sources = {counting(tmp_path / str(i), 300, 1000 * i): weight for i, weight in weights.items()}
    reader, drawn = BatchReader(sources, 4, 5), Counter()
    for batch in take(reader, 200):
        drawn.update((batch[:, 0] // 1000).tolist())
        for source, weight in weights.items():
            assert abs(drawn[source] - drawn.total() * weight / 9.5) <= len(weights)
    assert drawn.total() == 800 and reader.epochs[0] > reader.epochs[1] > reader.epochs[2]


def test_reader_mixture_is_exact_over_a_period(tmp_path):
    sources = {counting(tmp_path / str(i), 300, 1000 * i): weight for i, weight in enumerate((0.7, 0.3))}
    rows = np.concatenate(take(BatchReader(sources, 10, 5), 100))
    assert Fraction(int(np.sum(rows[:, 0] < 1000)), len(rows)) == Fraction(7, 10)


def test_reader_goes_on_with_another_batch_size_and_world(tmp_path):
    shards = counting(tmp_path / "s", 500)
    reader = BatchReader(shards, 4, 5, seed=2)
    rows = np.concatenate(take(reader, 6))
    small = BatchReader(shards, 4, 5, seed=2)
    take(small, 3)
    large = BatchReader(shards, 12, 5, seed=2, rank=1, world_size=2)
    large.load_state_dict(small.state_dict())
    assert np.array_equal(next(large), rows[18:24])


def test_reader_depends_on_the_seed(tmp_path):
    shards = counting(tmp_path / "s", 500)
    first, again, other = (next(BatchReader(shards, 8, 5, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_reader_refuses_a_foreign_state(tmp_path):
    shards = counting(tmp_path / "a", 500)
    state = BatchReader(shards, 4, 5).state_dict()
    for reader, name in (
        (BatchReader(shards, 4, 5, seed=1), "seed"),
        (BatchReader(shards, 4, 6), "seq_len"),
        (BatchReader(counting(tmp_path / "b", 501), 4, 5), "corpora"),
    ):
        with pytest.raises(DataError, match=name):
            reader.load_state_dict(state)
    reader = BatchReader(shards, 4, 5)
    for wrong in ({"version": 9}, {"drawn": [-1]}, {"drawn": [1, 2]}, {"drawn": None}, {"drawn": [1.5]}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            reader.load_state_dict({**state, **wrong})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"seq_len": 0}, "seq_len=0"),
        ({"seq_len": 50}, r"50 tokens, fewer than seq_len \+ 1 = 51"),
        ({"seed": -1}, "seed=-1"),
        ({"rank": 1}, "rank=1"),
        ({"world_size": 3}, "use batch_size=3 or 6"),
        ({"world_size": 5}, "use batch_size=5"),
    ],
)
def test_reader_names_the_wrong_argument(tmp_path, arguments, message):
    shards = counting(tmp_path / "s", 50)
    with pytest.raises(DataError, match=message):
        BatchReader(shards, **{"batch_size": 4, "seq_len": 5, **arguments})


def test_reader_refuses_wrong_mixtures(tmp_path):
    shards, other = counting(tmp_path / "a", 50), counting(tmp_path / "b", 50, tokenizer_fingerprint="u")
    for mixture, message in (({}, "no sources"), ({shards: 0}, "weight 0"), ({shards: 1, other: 1}, "tokenizers")):
        with pytest.raises(DataError, match=message):
            BatchReader(mixture, 4, 5)
    with pytest.raises(DataError, match="0 tokens"):
        BatchReader(counting(tmp_path / "c", 0), 4, 5)


def test_packed_batches_know_the_document_of_each_token(tmp_path):
    lengths = [3, 0, 7, 1, 12, 5, 2, 9]
    documents = [[10 + number] * length for number, length in enumerate(lengths)]
    shards = write_shards(
        documents, tmp_path / "s", vocab_size=30, tokenizer_fingerprint="t", separator_id=0, shard_tokens=9
    )
    owner = np.concatenate([[number] * (length + 1) for number, length in enumerate(lengths)])
    np.testing.assert_array_equal(shards.documents_at(0, shards.num_tokens), owner)
    for start in range(0, shards.num_tokens, 5):
        for stop in range(start, shards.num_tokens + 1, 3):
            np.testing.assert_array_equal(shards.documents_at(start, stop), owner[start:stop])
    plain, packed = BatchReader(shards, 4, 6, seed=1), BatchReader(shards, 4, 6, seed=1)
    for _ in range(5):
        batch = packed.next_packed()
        np.testing.assert_array_equal(batch.tokens, next(plain))
        for tokens, numbers, positions in zip(batch.tokens, batch.documents, batch.positions, strict=True):
            for place in range(7):
                first = int(np.flatnonzero(numbers == numbers[place])[0])
                assert positions[place] == place - first
                assert tokens[place] in (0, 10 + numbers[place])
        np.testing.assert_array_equal(batch.is_target, np.diff(batch.documents) == 0)


def test_a_worker_that_skips_sees_every_third_batch(tmp_path):
    reader = BatchReader(
        {counting(tmp_path / "a", 100, overwrite=True): 2.0, counting(tmp_path / "b", 60, overwrite=True): 1.0},
        4,
        5,
        seed=2,
    )
    batches = [next(reader) for _ in range(12)]
    for worker in range(3):
        mine = BatchReader(
            {counting(tmp_path / "a", 100, overwrite=True): 2.0, counting(tmp_path / "b", 60, overwrite=True): 1.0},
            4,
            5,
            seed=2,
        )
        mine.skip(worker)
        for batch in batches[worker::3]:
            np.testing.assert_array_equal(next(mine), batch)
            mine.skip(2)


def test_new_weights_hold_from_the_next_row_and_are_resumed(tmp_path):
    sources = {counting(tmp_path / "a", 1000, overwrite=True): 1.0, counting(tmp_path / "b", 1000, overwrite=True): 1.0}
    reader = BatchReader(sources, 10, 5, seed=0)
    for _ in range(10):
        next(reader)
    reader.reweight([9, 1])
    before = np.array(reader.epochs) * reader.sequences_per_epoch
    for _ in range(10):
        next(reader)
    np.testing.assert_allclose(np.array(reader.epochs) * reader.sequences_per_epoch - before, [90, 10], atol=1)
    resumed = BatchReader(sources, 10, 5, seed=0)
    resumed.load_state_dict(reader.state_dict())
    np.testing.assert_array_equal(next(resumed), next(reader))
    with pytest.raises(DataError, match="give 2 positive"):
        reader.reweight([1.0])


def test_a_source_stops_after_its_epochs_and_the_others_take_its_share(tmp_path):
    small, large = (
        counting(tmp_path / "a", 51, overwrite=True),
        counting(tmp_path / "b", 1001, overwrite=True),
    )  # 10 and 200 rows of 5
    reader = BatchReader({small: 1.0, large: 1.0}, 10, 5, seed=0, max_epochs=2)
    rows = 0
    for _ in reader:
        rows += 10
    assert rows == 420 and reader.epochs == (2.0, 2.0)
    again = BatchReader(small, 6, 5, seed=0, max_epochs=1)
    assert len(list(again)) == 1  # 4 of 10 rows fill no batch


def test_a_state_of_the_first_version_is_read(tmp_path):
    reader = BatchReader(
        {counting(tmp_path / "a", 100, overwrite=True): 2.0, counting(tmp_path / "b", 60, overwrite=True): 1.0},
        4,
        5,
        seed=2,
    )
    next(reader)
    state = {**reader.state_dict(), "version": 1}
    del state["since"]
    following = next(reader)
    reader.load_state_dict(state)
    np.testing.assert_array_equal(next(reader), following)
