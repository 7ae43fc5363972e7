"""A seeded shuffle of 0 .. n - 1 that is computed, not stored."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_data.errors import DataError
from octad_data.scramble import scramble

ROUNDS = 6  # four make a Feistel network of good round functions pseudo-random (Luby and Rackoff 1988)


class Permutation:
    """A bijection of 0 .. n - 1 chosen by the key: a Feistel network on the next power of four, walked back into range.

    Args:
        size: n, 0 .. 2**62.
        key: whole numbers; another key, another order.

    Raises:
        DataError: size is out of range.
    Cost: O(1) memory; about 0.3 microseconds a position for many at once.
    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking.
    """

    def __init__(self, size: int, key: tuple[int, ...]) -> None:
        if not 0 <= size <= 2**62:
            raise DataError(f"size={size} is not in 0 .. 2**62")
        self.size = size
        self._half_bits = np.uint64(max((max(size - 1, 1).bit_length() + 1) // 2, 1))
        self._mask = np.uint64((1 << int(self._half_bits)) - 1)
        self._keys = np.random.SeedSequence(key).generate_state(ROUNDS, dtype=np.uint64)

    def __call__(self, positions: ArrayLike) -> NDArray[np.int64]:
        """Where each position goes.

        Raises:
            DataError: a position is not in 0 .. n - 1.
        """
        x = np.array(positions, dtype=np.int64)
        if x.size and (x.min() < 0 or x.max() >= self.size):
            raise DataError(f"position {x.min() if x.min() < 0 else x.max()} is not in 0 .. {self.size - 1}")
        flat = self._encrypt(x.reshape(-1).astype(np.uint64))
        outside = np.flatnonzero(flat >= self.size)
        while len(outside):  # at most three of four lie outside, so this halves quickly
            flat[outside] = self._encrypt(flat[outside])
            outside = outside[flat[outside] >= self.size]
        return flat.astype(np.int64).reshape(x.shape)

    def _encrypt(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = x >> self._half_bits, x & self._mask
        for key in self._keys:
            left, right = right, left ^ (scramble(right ^ key) & self._mask)
        return (left << self._half_bits) | right
