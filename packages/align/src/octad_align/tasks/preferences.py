"""Preference pairs: the right answer against one that is wrong in a way a model would be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from octad_align.errors import AlignError
from octad_align.tasks.operations import OPERATIONS
from octad_align.tasks.task import Operands, Task
from octad_align.tasks.verify import canonical_answer


@dataclass(frozen=True)
class PreferencePair:
    """A chosen and a rejected answer to one prompt.

    Attributes:
        prompt: the instruction.
        chosen: the right answer.
        rejected: a wrong one, never equal to `chosen` as an answer.
        corruption: what was done: swapped_neighbours, missing_item, doubled_item, off_by_one, wrong_item,
            wrong_operation or opposite.
        operation: the task's operation.

    Raises:
        AlignError: both answers are the same.
    """

    prompt: str
    chosen: str
    rejected: str
    corruption: str
    operation: str

    def __post_init__(self) -> None:
        if canonical_answer(self.chosen) == canonical_answer(self.rejected):
            raise AlignError(f"rejected={self.rejected!r} is the same answer as chosen={self.chosen!r}")


def preference_pairs(tasks: Sequence[Task], seed: int) -> tuple[PreferencePair, ...]:
    """Make one pair a task, in the order of the tasks.

    Args:
        tasks: from `generate_tasks`; a task without operands is corrupted from its answer alone.
        seed: decides the corruptions.
    """
    rng = Random(seed)
    return tuple(_pair(task, rng) for task in tasks)


def _pair(task: Task, rng: Random) -> PreferencePair:
    right = canonical_answer(task.answer)
    wrong: dict[str, list[str]] = {}
    for corruption, answer in _corruptions(task, right):
        if canonical_answer(answer) not in (right, ()):
            wrong.setdefault(corruption, []).append(answer)
    # first the kind, then the answer: a kind with many answers is not the more frequent for it
    corruption = rng.choice(list(wrong))
    return PreferencePair(task.prompt, task.answer, rng.choice(wrong[corruption]), corruption, task.operation)


def _corruptions(task: Task, right: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Candidates (kind, wrong answer); some may happen to be right, and at least one is not."""
    yield from _of_list(right) if len(right) > 1 else _of_single(right[0], task.operands)
    if task.operands != Operands() and task.operation in OPERATIONS:
        yield from (("wrong_operation", answer) for answer in _other_operations(task.operation, task.operands))


def _of_list(right: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for i in range(len(right)):
        yield "missing_item", " ".join(right[:i] + right[i + 1 :])
        yield "doubled_item", " ".join((*right[: i + 1], *right[i:]))
        if i:
            yield "swapped_neighbours", " ".join((*right[: i - 1], right[i], right[i - 1], *right[i + 1 :]))


def _of_single(right: str, operands: Operands) -> Iterator[tuple[str, str]]:
    if right in ("yes", "no"):
        yield "opposite", "no" if right == "yes" else "yes"
        return
    if right in operands.items:
        position = operands.items.index(right)
        for neighbour in (position - 1, position + 1):
            if 0 <= neighbour < len(operands.items):
                yield "wrong_item", operands.items[neighbour]
        return
    if right.isdecimal():
        yield "off_by_one", str(int(right) + 1)
        if int(right) > 0:
            yield "off_by_one", str(int(right) - 1)
        return
    yield "doubled_item", f"{right} {right}"


def _other_operations(operation: str, operands: Operands) -> Iterator[str]:
    """What operations of the same kind of operands would answer."""
    lists = ("reverse", "swap_ends", "sort_letters")
    singles = ("first", "last")
    for family in (lists, singles):
        if operation in family:
            yield from (OPERATIONS[name].solve(operands) for name in family if name != operation)
    if operation in ("largest", "smallest"):
        yield OPERATIONS["smallest" if operation == "largest" else "largest"].solve(operands)
    if operation in (*lists, "sort_digits", "uppercase", "lowercase", "remove", "replace"):
        yield " ".join(operands.items)  # the list as it was
    if operation == "sort_digits":
        yield " ".join(sorted(operands.items, reverse=True))
    if operation == "larger":
        yield min(operands.x, operands.y)
    if operation == "join":
        yield " ".join(operands.other + operands.items)
