"""Randomness addressed by a key: the number of (seed, prompt, sample, step) does not depend on who shares the batch."""

from octad_infer.errors import InferError

_WORD = 2**64 - 1


def splitmix64(state: int) -> int:
    """The output of SplitMix64 at a 64-bit state: a bijection that turns counters into random-looking words.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
    """
    z = (state + 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


def keyed_uniform(seed: int, *key: int) -> float:
    """A uniform number in [0, 1), a function of (seed, key) alone; 53 random bits.

    Args:
        seed: in [0, 2**64).
        key: integers >= 0, such as (prompt, sample, step).

    Raises:
        InferError: the seed is out of range.
    Cost: about 0.5 microseconds a key word.
    """
    if not 0 <= seed <= _WORD:
        raise InferError(f"seed={seed} is not in [0, 2**64); use seed={seed % 2**64}")
    word = splitmix64(seed)
    for part in key:
        word = splitmix64(word ^ (part & _WORD))
    return (word >> 11) * 2.0**-53
