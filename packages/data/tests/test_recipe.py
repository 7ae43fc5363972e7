import subprocess
import sys
from pathlib import Path

import pytest
from octad_data import DataError, Recipe, TokenShards, preset_names
from octad_data.near_duplicate_step import NearDuplicates
from octad_data.recipe import Batching, Tokens, fingerprint
from octad_data.rules import Rules


def test_every_preset_is_a_recipe() -> None:
    assert {"c4", "dclm", "fineweb", "gopher", "standard-library"} <= set(preset_names())
    for name in preset_names():
        recipe = Recipe.load(name)
        assert recipe.name == name and (recipe.steps or recipe.sources)


def test_a_file_names_sources_steps_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'name = "mine"\n[[source]]\nuse = "files"\npath = "data/*.txt"\n'
        '[[step]]\nuse = "rules"\npreset = "gopher"\nat_least = {"gopher.words" = 10}\n'
        '[[step]]\nuse = "near_duplicates"\nthreshold = 1\n[tokens]\nseed = 3\n[batching]\ndocuments = 7\n'
    )
    recipe = Recipe.load(tmp_path / "r.toml", {"step.1.bands": 8, "tokens.shuffle": False})
    assert recipe.sources[0].path == (str(tmp_path / "data/*.txt"),)  # type: ignore[attr-defined]
    assert recipe.steps == (
        Rules(preset=("gopher",), at_least={"gopher.words": 10}),
        NearDuplicates(threshold=1.0, bands=8),
    )
    assert recipe.tokens == Tokens(seed=3, shuffle=False) and recipe.batching == Batching(documents=7)


def test_a_recipe_extends_a_preset() -> None:
    recipe = Recipe.from_table({"extends": "gopher", "name": "mine", "step": [{"use": "keep", "query": "true"}]})
    assert [type(step).__name__ for step in recipe.steps] == ["Rules", "NearDuplicates", "Keep"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"steps": []}, "unknown key 'steps'; did you mean 'step'"),
        ({"step": [{"use": "rulez", "preset": "gopher"}]}, "unknown step 'rulez'; did you mean 'rules'"),
        ({"step": [{"preset": "gopher"}]}, "step 1: use is missing"),
        ({"step": [{"use": "rules"}]}, "preset is missing"),
        ({"step": [{"use": "rules", "preset": "gopher", "languge": "en"}]}, "did you mean 'language'"),
        ({"step": [{"use": "near_duplicates", "threshold": "high"}]}, "'high' is str, not float"),
        ({"step": [{"use": "near_duplicates", "threshold": 2.0}]}, r"threshold=2.0 is not in"),
        ({"step": [{"use": "nowhere.to:Be"}]}, "cannot be imported"),
        ({"tokens": {"seed": -1}}, "seed=-1 is negative"),
        ({"batching": {"documents": 0}}, "documents=0 is not positive"),
        ({"extends": "nothing"}, "no recipe: nothing"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Recipe.from_table(table)


def test_changes_name_what_they_cannot_find(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no '7' in a list of 2"):
        Recipe.load("gopher", {"step.7.threshold": 1})
    (tmp_path / "broken.toml").write_text("a = [")
    with pytest.raises(DataError, match="not TOML"):
        Recipe.load(tmp_path / "broken.toml")


def test_fingerprints_follow_values() -> None:
    assert fingerprint(NearDuplicates(), (1, "a")) == fingerprint(NearDuplicates(), (1, "a"))
    different = {fingerprint(step) for step in (NearDuplicates(), NearDuplicates(seed=1), Rules(("c4",)), "x", 1, [1])}
    assert len(different) == 6


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "octad_data", *arguments], capture_output=True, text=True)


def test_one_command_makes_a_shard_and_shows_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "out"
    changes = ("--set", 'source.0.kind="prose"')
    done = command("run", "standard-library", "-o", str(out), *changes, "--workers", "0")
    assert done.returncode == 0, done.stderr
    shards = TokenShards(out / "tokens")
    shards.verify()
    assert shards.num_tokens > 1_000_000 and (out / "report.html").exists()
    assert "kept" in command("show", str(out)).stdout
    assert command("dropped", str(out)).returncode == 0
    assert command("export", str(out), str(tmp_path / "all.jsonl.gz")).returncode == 0
    assert (tmp_path / "all.jsonl.gz").stat().st_size > 100_000
    again = command("run", "standard-library", "-o", str(out), *changes, "--workers", "0")
    assert again.returncode == 0 and " documents, " not in again.stderr  # everything was there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "no recipe: nothing"),
        (("run", "gopher"), "has no sources"),
        (("run", "gopher", "--set", "name"), "give name=value"),
        (("run", "gopher", "--engine", "spark"), 'engine "spark" is not known'),
        (("show", "nowhere"), "no finished run: nowhere"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = command(*arguments)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_lists_of_presets_and_steps() -> None:
    assert "fineweb: DetectLanguage > Rules > NearDuplicates" in command("presets").stdout
    listed = command("steps").stdout
    assert 'use = "near_duplicates"' in listed and "threshold = 0.79" in listed


def test_no_public_name_is_hidden_by_a_module() -> None:
    import pkgutil

    import octad_data

    modules = {module.name for module in pkgutil.iter_modules(octad_data.__path__)}
    assert not modules & set(octad_data.__all__)
    assert all(getattr(octad_data, name) is not None for name in octad_data.__all__)
