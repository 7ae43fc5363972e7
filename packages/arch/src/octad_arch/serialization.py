"""Specifications as JSON: any value made of frozen dataclasses, tuples, enums and named functions, written and read.

    RMSNorm()    {"class": "RMSNorm", "eps": 1e-06, "gain": true}
    silu         {"function": "silu"}
    (a, b, a, b) [{"repeat": 2, "of": [a, b]}]

A part is named as `octad_arch` exports it, or by its module and name within the package. Nothing else is ever imported
or called: a part from elsewhere must be registered by the program that reads.
"""

import difflib
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar

from .errors import ArchError, require

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What `json.dumps` writes."""

Part = TypeVar("Part", bound=Callable[..., Any])
_PACKAGE = __name__.rpartition(".")[0]
_registered: dict[str, Any] = {}


def register_part(part: Part) -> Part:
    """Let specifications name a frozen dataclass, an enum or a function from outside `octad_arch`; a decorator.

    Raises:
        ArchError: the name is taken, or the part is of another kind.
    """
    require(_is_part(part), f"{part!r} is no frozen dataclass, enum or function; a specification holds only those")
    name = part.__name__
    taken = _registered.get(name, _public().get(name))
    require(taken is None or taken is part, f"the name {name!r} belongs to {taken!r}; give {part!r} another")
    _registered[name] = part
    return part


def to_json(value: object) -> Json:
    """The value as data that `json.dumps` writes and `from_json` turns into an equal value.

    Args:
        value: None, a number, a string, a tuple, a frozen dataclass, an enum's member or a function.

    Raises:
        ArchError: anything else, or a part that neither belongs to `octad_arch` nor is registered.
    """
    if isinstance(value, Enum):
        return {"enum": f"{_name_of(type(value))}.{value.name}"}
    if value is None or type(value) in (bool, int, str):
        return value  # type: ignore[return-value]  # mypy does not narrow by type()
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is tuple:
        return _repeated([to_json(item) for item in value])
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return {"function": _name_of(value)}
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: to_json(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"class": _name_of(type(value))} | given
    raise ArchError(f"{value!r} ({type(value).__name__}) has no JSON form; use a frozen dataclass, a tuple or a number")


def from_json(data: object) -> Any:
    """The value that `to_json` wrote; a field that is missing takes its default.

    Raises:
        ArchError: an unknown part or field, with the nearest that there is; a field missing that has no default.
    """
    if isinstance(data, Mapping):
        return _from_object(data)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return tuple(item for entry in data for item in _items(entry))
    return data


def _items(entry: object) -> Iterator[Any]:
    if isinstance(entry, Mapping) and "repeat" in entry:
        count, block = entry["repeat"], entry.get("of")
        require(type(count) is int and count > 0, f"repeat={count!r} must be a whole number above 0")
        require(isinstance(block, Sequence), f"repeat={count!r} needs a list named 'of'")
        yield from from_json(block) * count
    else:
        yield from_json(entry)


def _from_object(data: Mapping[str, Any]) -> Any:
    match dict(data):
        case {"class": str(name), **arguments}:
            return _construct(_find(name, "class"), name, arguments)
        case {"function": str(name)}:
            return _find(name, "function")
        case {"enum": str(name)}:
            kind, _, member = name.rpartition(".")
            members = _find(kind, "enum").__members__
            require(member in members, f"{name!r} is unknown{_nearest(member, list(members))}")
            return members[member]
        case {"float": str(number)}:
            return float(number)
    raise ArchError(f'{dict(data)!r} names no "class", "function" or "enum"')


def _construct(part: type, name: str, arguments: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(part) if field.init}
    for argument in arguments:
        require(argument in known, f"{name} has no field {argument!r}{_nearest(argument, sorted(known))}")
    try:
        return part(**{argument: from_json(value) for argument, value in arguments.items()})
    except TypeError as error:
        raise ArchError(f"{name} cannot be built from {sorted(arguments)}: {error}") from error


def _repeated(items: list[Json]) -> Json:
    """The list with each run of equal blocks of objects written once; the longest saving first, from the left."""
    texts = [json.dumps(item) if isinstance(item, dict) else None for item in items]  # 1, 1.0 and True are not one
    written: list[Json] = []
    start = 0
    while start < len(items):
        best, width = 0, 1
        for size in range(1, (len(items) - start) // 2 + 1):
            equal = _run(texts, start, size)
            if equal > best:
                best, width = equal, size
        if best:
            count = 1 + best // width
            written.append({"repeat": count, "of": items[start : start + width]})
            start += count * width
        else:
            written.append(items[start])
            start += 1
    return written


def _run(texts: Sequence[str | None], start: int, size: int) -> int:
    """How many items after the block at `start` repeat it, in whole blocks."""
    block, end = texts[start : start + size], start + size
    if None in block:
        return 0
    while texts[end : end + size] == block:
        end += size
    return end - start - size


def _is_part(part: object) -> bool:
    if isinstance(part, type):
        return issubclass(part, Enum) or (is_dataclass(part) and part.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return isinstance(part, FunctionType | BuiltinFunctionType)


def _public() -> Mapping[str, Any]:
    """The parts that `octad_arch` exports."""
    package = sys.modules[_PACKAGE]
    return {name: part for name in package.__all__ if _is_part(part := getattr(package, name))}


def _name_of(part: Any) -> str:
    name = part.__name__
    if _registered.get(name) is part or _public().get(name) is part:
        return str(name)
    module = part.__module__ or ""
    if module.startswith(_PACKAGE + ".") and _is_part(part) and getattr(sys.modules[module], name, None) is part:
        return f"{module.removeprefix(_PACKAGE + '.')}.{name}"
    raise ArchError(
        f"{part!r} has no name that a reader could find; define it in a module and call register_part on it"
    )


def _find(name: str, kind: str) -> Any:
    part = _registered.get(name) or _public().get(name)
    module, _, inner = name.rpartition(".")
    if part is None and module and all(step.isidentifier() for step in module.split(".")):
        path = f"{_PACKAGE}.{module}"
        try:
            part = getattr(importlib.import_module(path), inner, None)
        except ModuleNotFoundError as error:
            raise ArchError(f"{name!r} is unknown: {error}") from error
        part = part if _is_part(part) and getattr(part, "__module__", None) == path else None
    fits = {"class": is_dataclass(part), "enum": isinstance(part, type) and issubclass(part, Enum)}
    is_kind = fits.get(kind, not isinstance(part, type))
    if part is None or not is_kind:
        known = sorted({*_registered, *_public()})
        raise ArchError(
            f"{kind} {name!r} is not part of {_PACKAGE} nor registered (register_part){_nearest(name, known)}"
        )
    return part


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.0)
    return f"; the nearest is {close[0]!r}" if close else ""
