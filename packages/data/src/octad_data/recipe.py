"""A recipe: where documents come from, what is done to them in which order, and what is written."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from octad_data import registry
from octad_data.errors import DataError
from octad_data.inputs import Source
from octad_data.step import Barrier, Step
from octad_data.toml_values import closest, from_table

PRESETS = "presets"  # the folder of this package that holds them


@dataclass(frozen=True)
class Batching:
    """How a source is cut into batches, the unit of work and of what is redone after a crash.

    Attributes:
        documents: at most so many raw records a batch.
        megabytes: a batch ends with the record that reaches this size.
    """

    documents: int = 1000
    megabytes: int = 16

    def __post_init__(self) -> None:
        for name in ("documents", "megabytes"):
            if getattr(self, name) < 1:
                raise DataError(f"{name}={getattr(self, name)} is not positive; use {getattr(Batching, name)}")


@dataclass(frozen=True)
class Tokens:
    """What becomes of the kept documents as tokens.

    Attributes:
        tokenizer: `bytes`, or the path of a `tokenizer.json`.
        separator: the token that ends each document; the tokenizer's own end of text where empty.
        shuffle: documents in an order chosen by the seed over the whole corpus, not in that of the sources.
        seed: of the order.
        shard_tokens: at most so many tokens a shard file.
    """

    tokenizer: str = "bytes"
    separator: str = ""
    shuffle: bool = True
    seed: int = 0
    shard_tokens: int = 1 << 28

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DataError(f"seed={self.seed} is negative; use 0 or more")
        if self.shard_tokens < 1:
            raise DataError(f"shard_tokens={self.shard_tokens} is not positive; 2**28 gives files of 512 MB")


@dataclass(frozen=True)
class Recipe:
    """Sources, steps and what is written, each a value; `name` is only for people.

    Attributes:
        sources: read in this order.
        steps: done in this order. A `Barrier` waits for all documents.
        batching: of the sources.
        tokens: None where no shards are wanted.
    """

    sources: tuple[Source, ...]
    steps: tuple[Step | Barrier, ...] = ()
    name: str = "recipe"
    batching: Batching = field(default_factory=Batching)
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        is_clean = False
        for step in self.steps:
            is_clean = is_clean or type(step).__name__ == "Decontaminate"
            if getattr(step, "needs_decontamination", False) and not is_clean:
                raise DataError(
                    f"{type(step).__name__} draws towards a target; put decontaminate against its test split before it"
                )

    @classmethod
    def load(cls, path: Path | str, changes: Mapping[str, Any] | None = None) -> "Recipe":
        """A recipe from a TOML file, or a preset by its name (`fineweb`, see `preset_names`).

        Args:
            path: of the file; relative paths inside it are relative to its folder.
            changes: values that replace those of the file, by dotted key: `{"tokens.tokenizer": "bytes"}`,
                `{"step.2.threshold": 0.8}` (the first step is 0).

        Raises:
            DataError: the file is missing or no TOML, or says something that is not known.
        """
        text, folder = _recipe_text(path)
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"not TOML: {path}: {error}") from None
        for key, value in (changes or {}).items():
            _set(table, key, value)
        return cls.from_table(table, folder)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], folder: Path | None = None) -> "Recipe":
        """A recipe from the tables of a TOML file; `extends = "fineweb"` takes a preset's steps first.

        Raises:
            DataError: an unknown key, source or step, or a wrong value.
        """
        table = dict(table)
        base = table.pop("extends", None)
        if base is not None:
            table = _extended(tomllib.loads(_recipe_text(base)[0]), table)
        known = dict.fromkeys(("name", "source", "step", "batching", "tokens"))
        for key in table:
            if key not in known:
                raise DataError(f"recipe: unknown key {key!r}; {closest(key, known)}")
        sources = tuple(_made(row, registry.SOURCES, "source", n) for n, row in enumerate(table.get("source", ())))
        steps = tuple(_made(row, registry.STEPS, "step", n) for n, row in enumerate(table.get("step", ())))
        if folder is not None:
            sources = tuple(source.relative_to(folder) for source in sources)
        return cls(
            sources,
            steps,
            table.get("name", "recipe"),
            from_table(Batching, table.get("batching", {}), "[batching]"),
            from_table(Tokens, table["tokens"], "[tokens]") if "tokens" in table else None,
        )

    def to_json(self) -> str:
        """Everything that was asked for, for a reader; classes are named where TOML names them by `use`."""
        return json.dumps(
            {
                "name": self.name,
                "source": [_shown(source) for source in self.sources],
                "step": [_shown(step) for step in self.steps],
                "batching": asdict(self.batching),
                "tokens": None if self.tokens is None else asdict(self.tokens),
            },
            indent=2,
            default=str,
        )

    def from_sources(self, *sources: Source) -> "Recipe":
        """The same steps on other documents."""
        return replace(self, sources=sources)


def preset_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _presets() if file.name.endswith(".toml"))


def fingerprint(*parts: Any) -> str:
    """64 bits in hex, the same for values that are equal when written out; dataclasses count with their class."""
    return hashlib.sha256(json.dumps([_written(part) for part in parts]).encode()).hexdigest()[:16]


def _written(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return [f"{type(value).__module__}:{type(value).__qualname__}", repr(sorted(asdict(value).items()))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_written(item) for item in value]
    return repr(value)


def _shown(value: Any) -> dict[str, Any]:
    return {"class": f"{type(value).__module__}:{type(value).__qualname__}", **asdict(value)}


def _presets() -> list[Any]:
    return list(resources.files("octad_data").joinpath(PRESETS).iterdir())


def _recipe_text(path: Path | str) -> tuple[str, Path | None]:
    file = Path(path)
    try:
        return file.read_text(encoding="utf-8"), file.parent
    except (OSError, UnicodeDecodeError) as error:
        preset = resources.files("octad_data").joinpath(PRESETS, f"{path}.toml")
        if preset.is_file():
            return preset.read_text(encoding="utf-8"), None
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(
            f"no recipe: {path} ({reason}); give a TOML file or one of {', '.join(preset_names())}"
        ) from None


def _extended(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """The base with the table laid over it: sources replaced, steps put after the base's, other tables merged."""
    merged = {**base, **{key: value for key, value in table.items() if not isinstance(value, dict | list)}}
    for key, value in table.items():
        if isinstance(value, dict):
            merged[key] = {**base.get(key, {}), **value}
        elif isinstance(value, list):
            merged[key] = [*base.get(key, ()), *value] if key == "step" else value
    return merged


def _made(row: Mapping[str, Any], known: Mapping[str, str], what: str, number: int) -> Any:
    row = dict(row)
    use = row.pop("use", None)
    if not isinstance(use, str):
        raise DataError(f"{what} {number + 1}: use is missing; give use = one of {', '.join(sorted(known))}")
    return from_table(registry.find(use, known, what), row, f'{what} {number + 1}, use = "{use}"')


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = table
    for name in path:
        try:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        except (ValueError, IndexError):
            raise DataError(f"{key}: there is no {name!r} in a list of {len(place)}; count from 0") from None
    if isinstance(place, list):
        raise DataError(f"{key}: {last!r} names no table; use step.0.{last}")
    place[last] = value
