import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad_arch.classic import ByteNGram, byte_entropy
from octad_arch.errors import ArchError


def probability_by_definition(train, context, byte, length):
    """The recursion of Witten and Bell on plain counters: slow, and independent of the arrays."""
    if length == 0:
        return 1 / 256
    shorter = probability_by_definition(train, context, byte, length - 1)
    tail = context[len(context) - (length - 1) :]
    followers = Counter(
        train[i + length - 1] for i in range(len(train) - length + 1) if train[i : i + length - 1] == tail
    )
    if not followers:
        return shorter
    return (followers[byte] + len(followers) * shorter) / (sum(followers.values()) + len(followers))


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=20), st.integers(1, 7))
def test_ngram_matches_the_definition(train, text, order):
    got = ByteNGram.fit(train, order).probabilities(text)
    want = [probability_by_definition(train, text[:i], text[i], min(order, i + 1)) for i in range(len(text))]
    np.testing.assert_allclose(got, want, rtol=1e-12)  # the same float64 operations in another order


@given(st.text(alphabet="ab ", min_size=3, max_size=40), st.integers(1, 5))
def test_ngram_is_a_distribution_over_the_next_byte(text, order):
    model = ByteNGram.fit(text.encode(), order)
    context = text.encode()[-order:]
    total = sum(model.probabilities(context + bytes([b]))[-1] for b in range(256))
    assert math.isclose(total, 1.0, rel_tol=1e-9)


def test_entropy_of_known_texts():
    assert byte_entropy(b"aaaa") == 0.0
    assert byte_entropy(b"abcd") == 2.0
    assert byte_entropy(bytes(range(256))) == 8.0


def test_longer_context_helps_on_structured_text():
    text = b"the cat sat on the mat and the dog sat on the log; " * 200
    bits = [ByteNGram.fit(text[:8000], order).bits_per_byte(text[8000:]) for order in (1, 2, 4, 6)]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 0.2 < byte_entropy(text)


@pytest.mark.parametrize(
    "call",
    [lambda: ByteNGram.fit(b"", 3), lambda: ByteNGram.fit(b"a", 3).bits_per_byte(b""), lambda: byte_entropy(b"")],
)
def test_empty_text_is_a_clear_error(call):
    with pytest.raises(ArchError, match="empty"):
        call()


@pytest.mark.parametrize("order", [0, 8, -1])
def test_order_out_of_range_is_a_clear_error(order):
    with pytest.raises(ArchError, match="order"):
        ByteNGram.fit(b"abc", order)
