"""The operations: how each draws its operands, and what the answer is.

Symbols are single lower-case letters, single digits and a few short words, and a symbol always follows a space: a
byte-pair tokenizer then sees every item as one token, and a small model need not learn to spell first. The only
numbers of two digits are those of `next_number` and `previous_number`, and sums above 9.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from octad_align.tasks.task import Operands

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
DIGITS = tuple("0123456789")
WORDS = ("cat", "dog", "sun", "red", "tree", "fish", "bird", "book", "rain", "star", "blue", "milk")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: its name.
        draw: (generator, number of items) -> operands.
        solve: operands -> the answer.
    """

    name: str
    draw: Callable[[Random, int], Operands]
    solve: Callable[[Operands], str]


def _distinct(rng: Random, size: int) -> tuple[str, ...]:
    """Letters three times out of four, digits otherwise; no item twice."""
    return tuple(rng.sample(LETTERS if rng.randrange(4) else DIGITS, size))


def _with_repeats(rng: Random, size: int) -> tuple[str, ...]:
    """Letters from a pool of about half the size, so that some occur more than once."""
    pool = rng.sample(LETTERS, size // 2 + 1)
    return tuple(rng.choice(pool) for _ in range(size))


def _items(rng: Random, size: int) -> Operands:
    return Operands(items=_distinct(rng, size))


def _letters(rng: Random, size: int) -> Operands:
    return Operands(items=tuple(rng.sample(LETTERS, size)))


def _capitals(rng: Random, size: int) -> Operands:
    return Operands(items=tuple(letter.upper() for letter in rng.sample(LETTERS, size)))


def _digits(rng: Random, size: int) -> Operands:
    return Operands(items=tuple(rng.sample(DIGITS, size)))


def _nth(rng: Random, size: int) -> Operands:
    return Operands(items=_distinct(rng, size), x=ORDINALS[rng.randrange(1, size)])


def _count(rng: Random, size: int) -> Operands:
    items = _with_repeats(rng, size)
    return Operands(items=items, x=rng.choice(items))


def _remove(rng: Random, size: int) -> Operands:
    while len(set(items := _with_repeats(rng, size))) == 1:  # something must be left
        pass
    return Operands(items=items, x=rng.choice(items))


def _replace(rng: Random, size: int) -> Operands:
    items = _with_repeats(rng, size)
    new = rng.choice([letter for letter in LETTERS if letter not in items])
    return Operands(items=items, x=rng.choice(items), y=new)


def _contains(rng: Random, size: int) -> Operands:
    pool = LETTERS if rng.randrange(4) else DIGITS
    items = tuple(rng.sample(pool, size))
    outside = [item for item in pool if item not in items]
    return Operands(items=items, x=rng.choice(items if rng.randrange(2) else outside))


def _repeat(rng: Random, size: int) -> Operands:
    return Operands(x=rng.choice((*WORDS, *LETTERS)), y=str(size))


def _number(rng: Random, size: int) -> Operands:
    return Operands(x=str(rng.randrange(1, 99)))


def _two_lists(rng: Random, size: int) -> Operands:
    split = rng.randrange(1, size)
    items = tuple(rng.sample(LETTERS, size))
    return Operands(items=items[:split], other=items[split:])


def _two_digits(rng: Random, size: int) -> Operands:
    return Operands(x=rng.choice(DIGITS), y=rng.choice(DIGITS))


def _two_different_digits(rng: Random, size: int) -> Operands:
    x, y = rng.sample(DIGITS, 2)
    return Operands(x=x, y=y)


def _swap_ends(o: Operands) -> str:
    return " ".join((o.items[-1], *o.items[1:-1], o.items[0]))


_TABLE = (
    Operation("reverse", _items, lambda o: " ".join(reversed(o.items))),
    Operation("first", _items, lambda o: o.items[0]),
    Operation("last", _items, lambda o: o.items[-1]),
    Operation("nth", _nth, lambda o: o.items[ORDINALS.index(o.x)]),
    Operation("sort_letters", _letters, lambda o: " ".join(sorted(o.items))),
    Operation("sort_digits", _digits, lambda o: " ".join(sorted(o.items))),
    Operation("largest", _digits, lambda o: max(o.items)),
    Operation("smallest", _digits, lambda o: min(o.items)),
    Operation("uppercase", _letters, lambda o: " ".join(o.items).upper()),
    Operation("lowercase", _capitals, lambda o: " ".join(o.items).lower()),
    Operation("remove", _remove, lambda o: " ".join(item for item in o.items if item != o.x)),
    Operation("replace", _replace, lambda o: " ".join(o.y if item == o.x else item for item in o.items)),
    Operation("count", _count, lambda o: str(o.items.count(o.x))),
    Operation("length", _items, lambda o: str(len(o.items))),
    Operation("contains", _contains, lambda o: "yes" if o.x in o.items else "no"),
    Operation("repeat", _repeat, lambda o: " ".join([o.x] * int(o.y))),
    Operation("next_number", _number, lambda o: str(int(o.x) + 1)),
    Operation("previous_number", _number, lambda o: str(int(o.x) - 1)),
    Operation("join", _two_lists, lambda o: " ".join(o.items + o.other)),
    Operation("add", _two_digits, lambda o: str(int(o.x) + int(o.y))),
    Operation("larger", _two_different_digits, lambda o: max(o.x, o.y)),
    Operation("swap_ends", _items, _swap_ends),
)
OPERATIONS = {operation.name: operation for operation in _TABLE}
ALL_OPERATIONS = tuple(OPERATIONS)
