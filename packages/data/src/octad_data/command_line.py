"""The commands of `octad-data`; each imports what it needs when it is called."""

import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from octad_data.errors import DataError

app = App(
    name="octad-data",
    help="From files and web pages to token shards, with the reason for every dropped document.",
    suppress_keyboard_interrupt=False,
    help_format="markdown",
)


@app.command
def run(
    recipe: str,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("octad-data-run"),
    source: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    change: Annotated[tuple[str, ...], Parameter(name=["--set"], consume_multiple=True, negative=())] = (),
    workers: int | None = None,
    memory_mb: int = 0,
    engine: str = "local",
) -> None:
    """Carry out a recipe, or go on with a run that was stopped.

    Args:
        recipe: a TOML file, or a preset (see `octad-data presets`).
        out: folder of the run; the same folder again goes on where it was left.
        source: files, folders or patterns in place of the recipe's own sources.
        change: `tokens.tokenizer="tokenizer.json"`, `step.2.threshold=0.8`: a value of the recipe, as TOML.
        workers: processes; one a core when not given.
        memory_mb: of all workers together; 0 is no limit.
        engine: `local`, or `ray` for a cluster.
    """
    from octad_data.engine import Processes
    from octad_data.engine import run as run_recipe
    from octad_data.inputs import Files
    from octad_data.progress import Bar
    from octad_data.recipe import Recipe
    from octad_data.run_report import write_report
    from octad_data.summary import summary

    changes = dict(_change(text) for text in change)
    if source:
        changes["source"] = [{"use": "files", "path": list(source)}]
    loaded = Recipe.load(recipe, changes)
    if source:
        loaded = loaded.from_sources(Files(source))  # from where the command was given, not from the recipe's folder
    if engine == "ray":
        from octad_data.ray_engine import RayData

        chosen: Any = RayData()
    elif engine == "local":
        chosen = Processes(memory_mb=memory_mb) if workers is None else Processes(workers, memory_mb)
    else:
        raise DataError(f'engine "{engine}" is not known; use local or ray')
    bar = Bar()
    try:
        result = run_recipe(loaded, out, chosen, bar)
    except KeyboardInterrupt:
        bar.console.print(f"stopped; the same command goes on where it was: {' '.join(_quoted(sys.argv))}")
        raise
    write_report(result, out / "report.html")
    bar.console.print(summary(result))
    bar.console.print(f"what every rule cost, with samples: {out / 'report.html'}", highlight=False)


@app.command
def report(folder: Path, to: Path | None = None) -> None:
    """Write the page of a run again: what every rule cost, with samples.

    Args:
        folder: of the run.
        to: the HTML file; `report.html` in the folder when not given.
    """
    from octad_data.engine import finished_run
    from octad_data.run_report import write_report

    write_report(finished_run(folder), to or folder / "report.html")


@app.command
def show(folder: Path) -> None:
    """What a run kept, and what every rule cost.

    Args:
        folder: of the run.
    """
    from rich.console import Console

    from octad_data.engine import finished_run
    from octad_data.summary import summary

    Console().print(summary(finished_run(folder)))


@app.command
def dropped(folder: Path, rule: str = "", *, limit: int = 5, width: int = 300) -> None:
    """Documents that a rule dropped, with the number that broke it.

    Args:
        folder: of the run.
        rule: its name, or the beginning of it; every rule when not given.
        limit: documents a rule.
        width: characters of each text.
    """
    from rich.console import Console

    from octad_data.engine import finished_run
    from octad_data.summary import samples

    console = Console()
    for line in samples(finished_run(folder), rule, limit, width):
        console.print(line, markup=False, highlight=False)


@app.command
def export(folder: Path, to: Path) -> None:
    """Kept documents as one file: .jsonl, .jsonl.gz or .parquet.

    Args:
        folder: of the run.
        to: the file.
    """
    from octad_data.engine import finished_run
    from octad_data.export import export_documents

    export_documents(finished_run(folder), to)


@app.command
def train_classifier(
    labels: Path, to: Path, *, config: str = "quality", text: str = "text", label: str = "label", folds: int = 5
) -> None:
    """Train a classifier on labelled texts, and say how good it is on texts that it did not see.

    Args:
        labels: .jsonl, .csv or .tsv, also packed by gzip.
        to: the model's file, .npz; a recipe names it in `use = "score"`.
        config: `quality` or `toxicity`.
        text: the column of texts.
        label: the column of labels.
        folds: of the cross-validation; 0 leaves it out.
    """
    from rich.console import Console

    from octad_data import classifier_training as training
    from octad_data.labelled import read_labelled

    texts, wanted = read_labelled(labels, text, label)
    console = Console()
    if folds:
        found = training.cross_validate(texts, wanted, config, folds=folds, repeats=1)
        console.print(found, highlight=False)
    console.print(f"written: {training.train_classifier(texts, wanted, config).save(to)}", highlight=False)


@app.command
def presets() -> None:
    """The recipes that come with the package, and their steps."""
    from rich.console import Console

    from octad_data.recipe import Recipe, preset_names

    for name in preset_names():
        recipe = Recipe.load(name)
        steps = " > ".join(type(step).__name__ for step in recipe.steps) or "no steps"
        Console().print(f"{name}: {steps}", highlight=False)


@app.command
def steps() -> None:
    """The steps that a recipe may name, and their fields."""
    from dataclasses import MISSING, fields

    from rich.console import Console

    from octad_data import registry

    console = Console()
    for name in sorted(registry.STEPS):
        cls = registry.find(name, registry.STEPS, "step")
        console.print(f'use = "{name}"', style="bold", highlight=False)
        console.print(f"    {(cls.__doc__ or '').strip().splitlines()[0]}", highlight=False, markup=False)
        for field in fields(cls):
            default = "(must be given)" if field.default is MISSING else f"= {field.default!r}"
            console.print(f"    {field.name} {default}", highlight=False, markup=False)


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise DataError(f"--set {text}: give name=value, as step.0.threshold=0.8")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value  # a string without its quotes


def _quoted(arguments: list[str]) -> list[str]:
    import shlex

    return [Path(arguments[0]).name, *(shlex.quote(argument) for argument in arguments[1:])]
