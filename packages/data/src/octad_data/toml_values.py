"""Frozen dataclasses from the tables of a TOML file: one field a key, one clear error for a wrong one."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from octad_data.errors import DataError

Value = TypeVar("Value")


def from_table(cls: type[Value], table: Mapping[str, Any], where: str) -> Value:
    """An instance of a dataclass whose fields are the keys of a table.

    Lists become tuples, whole numbers serve as floats, a single value serves as a tuple of one.

    Args:
        cls: its fields are plain: str, int, float, bool, tuples of these, mappings, or one of these or None.
        table: as `tomllib` reads it.
        where: the table's place, for the messages (`step 3, use = "rules"`).

    Raises:
        DataError: a key that is no field (the closest one is named), a value of another type, a field left out.
    """
    known: dict[str, Field[Any]] = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    for key in table:
        if key not in known:
            raise DataError(f"{where}: unknown key {key!r}; {closest(key, known)}")
    for name, field in known.items():
        if name not in table and field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{where}: {name} is missing; give {name} = ...")
    values = {key: _value(value, hints[key], f"{where}: {key}") for key, value in table.items()}
    try:
        return cls(**values)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def closest(name: str, known: Mapping[str, Any]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"


def _value(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        options = [option for option in arguments if option is not NoneType]
        for option in options:
            try:
                return _value(value, option, where)
            except DataError:
                if option is options[-1]:
                    raise
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_value(item, arguments[0], where) for item in items)
    if origin is not None or hint is Any:
        return value  # mappings and the like are checked by the class itself
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise DataError(f"{where} = {value!r} is {type(value).__name__}, not {hint.__name__}")
    return value
