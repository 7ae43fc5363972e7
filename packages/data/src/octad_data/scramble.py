"""The bijection of 64-bit numbers that permutations and hashes are made of."""

import numpy as np
from numpy.typing import NDArray

MULTIPLIER_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser (Appleby 2011)
MULTIPLIER_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)


def scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit numbers in which each bit of the input changes half of the output's; in place.

    Order is not kept: the smallest hash of a set says nothing about its smallest member. Source: MurmurHash3 fmix64.
    """
    x ^= x >> SHIFT
    x *= MULTIPLIER_1
    x ^= x >> SHIFT
    x *= MULTIPLIER_2
    x ^= x >> SHIFT
    return x
