"""Decisions as data: a rule bounds a column, a preset is a list of rules, a dropped row names the one that it broke."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.step import DROPPED_BY, drop
from octad_data.toml_values import closest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rule:
    """at_least <= column <= at_most, or the row goes.

    Attributes:
        name: what a dropped row says.
        column: of numbers.
        at_least: smallest value that stays.
        at_most: largest value that stays.
    """

    name: str
    column: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise DataError(f"rule {self.name} bounds nothing; give at_least or at_most")

    def breaks(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values are outside the bounds; what is not a number is."""
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return ~((values >= low) & (values <= high))


def _gopher() -> tuple[Rule, ...]:
    """Rae et al. 2021, table A1, quality."""
    return (
        Rule("gopher.words", "true_words", 50, 100_000),
        Rule("gopher.word_length", "mean_word_length", 3, 10),
        Rule("gopher.hashes", "symbol_hash_ratio", at_most=0.1),
        Rule("gopher.ellipses", "symbol_ellipsis_ratio", at_most=0.1),
        Rule("gopher.bullet_lines", "bullet_line_ratio", at_most=0.9),
        Rule("gopher.ellipsis_lines", "ellipsis_line_ratio", at_most=0.3),
        Rule("gopher.letter_words", "letter_word_ratio", at_least=0.8),
        Rule("gopher.stop_words", "stop_words", at_least=2),
    )


def _gopher_repetition() -> tuple[Rule, ...]:
    """Rae et al. 2021, table A1, repetition."""
    lines = (
        ("repeated_paragraph_ratio", 0.3),
        ("repeated_paragraph_share", 0.2),
        ("repeated_line_ratio", 0.3),
        ("repeated_line_share", 0.2),
    )
    top = ((2, 0.2), (3, 0.18), (4, 0.16))
    repeated = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    columns = (
        *lines,
        *((f"top_{n}gram_share", share) for n, share in top),
        *((f"repeated_{n}gram_share", share) for n, share in repeated),
    )
    return tuple(Rule(f"gopher.{column}", column, at_most=share) for column, share in columns)


def _c4() -> tuple[Rule, ...]:
    """Raffel et al. 2020, section 2.2; `c4_lines` also takes the lines out that these rules do not count."""
    return (
        Rule("c4.lorem_ipsum", "c4_lorem_ipsum", at_most=0),
        Rule("c4.curly_bracket", "c4_curly_bracket", at_most=0),
        Rule("c4.sentences", "c4_sentences", at_least=5),
    )


def _fineweb() -> tuple[Rule, ...]:
    """Penedo et al. 2024, section 3.5: what FineWeb adds."""
    return (
        Rule("fineweb.marked_lines", "marked_line_ratio", at_least=0.12),
        Rule("fineweb.short_lines", "short_line_ratio", at_most=0.67),
        Rule("fineweb.repeated_lines", "repeated_full_line_share", at_most=0.01),
        Rule("fineweb.new_lines", "new_line_ratio", at_most=0.3),
    )


def _redpajama() -> tuple[Rule, ...]:
    """Bounds that the authors of RedPajama-v2 suggest for their signals (Weber et al. 2024, table of Gopher rules)."""
    return (
        Rule("redpajama.words", "true_words", 50, 100_000),
        Rule("redpajama.word_length", "mean_word_length", 3, 10),
        Rule("redpajama.unique_words", "unique_word_ratio", at_least=0.1),
        Rule("redpajama.entropy", "word_entropy", at_least=3),
        Rule("redpajama.capitals", "capitals_word_ratio", at_most=0.3),
        Rule("redpajama.sentences", "sentences", at_least=2),
    )


PRESETS: Mapping[str, tuple[Rule, ...]] = {
    "gopher": _gopher(),
    "gopher_repetition": _gopher_repetition(),
    "c4": _c4(),
    "fineweb": _fineweb(),
    "redpajama": _redpajama(),
}


