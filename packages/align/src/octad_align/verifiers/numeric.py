r"""Numeric answers: fractions, decimals, thousands separators and units, compared as exact rationals.

The rule by which a completion becomes a number:
1. the text in the last \boxed{...}, else in <answer>...</answer>, else after the last "####", else all of it;
2. in that text the last number: 42, -3.5, .5, 1,234,567.8, 6e-3, 3/4, 1 1/2, \frac{3}{4}, 2 \times 10^3;
   a comma that separates no thousands separates two numbers, and a hyphen after a letter or a digit is no sign;
3. what stands around it (a currency sign, a unit, %, words) is not looked at: 50, 50 % and 50 km are one number.
"""

import re
from fractions import Fraction

from octad_align.checks import check_not_negative
from octad_align.errors import AlignError
from octad_align.verifiers.reward import Reward
from octad_align.verifiers.tags import boxed_answer, tagged_answer

# an exact power of ten grows without bound, and the text is a model's: past this the number is not read
MAX_EXPONENT = 400
MAX_DIGITS = 400

_INTEGER = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+"
_DECIMAL = rf"(?:(?:{_INTEGER})(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = re.compile(
    rf"""(?<![0-9.])(?P<sign>(?<![0-9A-Za-z)\]])[-+]\s?)?(?:
        \\[dt]?frac\{{\s*(?P<tex_top>-?[0-9]+)\s*\}}\{{\s*(?P<tex_bottom>[0-9]+)\s*\}}
      | (?P<whole>[0-9]+)\s+(?P<top>[0-9]+)/(?P<bottom>[0-9]+)
      | (?P<decimal>{_DECIMAL})(?:
            (?:[eE]|\s*(?:\\times|\\cdot|[×*])\s*10\s*\^\s*\{{?\s*)(?P<exponent>[-+]?[0-9]+)\}}?
          | \s*/\s*(?P<divisor>{_DECIMAL})
        )?
    )""",
    re.VERBOSE,
)
_SIGNS = str.maketrans({"−": "-", "–": "-", "，": ","})


def parse_number(text: str) -> Fraction | None:
    """Value of the last number in `text` (rules 2 and 3 of the module); None if there is none.

    A division by zero, and a number of more than 400 digits, are no numbers.
    """
    plain = text.translate(_SIGNS).replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("$", "")
    matches = list(_NUMBER.finditer(plain))
    return _value(matches[-1]) if matches else None


def _value(match: re.Match[str]) -> Fraction | None:
    part = match.groupdict()
    if any(text and len(text) > MAX_DIGITS for text in part.values()) or _is_huge(part["exponent"]):
        return None
    try:
        if part["tex_top"]:
            value = Fraction(int(part["tex_top"]), int(part["tex_bottom"]))
        elif part["whole"]:
            value = int(part["whole"]) + Fraction(int(part["top"]), int(part["bottom"]))
        else:
            value = _decimal(part["decimal"]) * Fraction(10) ** int(part["exponent"] or 0)
            value /= _decimal(part["divisor"] or "1")
    except ZeroDivisionError:
        return None
    return -value if (part["sign"] or "").startswith("-") else value


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _is_huge(exponent: str | None) -> bool:
    return exponent is not None and (len(exponent) > 6 or abs(int(exponent)) > MAX_EXPONENT)


def answer_number(completion: str) -> Fraction | None:
    """The number that a completion answers (rules 1 to 3 of the module); None if there is none."""
    for marked in (boxed_answer(completion), tagged_answer(completion)):
        if marked is not None:
            return parse_number(marked)
    return parse_number(completion.rpartition("####")[2])


def numeric_match(reference: str, completion: str, *, relative_tolerance: float = 0.0) -> Reward:
    """1 if the completion's number equals the reference's, else 0.

    Args:
        reference: the right answer, read by the same rule ("#### 1,200" is 1200).
        completion: the whole text of the model.
        relative_tolerance: allowed |difference| / |reference|; 0 asks for the exact rational (1/3 is not 0.333).

    Raises:
        AlignError: the reference holds no number, or the tolerance is below 0.
    """
    check_not_negative(relative_tolerance=relative_tolerance)
    expected = answer_number(reference)
    if expected is None:
        raise AlignError(f"reference={reference[:80]!r} holds no number; use exact_match")
    given = answer_number(completion)
    if given is None:
        return Reward(0.0, "no number in the completion")
    if abs(given - expected) <= abs(expected) * Fraction(relative_tolerance):
        return Reward(1.0, "the number is right")
    return Reward(0.0, "the number is wrong")
