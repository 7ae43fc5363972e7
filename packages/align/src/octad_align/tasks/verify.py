"""Judges an answer to a task."""

import re

from octad_align.tasks.task import Task
from octad_align.verifiers.exact import normalise
from octad_align.verifiers.reward import Reward

FORMAT_REWARD = 0.2


def canonical_answer(text: str) -> tuple[str, ...]:
    """Items of an answer: split at commas and white space, without a final period or quotes; yes and no in any case.

    "K, Q.", "K Q" and " K,Q " are one answer; "k q" is another, since case is what some tasks are about.
    """
    items = normalise(text, ignore_case=False).replace(",", " ").split()
    return tuple(item.lower() if item.lower() in ("yes", "no") else item for item in items)


def verify(task: Task, completion: str, *, graded: bool = False) -> Reward:
    """1 if the completion is the answer (`canonical_answer` of both agree), else 0.

    Args:
        task: the task.
        completion: the whole text that the model wrote, without its end token.
        graded: give 0.2 to a wrong answer of the right form: as many items as the answer has, each of the same
            kind (number, capital letter, small letter, word, yes or no). It gives a young policy some variance.
    """
    expected, given = canonical_answer(task.answer), canonical_answer(completion)
    if given == expected:
        return Reward(1.0, "exact match")
    has_form = len(given) == len(expected) and all(map(_same_kind, given, expected))
    if graded and has_form:
        return Reward(FORMAT_REWARD, "right form, wrong answer")
    return Reward(0.0, "wrong answer" if has_form else "wrong form")


def _same_kind(a: str, b: str) -> bool:
    return _kind(a) == _kind(b)


def _kind(item: str) -> str:
    if item in ("yes", "no"):
        return "yes or no"
    patterns = {"number": "[0-9]+", "small letter": "[a-z]", "capital letter": "[A-Z]", "word": "[A-Za-z]+"}
    return next((kind for kind, pattern in patterns.items() if re.fullmatch(pattern, item)), "other")
