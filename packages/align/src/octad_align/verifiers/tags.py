"""Answers marked by tags: <think>...</think><answer>...</answer>, and TeX's boxed."""

import re

from octad_align.errors import AlignError
from octad_align.verifiers.reward import Reward


def tagged_answer(completion: str, tag: str = "answer") -> str | None:
    """Text between <tag> and </tag>, stripped; None unless both stand there exactly once and in this order.

    Raises:
        AlignError: tag is not a word.
    """
    opening, closing = _marks(tag)
    if completion.count(opening) != 1 or completion.count(closing) != 1:
        return None
    start, end = completion.index(opening) + len(opening), completion.index(closing)
    return completion[start:end].strip() if start <= end else None


def boxed_answer(completion: str) -> str | None:
    r"""Text in the last \boxed{...}, with balanced braces; None if there is none or it never closes.

    Cost: linear in the text.
    """
    start = completion.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth = 1
    for position in range(start, len(completion)):
        depth += {"{": 1, "}": -1}.get(completion[position], 0)
        if depth == 0:
            return completion[start:position].strip()
    return None


def answer_format(completion: str, *, thinking: str | None = "think", answer: str = "answer") -> Reward:
    """1 if the completion is exactly <think>...</think> <answer>...</answer>, each once and not empty, else 0.

    Args:
        completion: the whole text of the model; white space around and between the parts is free.
        thinking: tag of the first part; None if there is to be none.
        answer: tag of the last part.

    Raises:
        AlignError: a tag is not a word.
    """
    rest = completion.strip()
    for tag in (thinking, answer) if thinking else (answer,):
        opening, closing = _marks(tag)
        if completion.count(opening) != 1 or completion.count(closing) != 1:
            return Reward(0.0, f"needs exactly one {opening} and one {closing}")
        if not rest.startswith(opening):
            return Reward(0.0, f"text before {opening}")
        inside, _, rest = rest.removeprefix(opening).partition(closing)
        if not inside.strip():
            return Reward(0.0, f"nothing between {opening} and {closing}")
        rest = rest.strip()
    return Reward(0.0, "text after the answer") if rest else Reward(1.0, "right format")


def _marks(tag: str) -> tuple[str, str]:
    if not re.fullmatch(r"\w+", tag):
        raise AlignError(f"tag={tag!r} must be one word of letters, digits and _; use 'answer'")
    return f"<{tag}>", f"</{tag}>"
