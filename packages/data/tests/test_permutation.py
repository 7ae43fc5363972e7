import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Permutation


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.integers(0, 3000), st.integers(0, 2**40))
def test_permutation_is_a_bijection(size, key):
    assert sorted(Permutation(size, (key,))(np.arange(size)).tolist()) == list(range(size))


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.integers(1, 2**62), st.data())
def test_permutation_of_huge_ranges_stays_inside_and_is_pointwise(size, data):
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8))
    order = Permutation(size, (1, 2))
    places = order(positions)
    assert all(0 <= place < size for place in places.tolist())
    assert [int(order(position)) for position in positions] == places.tolist()


def test_permutation_looks_random():
    size = 20_000
    order = Permutation(size, (7,))(np.arange(size))
    other = Permutation(size, (8,))(np.arange(size))
    for pair in ((np.arange(size), order), (order[:-1], order[1:]), (order, other)):
        assert abs(np.corrcoef(*pair)[0, 1]) < 4 / size**0.5
    # A random permutation has one fixed point and keeps one neighbour on average.
    assert np.sum(order == np.arange(size)) < 8
    assert np.sum(np.diff(order) == 1) < 8


def test_permutation_visits_all_orders_of_three():
    orders = {tuple(Permutation(3, (key,))(np.arange(3)).tolist()) for key in range(200)}
    assert len(orders) == 6


@pytest.mark.parametrize("position", [-1, 5])
def test_permutation_refuses_positions_outside(position):
    with pytest.raises(DataError, match="position"):
        Permutation(5, (0,))([position])
