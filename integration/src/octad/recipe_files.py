"""Recipes as TOML: reading with overrides, an error that names the closest field, and writing the resolved recipe back.

recipe = load_recipe("quickstart", overrides=["pretrain.seconds=60", "corpus.source=my/notes"])
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octad.errors import OctadError
from octad.recipe import Recipe


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with this package."""
    folder = importlib.resources.files("octad") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the file `name`, or the shipped one of that name, with `a.b=value` overrides in TOML's spelling.

    Raises:
        OctadError: there is no such recipe, it is not TOML, a key is unknown, or a value is of the wrong type or range.
    """
    values = _read(name)
    for override in overrides:
        _override(values, override)
    return recipe_from(values, where=str(name))


def recipe_from(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A Recipe from nested mappings; unknown keys and wrong types are errors that name the field."""
    return typing.cast(Recipe, _build(Recipe, values, where, ""))


def recipe_to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `load_recipe` reads back to an equal recipe."""
    tables = dataclasses.asdict(recipe)
    top = [f"{key} = {_toml(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    lines = [*top]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def toml_string(text: str) -> str:
    r"""The text as a basic string of TOML: JSON's, but with characters beyond ASCII as they are and DEL escaped.

    Raises:
        OctadError: it holds what UTF-8 cannot say, such as a file name in another encoding.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OctadError(f"{text!r} is not UTF-8, which a recipe must be; rename the file or folder") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OctadError(f"{path} is not a recipe: it is not UTF-8 text ({error.reason})") from error


def _read(name: str | Path) -> dict[str, Any]:
    shipped = shipped_recipes()
    path = Path(name)
    if str(name) in shipped and not path.is_file():
        text = (importlib.resources.files("octad") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        text = _text(path)
    else:
        raise OctadError(f"{name}: no such file, and no shipped recipe of that name; shipped: {', '.join(shipped)}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OctadError(f"{name} is not TOML: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise OctadError(f"--set {override}: write it as name=value, such as --set pretrain.seconds=60")
    *tables, last = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise OctadError(f"--set {override}: {table} is a value, not a table")
    try:
        values[last] = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text.strip()  # a bare word: --set corpus.source=my/notes


def _build(cls: type, values: Mapping[str, Any], where: str, prefix: str) -> Any:
    known = {f.name for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise OctadError(f"{where}: unknown key {prefix}{key}; {hint}")
    return cls(**{key: _convert(hints[key], value, where, prefix + key) for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise OctadError(f"{where}: {name} = {value!r}; it is a table: [{name}]")
        return _build(typing.cast(type, hint), value, where, name + ".")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(_convert(kind, item, where, name) for kind, item in zip(kinds, value, strict=True))
    elif origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], item, where, f"{name}.{key}") for key, item in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    elif isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    expected = hint.__name__ if isinstance(hint, type) and origin is None else str(hint)
    raise OctadError(f"{where}: {name} = {value!r}; it must be {expected}")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_string(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return toml_string(value)
    return json.dumps(value) if isinstance(value, bool) else repr(value)
