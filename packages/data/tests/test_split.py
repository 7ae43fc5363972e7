import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Document, exact_duplicates, held_out, is_held_out, near_duplicates


def some(count: int) -> list[Document]:
    return [Document(f"text {number}", f"name-{number}", "s") for number in range(count)]


def test_split_meets_the_fraction_on_average():
    split = held_out(some(20_000), 0.1, seed=3)
    assert abs(len(split.held_out) - 2000) < 170  # four standard deviations of a binomial
    assert len(split.train) + len(split.held_out) == 20_000


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 5))
def test_split_is_stable_when_documents_are_added(count, fraction, seed):
    before, after = held_out(some(count), fraction, seed), held_out(some(count + 20), fraction, seed)
    assert {d.id for d in before.train} <= {d.id for d in after.train}
    assert {d.id for d in before.held_out} <= {d.id for d in after.held_out}


def test_split_grows_with_the_fraction_and_changes_with_the_seed():
    small, large, other = (held_out(some(500), f, s).held_out for f, s in ((0.1, 0), (0.3, 0), (0.1, 1)))
    assert {d.id for d in small} < {d.id for d in large}
    assert small != other


def test_split_keeps_clusters_together():
    rng, found = random.Random(0), []
    for group in range(40):
        words = [f"w{rng.randrange(9999)}" for _ in range(100)]
        found += [Document(" ".join([*words, str(copy)]), f"{copy}-{group}", "s") for copy in range(3)]
    clusters = near_duplicates(found)
    assert len(clusters.survivors) == 40
    split = held_out(found, 0.3, clusters=clusters)
    sides = {cluster: set() for cluster in clusters.survivors | set(clusters.cluster_of.values())}
    for name, side in zip(("train", "held"), split, strict=True):
        for document in side:
            sides[clusters.cluster_of[document.id]].add(name)
    assert all(len(side) <= 1 for side in sides.values())
    assert split.train and split.held_out
    with pytest.raises(DataError, match="was not clustered"):
        held_out([*found, Document("new", "new", "s")], 0.3, clusters=clusters)


def test_split_edges():
    assert held_out([], 0.5) == ([], [])
    assert len(held_out(some(50), 0.0).train) == 50
    assert len(held_out(some(50), 1.0).held_out) == 50
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(DataError, match="fraction"):
            held_out([], wrong)
    assert is_held_out("a", 1.0)


def test_split_keeps_keys_together_and_stable():
    found = [
        Document("x", f"{kind}/{n}", "s", kind, {"module": str(n)}) for n in range(200) for kind in ("code", "prose")
    ]
    split = held_out(found, 0.2, key=lambda d: d.metadata["module"])
    modules = [{d.metadata["module"] for d in side} for side in split]
    assert not modules[0] & modules[1] and 15 < len(modules[1]) < 70
    more = held_out([Document("x", "a", "s", "text", {"module": "7"}), *found], 0.2, key=lambda d: d.metadata["module"])
    assert {d.id for d in split.held_out} <= {d.id for d in more.held_out}


def test_split_joins_what_clusters_or_keys_link():
    texts = ["same text", "one", "same text", "two", "three"]
    found = [Document(text, str(n), "s", metadata={"book": "aabbc"[n]}) for n, text in enumerate(texts)]
    clusters = exact_duplicates(found)
    for seed in range(30):
        split = held_out(found, 0.5, seed, clusters, key=lambda d: d.metadata["book"])
        sides = {d.id: side for side, group in enumerate(split) for d in group}
        assert len({sides[name] for name in "0123"}) == 1
