"""Exact match of short answers, after a stated normalisation."""

from octad_align.verifiers.reward import Reward

_QUOTES = "\"'`“”‘’"


def normalise(text: str, *, ignore_case: bool = True) -> str:
    """Strip the ends, one pair of quotes and one final period, collapse white space, and fold case.

    Args:
        text: any text.
        ignore_case: fold case too.
    """
    words = " ".join(text.split()).removesuffix(".").rstrip()
    if len(words) >= 2 and words[0] in _QUOTES and words[-1] in _QUOTES:
        words = words[1:-1].strip().removesuffix(".").rstrip()
    return words.casefold() if ignore_case else words


def exact_match(reference: str, completion: str, *, ignore_case: bool = True) -> Reward:
    """1 if both are equal after `normalise`, else 0.

    Args:
        reference: the right answer.
        completion: the whole text of the model; take an answer out of a longer one with `tagged_answer`.
        ignore_case: whether "Paris" is "paris".
    """
    if normalise(reference, ignore_case=ignore_case) == normalise(completion, ignore_case=ignore_case):
        return Reward(1.0, "exact match")
    return Reward(0.0, "differs from the reference")
