import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.components import components, duckdb_components, star_components

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60)


def columns(pairs):
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()


def reference(pairs, size):
    """Spread the smallest label until nothing changes."""
    labels = list(range(size))
    changed = True
    while changed:
        changed = False
        for a, b in pairs:
            low = min(labels[a], labels[b])
            changed |= labels[a] != low or labels[b] != low
            labels[a] = labels[b] = low
    return labels


@settings(deadline=None)
@given(PAIRS, st.integers(1, 5))
def test_all_ways_give_the_smallest_member(pairs, partitions):
    first, second = columns(pairs)
    expected = reference(pairs, 41)
    assert components(first, second, 41).tolist() == expected
    nodes, roots = star_components(first, second, partitions)
    assert nodes.tolist() == sorted({node for a, b in pairs if a != b for node in (a, b)})
    assert roots.tolist() == [expected[node] for node in nodes]


@settings(deadline=None, max_examples=15)
@given(PAIRS)
def test_joins_give_the_smallest_member(pairs):
    with duckdb.connect() as sql:
        sql.execute("CREATE TABLE ties (first BIGINT, second BIGINT)")
        if pairs:
            sql.executemany("INSERT INTO ties VALUES (?, ?)", pairs)
        duckdb_components(sql, "ties", "labels")
        found = sql.execute("SELECT node, root FROM labels ORDER BY node").fetchall()
    nodes, roots = star_components(*columns(pairs))
    assert found == list(zip(nodes.tolist(), roots.tolist(), strict=True))


@pytest.mark.parametrize("partitions", [1, 7])
def test_a_long_chain_ends_in_few_rounds(partitions):
    order = np.random.default_rng(0).permutation(20_000)
    nodes, roots = star_components(order[:-1], order[1:], partitions)
    assert len(nodes) == 20_000 and not roots.any()
    with duckdb.connect() as sql:
        pairs = {"first": order[:-1], "second": order[1:]}
        sql.register("numbers", __import__("pyarrow").table(pairs))
        sql.execute("CREATE TABLE ties AS SELECT * FROM numbers")
        assert duckdb_components(sql, "ties", "labels") <= 12
        assert sql.execute("SELECT count(*), max(root) FROM labels").fetchone() == (20_000, 0)


def test_large_numbers_are_nodes_too():
    big = np.array([2**62, 5, 2**62 + 9], dtype=np.int64)
    nodes, roots = star_components(big, np.array([5, 5, 2**62], dtype=np.int64))
    assert nodes.tolist() == [5, 2**62, 2**62 + 9] and roots.tolist() == [5, 5, 5]
