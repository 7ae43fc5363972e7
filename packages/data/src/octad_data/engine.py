"""Running a recipe batch by batch, on one machine or many, and going on where a run stopped.

A run is a folder:

    recipe.json                     what was asked for
    segments/0-3f2a.../part-*.parquet   what became of each batch: kept rows, then dropped ones with their rule
    segments/0-3f2a...-decisions/   what the barrier after it said of each kept row
    tokens/                         token shards, where the recipe wants them
    run.json                        written last

A segment's name holds the fingerprint of all that came before it, so that a changed recipe starts again at the first
step that differs, and a run that was killed goes on with the first batch that has no part.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from octad_data.errors import DataError
from octad_data.inputs import Source
from octad_data.parts import Counts, read_counts
from octad_data.progress import Progress, Silent
from octad_data.recipe import Recipe, Tokens, fingerprint
from octad_data.segment import Done, culprit_of, do
from octad_data.step import Barrier, Resources, Step
from octad_data.token_stage import TokenUnit, encoding_step, write_tokens
from octad_data.units import PartUnit, SourceUnit, Unit, write_text
from octad_data.workers import run_tasks

LOCK = ".lock"
RUN = "run.json"  # names the segments of a finished run
FORMAT = 1  # of a run's folder; part of every fingerprint


class Engine(Protocol):
    """Who does the batches."""

    def run(self, units: Sequence[Unit]) -> Iterator[Done]:
        """Do all batches of the units that are not done yet."""
        ...

    def resources(self, scratch: Path) -> Resources:
        """What a barrier may use."""
        ...


@dataclass(frozen=True)
class Processes:
    """Worker processes on this machine.

    Attributes:
        workers: processes; 0 does everything in this one.
        memory_mb: what a barrier may hold, and what a worker may, together with the others; 0 is no limit for the
            workers and half of the machine for a barrier.
        batch_timeout_s: after which a batch is taken from its worker and looked into.
    """

    workers: int = field(default_factory=lambda: _cores())
    memory_mb: int = 0
    batch_timeout_s: float = 600.0

    def __post_init__(self) -> None:
        if self.workers < 0 or self.memory_mb < 0 or self.batch_timeout_s <= 0:
            raise DataError(
                f"workers={self.workers}, memory_mb={self.memory_mb}, batch_timeout_s={self.batch_timeout_s}: "
                "give workers and memory >= 0 and a time > 0"
            )

    def run(self, units: Sequence[Unit]) -> Iterator[Done]:
        """The batches, each in a worker; one whose worker dies is looked into record by record."""
        works = (work for unit in units for work in unit.works())
        share = self.memory_mb // max(self.workers, 1)
        return run_tasks(
            do, works, self.workers, self.batch_timeout_s, lambda lost: culprit_of(lost.task, lost.reason), share
        )

    def resources(self, scratch: Path) -> Resources:
        """All workers' cores and memory."""
        return Resources(self.memory_mb or _half_of_memory_mb(), max(self.workers, 1), scratch)


@dataclass(frozen=True)
class Run:
    """What a finished run left.

    Attributes:
        folder: of the run.
        segments: the folders of parts, in order.
        counts: of each segment.
    """

    folder: Path
    segments: tuple[Path, ...]
    counts: tuple[Counts, ...]

    @property
    def parts(self) -> list[Path]:
        """The parts whose kept rows are the result, in the order of the sources."""
        return part_files(self.segments[-1])

    @property
    def documents(self) -> int:
        """Kept in the end."""
        return self.counts[-1].documents


def run(recipe: Recipe, folder: Path | str, engine: Engine | None = None, progress: Progress | None = None) -> Run:
    """Do what is not done yet of a recipe.

    Args:
        recipe: what to do.
        folder: of the run; made where it does not exist. The same folder again goes on where it was left.
        engine: `Processes()` when not given.
        progress: told what is being done.

    Raises:
        DataError: a source is missing, a step refused, another run uses the folder, the disk is full. Parts that were
            written stay and are used by the next run.
    """
    engine, progress, folder = engine or Processes(), progress or Silent(), Path(folder)
    if not recipe.sources:
        raise DataError(f"recipe {recipe.name} has no sources; give [[source]] in it, or --source on the command line")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _sweep(folder)
        _sweep(folder / "segments")
        (folder / RUN).unlink(missing_ok=True)
        write_text(folder / "recipe.json", recipe.to_json())
        units = _source_units(recipe)
        name = fingerprint(FORMAT, recipe.batching, recipe.sources, [(unit, identity) for _, unit, identity in units])
        segments, counts, parts = list[Path](), list[Counts](), list[Path]()
        decisions: Path | None = None
        ending: Step | None = None
        for number, (steps, barrier) in enumerate(split_at_barriers(recipe.steps)):
            name = fingerprint(name, steps, barrier)
            segment = folder / "segments" / f"{number}-{name}"
            segment.mkdir(parents=True, exist_ok=True)
            all_steps = steps if barrier is None else (*steps, barrier.signature())
            if ending is not None:
                all_steps = (ending, *all_steps)
            ending = barrier.ending() if barrier is not None and hasattr(barrier, "ending") else None
            found: list[Unit]
            if decisions is None:
                found = [
                    SourceUnit(source, unit, place, segment, all_steps, recipe.batching)
                    for place, (source, unit, _) in enumerate(units)
                ]
            else:
                found = [PartUnit(part, decisions, segment, all_steps) for part in parts]
            counts.append(_run_segment(engine, found, segment, progress, f"segment {number}"))
            segments.append(segment)
            parts = part_files(segment)
            if barrier is not None:
                decisions = _decided(engine, barrier, parts, segment, progress)
        result = Run(folder, tuple(segments), tuple(counts))
        if recipe.tokens is not None:
            _make_shards(engine, recipe.tokens, result, name, progress)
        write_text(folder / RUN, json.dumps({"segments": [segment.name for segment in segments]}))
        return result


