"""How long a chat template may run and how much text it may make, on the way as well as at the end.

Each turn of a loop and each call of a macro, method or filter asks the clock; between two of them nothing can take
longer than a pass over `max_chars` characters. For that, what could make a text much longer than its parts (repetition,
replacement, joining, padding, formatting) says its size before it happens, and containers are weighed as if they were
written out: `[x, x]` of `[x, x]` of ... weighs what it would print.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

_LARGEST_NUMBER = 100_000
_LARGEST_INDENT = 64
_TEXT_ON_THE_WAY = 4
_PADDED = re.compile(r"[0-9]{5,}|\*")

REMOVED_FILTERS = ("urlize", "xmlattr", "striptags", "pprint")
"""Filters that no chat needs and whose cost we cannot tell."""


class LimitError(Exception):
    """A template ran too long, or made too much text."""


class Budget:
    """What one rendering may use.

    Args:
        max_chars: limit for each text, and a quarter of the limit for all of them together.
        timeout_s: seconds.
    """

    def __init__(self, max_chars: int, timeout_s: float) -> None:
        self.max_chars, self.timeout_s = max_chars, timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._spent = 0

    def tick(self) -> None:
        """Ask the clock."""
        if time.monotonic() > self._deadline:
            raise LimitError(f"it ran longer than timeout_s={self.timeout_s}; raise it or simplify the template")

    def spend(self, num_chars: int) -> None:
        """Count text that is written, be it into a variable."""
        self._spent += num_chars
        if self._spent > _TEXT_ON_THE_WAY * self.max_chars:
            raise LimitError(
                f"it wrote more than {_TEXT_ON_THE_WAY} * max_chars={self.max_chars} characters on the way"
            )

    def allow(self, num_chars: int) -> None:
        """Refuse a text or a list of this size before it is made."""
        if num_chars > self.max_chars:
            raise LimitError(f"{num_chars} characters at once are not allowed: more than max_chars={self.max_chars}")

    def weigh(self, *values: Any) -> int:
        """The characters of values written out, at least; an error as soon as they are too many."""
        total, todo = 0, list(values)
        while todo:
            value = todo.pop()
            if isinstance(value, (str, bytes)):
                total += len(value)
            elif isinstance(value, Mapping):
                total += 2 * len(value)
                self.allow(total)
                todo += [*value.keys(), *value.values()]
            elif isinstance(value, (list, tuple, set, frozenset)):
                total += len(value)
                self.allow(total)
                todo += value
            elif isinstance(value, int):
                total += 1 + value.bit_length() // 4
            else:
                total += 1
                todo += value._Namespace__attrs.values() if type(value).__name__ == "Namespace" else ()
            self.allow(total)
        return total


_BUDGET: ContextVar[Budget] = ContextVar("octad_chat_budget")


def run_with(budget: Budget, parts: Callable[[], Iterator[str]]) -> str:
    """The text of a template whose parts are made under `budget`; at most `max_chars` of it."""
    token = _BUDGET.set(budget)
    try:
        written, size = [], 0
        for part in parts():
            size += len(part)
            if size > budget.max_chars:
                raise LimitError(f"it wrote more than max_chars={budget.max_chars}; raise it or shorten the messages")
            written.append(part)
        return "".join(written)
    finally:
        _BUDGET.reset(token)


class CountedLoop:
    """What a loop goes through; each turn asks the clock and counts the text that stands in the loop's body."""

    def __init__(self, values: Iterable[Any], num_chars: int) -> None:
        self._values, self._num_chars = values, num_chars

    def __iter__(self) -> Iterator[Any]:
        budget = _BUDGET.get()
        for value in self._values:
            budget.tick()
            budget.spend(self._num_chars)
            yield value


class SizedLoop(CountedLoop):
    """The same where the number of turns is known, which `loop.length` and `loop.last` use."""

    def __len__(self) -> int:
        return len(self._values)  # type: ignore[arg-type]


def counted_loop(values: Iterable[Any], num_chars: int) -> CountedLoop:
    """The values of a `for`, counted."""
    return (SizedLoop if isinstance(values, Collection) else CountedLoop)(values, num_chars)


def joined(*values: Any) -> str:
    """`a ~ b ~ c`."""
    _BUDGET.get().weigh(*values)
    return "".join(map(str, values))


def weighed(value: Any) -> Any:
    """A list, tuple or dict that the template wrote, if it is not too large."""
    _BUDGET.get().weigh(value)
    return value