def first_broken(
    columns: Mapping[str, NDArray[np.float64]], rules: Sequence[Rule]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row the number of the first rule that it breaks, -1 where it breaks none, and the value that did it.

    Raises:
        DataError: a rule's column is missing.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    broken, value = np.full(rows, -1, dtype=np.int64), np.full(rows, np.nan)
    for number, rule in enumerate(rules):
        if rule.column not in columns:
            raise DataError(f"rule {rule.name} needs the column {rule.column!r}; {closest(rule.column, columns)}")
        values = columns[rule.column]
        is_first = rule.breaks(values) & (broken < 0)
        broken[is_first], value[is_first] = number, values[is_first]
    return broken, value


def costs(columns: Mapping[str, NDArray[np.float64]], rules: Sequence[Rule]) -> dict[str, tuple[int, int]]:
    """For each rule how many rows break it, and how many break it alone: what it costs, and what only it finds."""
    breaks = np.stack([rule.breaks(columns[rule.column]) for rule in rules]) if rules else np.zeros((0, 0), dtype=bool)
    alone = breaks.sum(axis=0) == 1
    return {rule.name: (int(row.sum()), int((row & alone).sum())) for rule, row in zip(rules, breaks, strict=True)}


@dataclass(frozen=True)
class Rules:
    """Drops rows by the rules of presets; computes the signals that they need where the batch has none.

    Attributes:
        preset: of `gopher`, `gopher_repetition`, `c4`, `fineweb`, `redpajama`, in this order.
        without: names of rules that do not count.
        at_least: other lower bounds, by the rule's name.
        at_most: other upper bounds, by the rule's name.
        language: for the signals, see `Signals`.
        keep_signals: leave the signals in the batch.
    """

    preset: tuple[str, ...]
    without: tuple[str, ...] = ()
    at_least: Mapping[str, float] | None = None
    at_most: Mapping[str, float] | None = None
    language: str = "en"
    keep_signals: bool = False

    def __post_init__(self) -> None:
        for name in self.preset:
            if name not in PRESETS:
                raise DataError(f"unknown preset {name!r}; {closest(name, PRESETS)}")
        names = dict.fromkeys(rule.name for name in self.preset for rule in PRESETS[name])
        for name in (*self.without, *(self.at_least or ()), *(self.at_most or ())):
            if name not in names:
                raise DataError(f"no rule {name!r} in {', '.join(self.preset)}; {closest(name, names)}")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that count, with the bounds given."""
        lows, highs = self.at_least or {}, self.at_most or {}
        return tuple(
            Rule(rule.name, rule.column, lows.get(rule.name, rule.at_least), highs.get(rule.name, rule.at_most))
            for name in self.preset
            for rule in PRESETS[name]
            if rule.name not in self.without
        )

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with broken rows marked."""
        from octad_data.signals import FAMILIES, Signals

        rules = self.rules
        missing = {rule.column for rule in rules} - set(batch.schema.names)
        families = tuple(family for family, names in FAMILIES.items() if missing & set(names))
        with_signals = Signals(self.language, families)(batch) if families else batch
        marked = mark(with_signals, rules)
        return marked if self.keep_signals or not families else _only(marked, batch.schema.names)


def mark(batch: "pa.RecordBatch", rules: Sequence[Rule]) -> "pa.RecordBatch":
    """The batch with each row dropped by the first rule that it breaks."""
    columns = {
        name: batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
        for name in {rule.column for rule in rules} & set(batch.schema.names)
    }
    broken, value = first_broken(columns, rules)
    for number in np.unique(broken[broken >= 0]).tolist():
        batch = drop(batch, broken == number, rules[number].name, value)
    return batch


@dataclass(frozen=True)
class Keep:
    """Keeps the rows for which a condition over the columns holds.

    Attributes:
        query: an SQL condition, as `true_words >= 50 and language = 'en'`; of text there are also `text` and `id`.
        name: what a dropped row says.
    """

    query: str
    name: str = "keep"

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the other rows marked; a row for which the condition is null goes.

        Raises:
            DataError: the condition is no SQL, or names a column that is not there.
        """
        import duckdb
        import pyarrow as pa

        rows = pa.Table.from_batches([batch])
        try:
            with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
                connection.register("rows", rows)
                found = connection.sql(f"select coalesce(({self.query}), false) as stays from rows").fetchnumpy()
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"keep: {self.query!r}: {reason}; columns: {', '.join(batch.schema.names)}") from None
        return drop(batch, ~np.asarray(found["stays"], dtype=np.bool_), self.name)


def _only(batch: "pa.RecordBatch", names: Iterable[str]) -> "pa.RecordBatch":
    wanted = [*names, *(name for name in (DROPPED_BY, "dropped_value") if name not in set(names))]
    return batch.select(wanted)
