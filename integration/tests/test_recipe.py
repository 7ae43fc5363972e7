import dataclasses

import pytest
from octad.errors import OctadError
from octad.recipe import Recipe
from octad.recipe_files import load_recipe, recipe_from, recipe_to_toml, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipe_survives_being_written_and_read(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe))
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def test_written_recipe_quotes_odd_text(tmp_path):
    recipe = load_recipe(
        "quickstart", ['corpus.source="a \\"b\\" é\\\\c"', "shards.weights={prose = 2, 'my kind' = 0.5}"]
    )
    assert recipe.corpus.source == 'a "b" é\\c'
    assert recipe.shards.weights == {"prose": 2.0, "my kind": 0.5}
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe))
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def test_override_takes_toml_values_and_bare_words():
    recipe = load_recipe("quickstart", ["corpus.source=my/notes", "model.sizes=[[64, 2]]", "sft.seconds=5"])
    assert recipe.corpus.source == "my/notes"
    assert recipe.model.sizes == ((64, 2),)
    assert recipe.sft.seconds == 5.0
    assert isinstance(recipe.sft.seconds, float)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pretrain.learnin_rate=1", ["pretrain.learnin_rate", "did you mean pretrain.learning_rate"]),
        ("pretrian.seconds=1", ["pretrian", "did you mean pretrain"]),
        ("pretrain.seconds=fast", ["pretrain.seconds", "'fast'", "float"]),
        ("tokenizer.vocab_size=100", ["tokenizer.vocab_size", "100", "259"]),
        ("tokenizer.vocab_size=1e3", ["tokenizer.vocab_size", "int"]),
        ("model.sizes=[[96, 4, 2]]", ["model.sizes"]),
        ("model.sizes=[[100, 4]]", ["100", "multiple of 64"]),
        ("corpus.held_out=true", ["corpus.held_out", "True"]),
        ("pretrain=3", ["pretrain", "table"]),
        ("name.x=3", ["name is a value"]),
        ("seed", ["name=value"]),
        ("pretrain.learning_rate=nan", ["pretrain.learning_rate"]),
    ],
)
def test_bad_override_is_named_with_the_rule(override, words):
    with pytest.raises(OctadError) as error:
        load_recipe("quickstart", [override])
    assert all(word in str(error.value) for word in words), str(error.value)


def test_missing_recipe_names_the_shipped_ones(tmp_path):
    with pytest.raises(OctadError, match="quickstart"):
        load_recipe(tmp_path / "none.toml")


def test_text_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(OctadError, match=r"bad\.toml is not TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_every_field_is_reached_from_toml():
    defaults = dataclasses.asdict(Recipe())
    assert recipe_from(defaults) == Recipe()
