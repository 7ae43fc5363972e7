"""The main job: from raw text to a chatting, evaluated model, stage by stage."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from octad.errors import OctadError
from octad.pipeline import Context, Stage, execute
from octad.processes import Processes
from octad.recipe import Recipe
from octad.reporter import Reporter, duration
from octad.run_folder import RunFolder


def stages() -> list[Stage]:
    """All stages in order; importing them imports torch."""
    from octad.report import make_report
    from octad.stages.corpus import make_corpus
    from octad.stages.dpo import dpo
    from octad.stages.evaluate import evaluate
    from octad.stages.grpo import grpo
    from octad.stages.plan import make_plan
    from octad.stages.pretrain import pretrain
    from octad.stages.sft import sft
    from octad.stages.shards import make_shards
    from octad.stages.tokenizer import make_tokenizer

    return [
        Stage("corpus", (), lambda r: r.corpus, make_corpus),
        Stage("tokenizer", ("corpus",), lambda r: [r.tokenizer, r.shards], make_tokenizer),
        Stage("shards", ("tokenizer",), lambda r: None, make_shards),
        Stage("plan", ("shards",), lambda r: [r.model, r.plan, r.pretrain, r.shards], make_plan),
        Stage("pretrain", ("plan",), lambda r: None, pretrain, is_distributed=True),
        Stage("sft", ("pretrain",), lambda r: r.sft, sft, is_distributed=True),
        Stage("dpo", ("sft",), lambda r: r.dpo, dpo, is_distributed=True),
        Stage("grpo", ("dpo",), lambda r: r.grpo, grpo, is_distributed=True),
        Stage("evaluate", ("grpo",), lambda r: r.evaluate, evaluate, version=2),
        Stage("report", ("evaluate",), lambda r: None, make_report),
    ]


def carry_out(recipe: Recipe, path: Path, until: str = "") -> None:
    """Run the recipe in the folder `path` up to the stage `until` (or to the end), and say what to do next."""
    everything = stages()
    names = [stage.name for stage in everything]
    if until and until not in names:
        raise OctadError(f"--until {until}: there is no such stage; there are {', '.join(names)}")
    processes, start = Processes(recipe), time.monotonic()
    reporter = Reporter(is_silent=not processes.is_main)
    folder = processes.on_main(lambda: RunFolder.create(path, recipe))
    context = Context(recipe, folder, reporter, processes)
    chosen = everything[: names.index(until) + 1] if until else everything
    reporter.note(f"{recipe.name} in {path}")
    if processes.is_main:
        with folder.locked():
            execute(chosen, context)
    else:
        execute(chosen, context)
    reporter.note(f"{duration(time.monotonic() - start)} in all")
    if chosen[-1].name == "report" and processes.is_main:
        show(folder)


def show(folder: RunFolder) -> None:
    """The table of results on the standard output, and what to do next."""
    from rich.console import Console

    from octad.report import print_results

    print_results(Console(), folder)
    print(f"report  {folder.path / 'report.html'}")  # noqa: T201 - the result of the command
    print(f"talk    octad chat {shlex.quote(str(folder.path))}")  # noqa: T201