def finished_run(folder: Path | str) -> Run:
    """The run that a folder holds, as it was last carried out.

    Raises:
        DataError: the folder holds none, or it is not finished.
    """
    path = Path(folder) / RUN
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["segments"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"no finished run: {folder} ({error}); carry it out with `octad-data run`") from None
    segments = tuple(Path(folder) / "segments" / name for name in names)
    return Run(Path(folder), segments, tuple(_counts(segment) for segment in segments))


def split_at_barriers(steps: Sequence[Step | Barrier]) -> list[tuple[tuple[Step, ...], Barrier | None]]:
    """The steps in runs that go batch by batch, each with the barrier that ends it; the last run has none."""
    found: list[tuple[tuple[Step, ...], Barrier | None]] = []
    pending: list[Step] = []
    for step in steps:
        if is_barrier(step):
            found.append((tuple(pending), step))  # type: ignore[arg-type]
            pending = []
        else:
            pending.append(step)  # type: ignore[arg-type]
    return [*found, (tuple(pending), None)]


def is_barrier(step: Step | Barrier) -> bool:
    """Whether a step waits for all documents."""
    return hasattr(step, "decide")


def part_files(segment: Path) -> list[Path]:
    """The parts of a segment, in the order of the sources."""
    return sorted(segment.glob("part-*.parquet"))


def _source_units(recipe: Recipe) -> list[tuple[Source, tuple[str, ...], str]]:
    return [(source, unit, source.identity(unit)) for source in recipe.sources for unit in source.units()]


def _run_segment(engine: Engine, units: list[Unit], segment: Path, progress: Progress, label: str) -> Counts:
    finished = segment / "finished"
    if not finished.exists():
        _sweep(segment)
        before = len(part_files(segment))
        total = None if any(isinstance(unit, SourceUnit) for unit in units) else len(units)
        with progress.stage(label, total, before) as stage:
            for done in engine.run(units):
                stage.advance(done.counts)
        write_text(finished, "")
    return _counts(segment)


def _sweep(folder: Path) -> None:
    """Remove what a run that was killed had begun to write: names that begin with a dot, save the lock."""
    for torn in folder.glob(".*"):
        if torn.is_dir():
            shutil.rmtree(torn, ignore_errors=True)
        elif torn.name != LOCK:
            torn.unlink(missing_ok=True)


def _counts(segment: Path) -> Counts:
    counts = Counts()
    for part in part_files(segment):
        counts.add(read_counts(part))
    return counts


def _decided(engine: Engine, barrier: Barrier, parts: list[Path], segment: Path, progress: Progress) -> Path:
    decisions = segment.with_name(f"{segment.name}-decisions")
    if decisions.exists():
        return decisions
    with _scratch(segment) as scratch:
        into = scratch / "decisions"
        into.mkdir()
        with progress.stage(type(barrier).__name__, None, 0):
            barrier.decide(parts, into, engine.resources(scratch))
        missing = [part.name for part in parts if not (into / part.name).exists()]
        if missing:
            raise DataError(f"{type(barrier).__name__} decided nothing about {len(missing)} parts, {missing[0]} first")
        into.rename(decisions)
    return decisions


def _make_shards(engine: Engine, tokens: Tokens, run: Run, name: str, progress: Progress) -> None:
    step = encoding_step(tokens)
    segment = run.folder / "segments" / f"{len(run.segments)}-{fingerprint(name, step)}"
    segment.mkdir(exist_ok=True)
    units: list[Unit] = [TokenUnit(part, segment, step) for part in run.parts]
    _run_segment(engine, units, segment, progress, "tokens")
    with _scratch(segment) as scratch, progress.stage("shards", None, 0):
        write_tokens(part_files(segment), run.folder / "tokens", tokens, fingerprint(name, tokens, step), scratch)


@contextmanager
def _scratch(segment: Path) -> Iterator[Path]:
    folder = segment.with_name(f".{segment.name}-scratch")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"busy: another run uses {folder}; wait for it, or give another folder") from None
    try:
        yield
    finally:
        lock.release()


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _half_of_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 21