def written(value: Any) -> Any:
    """What stands in `{{ }}`, counted."""
    budget = _BUDGET.get(None)
    if budget is not None:
        budget.spend(budget.weigh(value))
    return value


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Refuse what grows without bound: long repetitions, huge numbers, padded formats, `**`."""
    budget = _BUDGET.get()
    if operator == "**":
        raise LimitError("** is not allowed in a chat template")
    if operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, (str, bytes, list, tuple)) and isinstance(times, int):
                budget.allow(len(sequence) * times)
        if isinstance(left, int) and isinstance(right, int):
            budget.allow(left.bit_length() + right.bit_length())
    if operator == "+" and isinstance(left, (str, bytes, list, tuple)) and isinstance(right, Collection):
        budget.allow(len(left) + len(right))
    if operator == "%" and isinstance(left, (str, bytes)):
        _check_format(budget, left, "%", right)


def checked_call(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments, unless the clock or a method that would make a text much longer than its parts forbids it.

    What `str.join` is to join becomes a list, so that it can be weighed.
    """
    budget = _BUDGET.get()
    budget.tick()
    inner = getattr(function, "__wrapped__", function)  # the sandbox wraps str.format
    owner, name = getattr(inner, "__self__", None), getattr(inner, "__name__", "")
    if function is dict or name == "Namespace":
        budget.weigh(args, kwargs)
    if not isinstance(owner, (str, bytes, int)) and owner not in (str, bytes):
        return args
    if name == "join" and args:
        args = (_listed(budget, args[0]), *args[1:])
    _check_numbers((*args, *kwargs.values()))
    if name in ("translate", "maketrans"):
        raise LimitError(f"str.{name} is not allowed in a chat template")
    if isinstance(owner, (str, bytes)):
        _check_method(budget, owner, name, args, kwargs)
    return args


def _check_method(
    budget: Budget, owner: str | bytes, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    if name == "replace" and len(args) >= 2:
        _check_replace(budget, owner, args[0], args[1])
    elif name == "join" and args:
        budget.allow(budget.weigh(args[0]) + len(owner) * len(args[0]) if isinstance(args[0], Collection) else 0)
    elif name == "expandtabs":
        width = args[0] if args and isinstance(args[0], int) else 8
        budget.allow(len(owner) * max(1, width))
    elif name in ("format", "format_map"):
        _check_format(budget, owner, "{", (args, kwargs))


def guarded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that asks the clock, and says its size before it runs."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        budget = _BUDGET.get()
        budget.tick()
        first = int(getattr(function, "jinja_pass_arg", None) is not None)
        if name == "join" and len(args) > first:
            args = (*args[:first], _listed(budget, args[first]), *args[first + 1 :])
        values = args[first:]
        options = [*values[1:], *kwargs.values()]
        _check_numbers(options)
        if values:
            _check_filter(budget, name, values[0], options)
        result = function(*args, **kwargs)
        if isinstance(result, (str, bytes, list, tuple)):
            budget.allow(len(result))
        return result

    return run


def _check_filter(budget: Budget, name: str, value: Any, options: list[Any]) -> None:
    if name in ("tojson", "string", "safe", "escape", "e", "forceescape", "format", "replace", "indent", "wordwrap"):
        weight = budget.weigh(value)
        if name == "replace" and len(options) >= 2:
            _check_replace(budget, str(value), str(options[0]), str(options[1]))
        elif name == "format":
            _check_format(budget, str(value), "%", options)
        elif name in ("indent", "wordwrap"):
            widest = max([1, *(len(option) for option in options if isinstance(option, str))])
            numbers = [option for option in options if isinstance(option, int)] if name == "indent" else []
            budget.allow((1 + str(value).count("\n") if name == "indent" else weight) * max([widest, *numbers]))
        elif name == "tojson" and any(isinstance(option, int) and option > _LARGEST_INDENT for option in options):
            raise LimitError(f"tojson(indent=...) of more than {_LARGEST_INDENT} is not allowed in a chat template")
    elif name == "join":
        separators = [len(option) for option in options if isinstance(option, str)]
        budget.allow(budget.weigh(value) + max([0, *separators]) * (len(value) if isinstance(value, Collection) else 0))
    elif name == "sum" and any(not isinstance(option, (int, float, str, type(None))) for option in options):
        raise LimitError("sum adds numbers in a chat template, not lists")


def _listed(budget: Budget, values: Any) -> Any:
    """A generator's values as a list, as long as they are not too many."""
    if isinstance(values, Collection) or not isinstance(values, Iterable):
        return values
    found, size = [], 0
    for value in values:
        size += budget.weigh(value)
        budget.allow(size)
        found.append(value)
    return found


def _check_replace(budget: Budget, text: Any, old: Any, new: Any) -> None:
    if isinstance(old, type(text)) and isinstance(new, type(text)):
        budget.allow(len(text) + text.count(old) * len(new))


def _check_format(budget: Budget, text: str | bytes, sign: str, values: Any) -> None:
    source = text if isinstance(text, str) else text.decode("latin-1")
    if _PADDED.search(source):
        raise LimitError("a format pads to a width that is not allowed in a chat template")
    numbers = values if isinstance(values, (list, tuple)) else [values]
    _check_numbers(numbers)
    budget.allow(len(source) + source.count(sign) * (budget.weigh(values) + 10_000 * bool(re.search(r"\d{4}", source))))


def _check_numbers(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
            raise LimitError(f"{value:.3e} as an argument is not allowed in a chat template; {_LARGEST_NUMBER} is")
