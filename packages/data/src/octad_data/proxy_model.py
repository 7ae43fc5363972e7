"""A language model that trains in a blink: interpolated byte n-grams, good enough to rank mixtures without torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import kernel
from octad_data.texts import Texts

MIX = np.uint64(0xFF51AFD7ED558CCD)
SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class ByteNgrams:
    """Byte n-grams up to an order, each interpolated with the shorter ones by Witten and Bell's rule.

    p_n(b | c) = (count(c b) + distinct(c) p_{n-1}(b | c')) / (count(c) + distinct(c)), p_0 = 1 / 256. Contexts are
    hashed into one table an order; collisions are rare where the table is large against the text, and cost the model
    a little.

    Attributes:
        order: bytes of the longest context.
        bits: log2 of the places of a table.
        follow: counts of context and byte, float32, shape (order + 1, 2**bits).
        total: counts of contexts.
        distinct: different bytes seen after each context.

    Source: Witten and Bell 1991; Bell, Cleary and Witten 1990.
    """

    order: int
    bits: int
    follow: NDArray[np.float32]
    total: NDArray[np.float32]
    distinct: NDArray[np.float32]

    @classmethod
    def empty(cls, order: int = 5, bits: int = 20) -> "ByteNgrams":
        """A model that has read nothing.

        Raises:
            DataError: order or bits is out of range.
        """
        if not 0 <= order <= 16 or not 8 <= bits <= 30:
            raise DataError(f"order={order}, bits={bits}: use an order of 0 .. 16 and 8 .. 30 bits")
        shape = (order + 1, 1 << bits)
        return cls(order, bits, *(np.zeros(shape, dtype=np.float32) for _ in range(3)))

    def train(self, texts: Texts, weight: float = 1.0) -> None:
        """Count the texts, each n-gram as `weight`.

        Cost: about 10 MB a second.
        """
        _train(texts.data, texts.offsets, self.follow, self.total, self.distinct, np.float32(weight))

    def loss(self, texts: Texts) -> float:
        """Mean negative log-likelihood in nats a byte.

        Raises:
            DataError: the texts are empty.
        """
        if texts.num_bytes == 0:
            raise DataError("the texts are empty; give some to measure the loss of")
        return float(_loss(texts.data, texts.offsets, self.follow, self.total, self.distinct)) / texts.num_bytes


@kernel
def _place(context: np.uint64, size: int, bits: int) -> int:
    value = (context + np.uint64(size)) * SPREAD
    value = (value ^ (value >> np.uint64(29))) * MIX
    return int(value >> np.uint64(64 - bits))


@kernel
def _bits(size: int) -> int:
    bits = 0
    while 1 << bits < size:
        bits += 1
    return bits


@kernel
def _train(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    follow: NDArray[np.float32],
    total: NDArray[np.float32],
    distinct: NDArray[np.float32],
    weight: np.float32,
) -> None:
    bits = _bits(follow.shape[1])
    for text in range(len(texts) - 1):
        for at in range(texts[text], texts[text + 1]):
            context = np.uint64(0)
            for size in range(follow.shape[0]):
                if size > at - texts[text]:
                    break
                if size:
                    context = context * np.uint64(257) + np.uint64(data[at - size]) + np.uint64(1)
                place = _place(context, size, bits)
                after = _place(context * np.uint64(257) + np.uint64(data[at]) + np.uint64(1), 64 + size, bits)
                if follow[size, after] == 0:
                    distinct[size, place] += weight
                follow[size, after] += weight
                total[size, place] += weight


@kernel
def _loss(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    follow: NDArray[np.float32],
    total: NDArray[np.float32],
    distinct: NDArray[np.float32],
) -> float:
    bits = _bits(follow.shape[1])
    loss = 0.0
    for text in range(len(texts) - 1):
        for at in range(texts[text], texts[text + 1]):
            chance, context = 1.0 / 256, np.uint64(0)
            for size in range(follow.shape[0]):
                if size > at - texts[text]:
                    break
                if size:
                    context = context * np.uint64(257) + np.uint64(data[at - size]) + np.uint64(1)
                place = _place(context, size, bits)
                seen = total[size, place]
                if seen == 0:
                    break
                after = _place(context * np.uint64(257) + np.uint64(data[at]) + np.uint64(1), 64 + size, bits)
                kinds = max(distinct[size, place], np.float32(1))  # 0 where its bytes collided with others'
                chance = (follow[size, after] + kinds * chance) / (seen + kinds)
            loss -= np.log(chance)
    return loss
