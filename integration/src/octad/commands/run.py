"""`octad run`: a recipe, or a run folder to continue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def run(
    recipe: str,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    set_: Annotated[list[str] | None, Parameter(name=["--set", "-s"])] = None,
    until: str = "",
) -> None:
    """Carry out a recipe, or continue a run.

    Finished stages whose inputs have not changed are skipped; a stage that was stopped goes on from its last good
    checkpoint.

    Parameters
    ----------
    recipe
        A TOML file, the name of a shipped recipe, or the folder of a run to continue.
    out
        The run's folder; without it `runs/NAME`.
    set_
        Change a value of the recipe, in TOML's spelling: `--set pretrain.seconds=60`. May be repeated.
    until
        Stop after this stage.
    """
    from octad.errors import OctadError
    from octad.recipe_files import load_recipe, shipped_recipes

    folder = Path(recipe)
    is_run = folder.is_dir() and not (recipe in shipped_recipes() and not (folder / "run.json").exists())
    if is_run and out is not None:
        raise OctadError(f"{recipe} is a run to continue where it is; leave --out away")
    resolved = None if is_run else load_recipe(recipe, set_ or [])  # an error in it is told before torch is loaded

    from octad.main_job import carry_out
    from octad.run_folder import RunFolder

    if resolved is None:
        carry_out(RunFolder(folder).recipe(set_ or []), folder, until)
    else:
        carry_out(resolved, out or Path("runs") / resolved.name, until)
