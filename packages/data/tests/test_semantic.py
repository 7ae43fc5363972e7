import numpy as np
import pytest
from octad_data import DataError
from octad_data.semantic import semantic_duplicates, spherical_kmeans, unit_rows


def clouds(copies: int = 3, seed: int = 0) -> np.ndarray:
    """20 directions of 64 dimensions, each a few times with a little noise: cosines of about .99 inside, 0 across."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, 64))
    rows = np.repeat(centres, copies, axis=0) + 0.1 * rng.normal(size=(20 * copies, 64))
    return rows * rng.uniform(0.5, 2, size=(len(rows), 1))


@pytest.mark.parametrize("keep", ["far", "near", "first"])
@pytest.mark.parametrize("groups", [1, 5])
def test_one_of_each_direction_stays(keep, groups):
    found = semantic_duplicates(clouds(), 0.9, groups, keep, seed=1)
    kept = np.flatnonzero(found.keep) // 3
    assert sorted(kept) == list(range(20))
    assert (found.similarity[~found.keep] >= 0.9).all() and (found.similarity[found.keep] < 0.9).all()


def test_similarity_matches_all_pairs():
    rows = np.random.default_rng(1).normal(size=(5000, 4))  # more than are compared at once
    found = semantic_duplicates(rows, 0.999, groups=1, keep="first")
    unit = unit_rows(rows)
    scores = np.tril(unit @ unit.T, -1) + np.triu(np.full((5000, 5000), -1, np.float32))
    np.testing.assert_allclose(found.similarity, scores.max(axis=1), atol=1e-6)
    assert (found.keep == (found.similarity < 0.999)).all()


def test_order_says_who_is_first():
    rows = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])
    assert semantic_duplicates(rows, 0.9, 1, "first").keep.tolist() == [True, False, True]
    assert semantic_duplicates(rows, 0.9, 1, "first", order=np.array([5, 1, 9])).keep.tolist() == [False, True, True]


def test_far_and_near_are_measured_from_the_centroid():
    rows = np.array([[1.0, 0.3], [1.0, 0.0], [1.0, -0.1]])  # the centroid lies at about .07
    assert semantic_duplicates(rows, 0.9, 1, "far").keep.tolist() == [True, False, False]
    assert semantic_duplicates(rows, 0.9, 1, "near").keep.tolist() == [False, True, False]


def test_kmeans_finds_what_lies_apart_and_is_seeded():
    rows = unit_rows(clouds(50))
    group, centroids = spherical_kmeans(rows, 20, seed=0)
    again, _ = spherical_kmeans(rows, 20, seed=0)
    assert (group == again).all() and np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert sum(len(set(group[start : start + 50])) == 1 for start in range(0, 1000, 50)) >= 17  # some start twice


def test_semantic_edges():
    assert semantic_duplicates(np.empty((0, 8))).keep.shape == (0,)
    assert semantic_duplicates(np.ones((1, 8)), groups=5).keep.tolist() == [True]
    assert semantic_duplicates(np.ones((9, 8), dtype=np.float16), groups=4).keep.sum() == 1
    with pytest.raises(DataError, match="row 1 of the embeddings"):
        semantic_duplicates(np.array([[1.0, 2.0], [0.0, 0.0]]))
    with pytest.raises(DataError, match="row 0"):
        semantic_duplicates(np.array([[np.nan, 2.0]]))
    with pytest.raises(DataError, match="keep='best'"):
        semantic_duplicates(np.ones((2, 2)), keep="best")
    with pytest.raises(DataError, match="not rows"):
        semantic_duplicates(np.ones(3))
    with pytest.raises(DataError, match="threshold=2"):
        semantic_duplicates(np.ones((2, 2)), 2)
