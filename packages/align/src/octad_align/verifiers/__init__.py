"""Verifiers: rewards that a program can check.

A verifier takes what was asked or expected and a completion, and returns a `Reward(value in [0, 1], reason)`:
`exact_match` after normalisation, `numeric_match` of exact rationals (fractions, decimals, separators, units),
`answer_format` for tags. `tagged_answer` and `boxed_answer` take an answer out of a longer text, and `weighted`
combines several verifiers into one.
"""

from octad_align.verifiers.exact import exact_match, normalise
from octad_align.verifiers.numeric import answer_number, numeric_match, parse_number
from octad_align.verifiers.reward import Reward, Verifier, weighted
from octad_align.verifiers.tags import answer_format, boxed_answer, tagged_answer

__all__ = [
    "Reward",
    "Verifier",
    "answer_format",
    "answer_number",
    "boxed_answer",
    "exact_match",
    "normalise",
    "numeric_match",
    "parse_number",
    "tagged_answer",
    "weighted",
]
