"""Draws tasks, with training and held-out operands apart by construction."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from random import Random

from octad_align.checks import check_choice
from octad_align.errors import AlignError
from octad_align.tasks.operations import ALL_OPERATIONS, OPERATIONS, Operation
from octad_align.tasks.phrasings import PHRASINGS, render
from octad_align.tasks.task import Operands, Task

SPLITS = ("train", "held_out")
HELD_OUT_SHARE = 8  # one key in eight
MIN_ITEMS, MAX_ITEMS = 2, 6
# the last unseen prompt of a space of k is missed with probability exp(-draws / k): 2e-9 for k = 1000, and the spaces
# that run out (sums, neighbours of a number, repeated words) hold a few hundred
_DRAWS_BEFORE_EXHAUSTED = 20_000


def split_of(operation: str, operands: Operands) -> str:
    """Split that owns (operation, operands): a hash decides, so every seed and every machine agrees.

    Returns:
        "held_out" for one key in eight, else "train".
    """
    key = repr((operation, operands.items, operands.other, operands.x, operands.y))
    digest = blake2b(key.encode(), digest_size=8).digest()
    return "held_out" if int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0 else "train"


def generate_tasks(
    seed: int,
    n: int,
    *,
    operations: Sequence[str] = ALL_OPERATIONS,
    split: str = "train",
    num_items: tuple[int, int] = (MIN_ITEMS, MAX_ITEMS),
) -> tuple[Task, ...]:
    """Draw n tasks with n different prompts, the operations in turn.

    No (operation, operands) of one split occurs in the other under any phrasing, and so no prompt does either.
    An operation whose tasks are all used up (single-digit sums, say) is left out of the turns from then on.

    Args:
        seed: same seed, same tasks; a larger n only adds tasks at the end.
        n: number of tasks, >= 0.
        operations: names from ALL_OPERATIONS, each once.
        split: `train` or `held_out`.
        num_items: least and greatest length of a list, within 2 to 6: the difficulty.

    Raises:
        AlignError: an argument is out of its range, or fewer than n tasks could be found.
    Cost: about 30 microseconds a task, and half a second for each operation that runs out.
    """
    _check(n, operations, split, num_items)
    rng = Random(seed)
    turns = [_endless(OPERATIONS[name], split, num_items, rng) for name in operations]
    tasks: list[Task] = []
    while len(tasks) < n:
        if not turns:
            raise AlignError(
                f"n={n} is more than the {len(tasks)} tasks found for {', '.join(operations)} in {split}; "
                "use a smaller n, more operations or a wider num_items"
            )
        for turn in tuple(turns):
            if len(tasks) == n:
                break
            task = next(turn, None)
            if task is None:
                turns.remove(turn)
            else:
                tasks.append(task)
    return tuple(tasks)


def _endless(operation: Operation, split: str, num_items: tuple[int, int], rng: Random) -> Iterator[Task]:
    """Tasks of one operation, none twice, until `_DRAWS_BEFORE_EXHAUSTED` draws in a row bring nothing new."""
    seen: set[str] = set()
    num_misses = 0
    while num_misses < _DRAWS_BEFORE_EXHAUSTED:
        operands = operation.draw(rng, rng.randint(*num_items))
        template = rng.randrange(len(PHRASINGS[operation.name]))
        prompt = render(operation.name, template, operands)
        if prompt in seen or split_of(operation.name, operands) != split:
            num_misses += 1
            continue
        num_misses = 0
        seen.add(prompt)
        yield Task(prompt, operation.solve(operands), operation.name, template, operands)


def _check(n: int, operations: Sequence[str], split: str, num_items: tuple[int, int]) -> None:
    if n < 0:
        raise AlignError(f"n={n} must be 0 or above")
    if isinstance(operations, str) or not operations or len(set(operations)) != len(operations):
        raise AlignError(f"operations={operations!r} must name at least one operation, each once, in a sequence")
    for name in operations:
        check_choice("operation", name, ALL_OPERATIONS)
    check_choice("split", split, SPLITS)
    low, high = num_items
    if not MIN_ITEMS <= low <= high <= MAX_ITEMS:
        raise AlignError(f"num_items={num_items} must be (low, high) with {MIN_ITEMS} <= low <= high <= {MAX_ITEMS}")
