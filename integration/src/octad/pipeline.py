"""Stages in order: each is skipped when nothing that it depends on has changed, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from octad.errors import OctadError, disk_is_full
from octad.interruption import Stopped
from octad.processes import Processes
from octad.products import damage, describe
from octad.recipe import Recipe
from octad.reporter import Reporter, duration
from octad.run_folder import RunFolder, StageRecord


@dataclass(frozen=True)
class Stage:
    """One step of the main job.

    Attributes:
        needs: stages whose results it reads.
        settings: the part of the recipe that decides its result.
        run: does the work in `context.path(name)` and returns a summary that JSON can hold.
        is_distributed: every process takes part; otherwise the first works and the others wait.
        version: raised when the code changes what the same settings give.
    """

    name: str
    needs: tuple[str, ...]
    settings: Callable[[Recipe], object]
    run: Callable[[Context], Mapping[str, Any]]
    is_distributed: bool = False
    version: int = 1


@dataclass(frozen=True)
class Context:
    """What a stage is given: the recipe, the folder, a reporter, and the processes that work together."""

    recipe: Recipe
    folder: RunFolder
    reporter: Reporter
    processes: Processes
    stage: str = ""
    key: str = ""

    def path(self, stage: str = "") -> Path:
        """The sub-folder of `stage`, or of the stage that runs."""
        return self.folder.path / (stage or self.stage)

    def summary(self, stage: str) -> Mapping[str, Any]:
        """What an earlier stage found.

        Raises:
            OctadError: it is not finished.
        """
        record = self.folder.stage(stage)
        if record is None or not record.is_done:
            raise OctadError(f"{self.folder.path}: the stage {stage} is not finished; continue the run first")
        return record.summary


def stage_keys(stages: Sequence[Stage], recipe: Recipe) -> dict[str, str]:
    """For each stage the SHA-256 of all that decides its result: settings, seed, version, and the keys it builds on."""
    keys: dict[str, str] = {}
    for stage in stages:
        settings = stage.settings(recipe)
        plain = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else settings
        content = [stage.name, stage.version, recipe.seed, plain, [keys[need] for need in stage.needs]]
        keys[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True, default=asdict).encode()).hexdigest()
    return keys


def execute(stages: Sequence[Stage], context: Context) -> None:
    """Run every stage that is not done with its present key.

    Raises:
        OctadError: the disk is full; what was finished is kept.
    """
    keys = stage_keys(stages, context.recipe)
    try:
        if context.processes.is_main:
            context.folder.write_recipe(context.recipe)
        for stage in stages:
            _carry_out(stage, replace(context, stage=stage.name, key=keys[stage.name]))
    except (KeyboardInterrupt, Stopped):
        context.reporter.note(f"stopped; what is done is kept. To continue: {context.folder.command}")
        raise
    except Exception as error:
        if disk_is_full(error):
            raise OctadError(
                f"no space left on the disk of {context.folder.path.resolve()} ({error}). What is done is kept: "
                f"free some space, then continue: {context.folder.command}"
            ) from error
        raise


def _carry_out(stage: Stage, context: Context) -> None:
    processes, folder = context.processes, context.folder
    if not processes.on_main(partial(_must_run, stage, context)):
        return
    start, before = time.monotonic(), _seconds_so_far(context)
    processes.wait_for_everyone()
    summary: Mapping[str, Any] = {}
    if stage.is_distributed or processes.is_main:
        with context.reporter.stage(stage.name):
            summary = stage.run(context)
    if processes.is_main:
        seconds = round(before + time.monotonic() - start, 2)
        files = describe(context.path())
        folder.write_stage(stage.name, StageRecord(context.key, True, seconds, summary, _inputs(stage, folder), files))
        headline = str(summary.get("headline", ""))
        context.reporter.note(f"{stage.name:<10} {duration(seconds):>6}  {headline}")
    processes.wait_for_everyone()


def _must_run(stage: Stage, context: Context) -> bool:
    """Whether the stage has work left; prepares its folder. Called in the first process only."""
    name, folder, inputs = stage.name, context.folder, _inputs(stage, context.folder)
    record = folder.stage(name)
    if record is not None and record.key == context.key and record.inputs in ({}, inputs):
        if not record.is_done:
            context.reporter.note(f"{name}: continuing what was stopped")
            return True
        problem = damage(context.path(), record.files)
        if not problem:
            context.reporter.note(f"{name:<10}   done  {record.summary.get('headline', '')}")
            return False
        context.reporter.note(f"{name}: {problem}; making it again")
        folder.write_stage(name, replace(record, is_done=False))
        return True
    if moved := folder.set_aside(name):
        context.reporter.note(f"{name}: its inputs changed; what it made before is in {moved.relative_to(folder.path)}")
    folder.forget_metrics(name)
    folder.write_stage(name, StageRecord(context.key, False, 0.0, {}, inputs))
    return True


def _inputs(stage: Stage, folder: RunFolder) -> dict[str, str]:
    """The digest of what each stage that this one needs has made."""
    records = {need: folder.stage(need) for need in stage.needs}
    return {need: record.digest for need, record in records.items() if record is not None}


def _seconds_so_far(context: Context) -> float:
    record = context.folder.stage(context.stage)
    return record.seconds if record is not None else 0.0
