import numpy as np
import pytest
from octad_data import DataError, Document
from octad_data.rules import PRESETS, Keep, Rule, Rules, costs, first_broken
from octad_data.signals import signal_names
from octad_data.step import apply, to_batch

TEXTS = {
    "good": "".join(
        f"The {a}nimals of the {b}ountain went to see that {c}eople, and with the {d} that they have to be there.\n"
        for a, b, c, d in zip("abcdefgh", "ijklmnop", "qrstuvwx", "yzabcdef", strict=True)
    ),
    "short": "Too few words.",
    "bullets": "\n".join(f"- the interesting item of number {n} and that one" for n in range(20)),
    "symbols": "the of and " + "# " * 60 + "word " * 60,
}


def batch() -> object:
    return to_batch(Document(text, name, "s") for name, text in TEXTS.items())


def test_every_preset_names_signals_that_exist() -> None:
    names = {rule.name for rules in PRESETS.values() for rule in rules}
    assert len(names) == sum(map(len, PRESETS.values()))
    assert {rule.column for rules in PRESETS.values() for rule in rules} <= set(signal_names())


def test_a_dropped_row_names_the_first_rule_and_its_number() -> None:
    kept, dropped = apply([Rules(preset=("gopher",))], batch())
    assert kept.column("id").to_pylist() == ["good"]
    reasons = {row["id"]: (row["dropped_by"], row["dropped_value"]) for part in dropped for row in part.to_pylist()}
    assert reasons["short"] == ("gopher.words", 3.0)
    assert reasons["bullets"] == ("gopher.bullet_lines", 1.0)
    assert reasons["symbols"][0] == "gopher.hashes" and reasons["symbols"][1] == pytest.approx(60 / 123)
    assert "true_words" not in kept.schema.names


def test_bounds_can_be_moved_and_rules_left_out() -> None:
    steps = Rules(preset=("gopher",), without=("gopher.bullet_lines",), at_least={"gopher.words": 2}, keep_signals=True)
    kept, _ = apply([steps], batch())
    assert set(kept.column("id").to_pylist()) == {"good", "bullets"}
    assert "true_words" in kept.schema.names
    for wrong in ({"preset": ("gofer",)}, {"preset": ("c4",), "without": ("c4.sentence",)}):
        with pytest.raises(DataError, match="did you mean"):
            Rules(**wrong)  # type: ignore[arg-type]


def test_what_a_rule_costs() -> None:
    columns = {"a": np.array([1.0, 5, 9, np.nan]), "b": np.array([1.0, 9, 9, 1])}
    rules = [Rule("low", "a", at_least=2), Rule("high", "b", at_most=5)]
    assert costs(columns, rules) == {"low": (2, 2), "high": (2, 2)}
    broken, value = first_broken(columns, rules)
    assert broken.tolist() == [0, 1, 1, 0] and value[:3].tolist() == [1.0, 9.0, 9.0]
    with pytest.raises(DataError, match="bounds nothing"):
        Rule("none", "a")
    with pytest.raises(DataError, match="needs the column 'c'"):
        first_broken(columns, [Rule("c", "c", at_most=1)])


def test_keep_is_a_query_over_the_columns() -> None:
    kept, dropped = apply([Keep(query="length(text) > 20 and id <> 'symbols'", name="mine")], batch())
    assert kept.column("id").to_pylist() == ["good", "bullets"]
    assert {row["dropped_by"] for part in dropped for row in part.to_pylist()} == {"mine"}
    with pytest.raises(DataError, match="keep: 'beauty > 1'"):
        Keep(query="beauty > 1")(batch())
    with pytest.raises(DataError, match="keep:"):
        Keep(query="id in (select * from read_csv('/etc/passwd'))")(batch())
