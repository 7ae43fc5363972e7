"""`octad quickstart`: the main job on the text that every machine has, or on a person's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def quickstart(
    *,
    corpus: Annotated[Path | None, Parameter(name=["--corpus", "-c"])] = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    set_: Annotated[list[str] | None, Parameter(name=["--set", "-s"])] = None,
) -> None:
    """From raw text to a chatting, evaluated model, in minutes on two CPU cores and without a network.

    Parameters
    ----------
    corpus
        A file or folder of text, HTML, PDF or JSON lines; without it, this Python's standard library.
    out
        The run's folder; without it `runs/quickstart`.
    set_
        Change a value of the recipe, in TOML's spelling: `--set pretrain.seconds=60`. May be repeated.
    """
    from octad.recipe_files import load_recipe, toml_string

    overrides = [*(set_ or [])]
    if corpus is not None:
        overrides.insert(0, f"corpus.source={toml_string(source(corpus))}")
    recipe = load_recipe("quickstart", overrides)  # an error in it is told before torch is loaded

    from octad.main_job import carry_out

    carry_out(recipe, out or Path("runs") / "quickstart")


def source(corpus: Path) -> str:
    """The corpus as a recipe names it: absolute, so that the run can be continued from another folder."""
    is_name = str(corpus) == "standard-library" or str(corpus).startswith("hub:")
    return str(corpus if is_name and not corpus.exists() else corpus.expanduser().absolute())
