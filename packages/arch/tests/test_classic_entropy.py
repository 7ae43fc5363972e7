"""Shannon's estimates on sources of which the entropy is known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch.classic import (
    KneserNey,
    NGramModel,
    block_entropies,
    byte_entropy,
    guess_shares,
    guessing_bounds,
    ranks,
)
from octad_arch.errors import ArchError


def markov_chain(seed, size=5, concentration=0.4):
    """A transition matrix, its stationary distribution and its entropy rate -Σ π_s p_st log2 p_st."""
    transition = np.random.default_rng(seed).dirichlet(np.full(size, concentration), size) * 0.98 + 0.02 / size
    values, vectors = np.linalg.eig(transition.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    return transition, stationary, float(-(stationary @ (transition * np.log2(transition)).sum(1)))


def sample(transition, length, seed):
    generator, text = np.random.default_rng(seed), [0]
    uniform, steps = generator.random(length), transition.cumsum(1)
    for u in uniform:
        text.append(min(int(np.searchsorted(steps[text[-1]], u)), len(transition) - 1))
    return np.array(text)


@given(st.integers(0, 10_000), st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_bounds_of_the_ideal_player_enclose_the_exact_entropy(seed, size):
    transition, stationary, entropy = markov_chain(seed, size)
    shares = stationary @ -np.sort(-transition, 1)  # q_i: how often the i-th likeliest symbol comes
    lower, upper = guessing_bounds(shares)
    assert lower <= entropy + 1e-12
    assert entropy <= upper + 1e-12


def test_bounds_are_tight_where_they_can_be():
    assert guessing_bounds([0.25] * 4) == (2.0, 2.0)
    assert guessing_bounds([1.0, 0.0]) == (0.0, 0.0)
    lower, upper = guessing_bounds([0.5, 0.25, 0.25])
    assert math.isclose(lower, 0.75 * math.log2(3)) and upper == 1.5  # i=1 adds 0, i=2: 0, i=3: 3 * 1/4 * log2(3)


@pytest.mark.parametrize("seed", [1, 2])
def test_estimates_from_a_sample_meet_the_entropy_of_the_source(seed):
    transition, _, entropy = markov_chain(seed)
    text = sample(transition, 60_000, seed)
    train, held_out = text[:40_000], text[40_000:]
    model = NGramModel.fit(train, 5, 3, KneserNey())
    bits = model.bits_per_symbol(held_out)
    assert entropy - 0.02 < bits < entropy + 0.03  # 0.02: four standard errors of 20,000 symbols
    lower, upper = guessing_bounds(guess_shares(model.ranks(held_out), 5))
    assert lower - 0.02 < entropy < upper + 0.02
    blocks = block_entropies(text, 5, 4)
    assert blocks[0] > blocks[1] + 0.05
    np.testing.assert_allclose(blocks[1:], entropy, atol=0.02)  # one symbol of context is all there is


def test_block_entropy_is_the_difference_of_joint_entropies():
    """F_N = H_N - H_{N-1} with both from the same windows, as Shannon writes it."""
    text = np.random.default_rng(3).integers(0, 3, 200)
    windows = [tuple(text[i : i + 3]) for i in range(198)]

    def joint(grams):
        shares = np.unique(np.array(grams), axis=0, return_counts=True)[1] / len(grams)
        return -(shares * np.log2(shares)).sum()

    want = joint(windows) - joint([gram[:2] for gram in windows])
    assert math.isclose(block_entropies(text, 3, 3)[2], want, rel_tol=1e-12)
    assert math.isclose(block_entropies(text, 3, 1)[0], byte_entropy(text.astype(np.uint8).tobytes()), rel_tol=1e-12)
    assert block_entropies([1, 1, 1], 2, 2) == [0.0, 0.0]


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=6), st.data())
def test_ranks_are_places_in_a_stable_sort(rows, data):
    scores = np.array(rows, float)
    wanted = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    order = np.argsort(-scores, axis=1, kind="stable").tolist()
    assert ranks(scores, wanted).tolist() == [row.index(w) + 1 for row, w in zip(order, wanted, strict=True)]


def test_the_text_can_be_won_back_from_the_guesses():
    """Why the guesses bound the entropy: a twin of the player turns them back into the text."""
    text = sample(markov_chain(5)[0], 300, 5)
    model = NGramModel.fit(text[:200], 5, 3)
    guesses = model.ranks(text[200:])
    back: list[int] = []
    for guess in guesses:
        likeliest = np.argsort(-model.distributions(back, [len(back)])[0], kind="stable")
        back.append(int(likeliest[guess - 1]))
    assert back == text[200:].tolist()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: guessing_bounds([0.5, 0.4]), "sum to"),
        (lambda: guess_shares([0], 3), "1 to vocab_size"),
        (lambda: guess_shares([], 3), "at least one"),
        (lambda: block_entropies([1], 2, 2), "needs as many"),
        (lambda: ranks(np.zeros((2, 3)), [1]), "one for each"),
    ],
)
def test_mistakes_are_clear_errors(call, words):
    with pytest.raises(ArchError, match=words):
        call()
