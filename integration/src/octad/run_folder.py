"""A run is one folder: what was asked, what each stage made, what was measured on the way.

    recipe.toml  run.json  metrics.jsonl  tokenizer/  shards/  pretrain/  sft/  dpo/  grpo/  evaluate/  report.html

Every stage owns one sub-folder with a `stage.json`: the key of its inputs, whether it is done, and its summary.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from octad_systems import write_atomically

from octad.errors import OctadError
from octad.recipe import Recipe
from octad.recipe_files import load_recipe, recipe_to_toml

FORMAT = 1


@dataclass(frozen=True)
class StageRecord:
    """What a stage's `stage.json` says.

    Attributes:
        key: of all that decides its result.
        inputs: the digest of what each stage that it builds on had made.
        files: what it made, by size, time and checksum.
    """

    key: str
    is_done: bool
    seconds: float
    summary: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of what the stage made: its files, or its summary where it makes none."""
        made = {name: facts["blake2"] for name, facts in self.files.items()} or self.summary
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


class RunFolder:
    """One run on disk. Opening reads and checks; `create` makes or adopts the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise OctadError(f"{path}: no such run folder; `octad quickstart` makes one")
        file = path / "run.json"
        if not file.is_file():
            raise OctadError(f"{path} is not a run folder: it has no run.json; name the folder that a run made")
        self.facts = _read_json(file)
        if self.facts.get("format") != FORMAT:
            raise OctadError(
                f"{path} was made by octad {self.facts.get('octad', '?')}, run format {self.facts.get('format')!r}; "
                f"this is octad {version('octad')}, run format {FORMAT}: use that version, or another folder"
            )

    @classmethod
    def create(cls, path: Path, recipe: Recipe) -> RunFolder:
        """Make the folder with the resolved recipe in it, or open the one that is there.

        A run that is there keeps its recipe until `write_recipe`: another octad may be at work in it.

        Raises:
            OctadError: the folder holds something else, a run of another format, or cannot be written.
        """
        if not (path / "run.json").exists():
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise OctadError(f"{path} exists and is not a run folder; name a new or an empty folder")
            facts = {"format": FORMAT, "octad": version("octad"), "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
            try:
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / "run.json", json.dumps(facts, indent=1))
                write_atomically(path / "recipe.toml", recipe_to_toml(recipe))
            except OSError as error:
                raise OctadError(f"cannot write in {path}: {error.strerror}; name another folder with --out") from error
        return cls(path)

    @property
    def command(self) -> str:
        """What to type to continue this run."""
        return f"octad run {shlex.quote(str(self.path))}"

    def write_recipe(self, recipe: Recipe) -> None:
        """From now on this is the recipe of the run."""
        write_atomically(self.path / "recipe.toml", recipe_to_toml(recipe))

    def recipe(self, overrides: Sequence[str] = ()) -> Recipe:
        """The resolved recipe of this run, with `a.b=value` overrides."""
        return load_recipe(self.path / "recipe.toml", overrides)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second run; the lock goes with the process, however it ends."""
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise OctadError(f"{self.path} is in use by another octad; wait for it or name another folder") from None
        except OSError as error:
            raise OctadError(
                f"cannot write in {self.path}: {error.strerror}; a run goes on where it may write"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def stage(self, name: str) -> StageRecord | None:
        """The record of a stage, or None where it has not begun or its record is unreadable."""
        file = self.path / name / "stage.json"
        if not file.is_file():
            return None
        try:
            return StageRecord(**_read_json(file))
        except (OctadError, TypeError):
            return None

    def write_stage(self, name: str, record: StageRecord) -> None:
        """Write a stage's record, whole or not at all."""
        (self.path / name).mkdir(exist_ok=True)
        write_atomically(self.path / name / "stage.json", json.dumps(vars(record), indent=1).encode())

    def set_aside(self, name: str) -> Path | None:
        """Move what a stage made under other settings to `stale/`; nothing that was made is deleted."""
        here = self.path / name
        if not here.exists():
            return None
        record = self.stage(name)
        stem = f"{name}-{record.key[:8] if record else 'unfinished'}"
        (self.path / "stale").mkdir(exist_ok=True)
        taken = {p.name for p in (self.path / "stale").iterdir()}
        target = next(t for n in range(len(taken) + 1) if (t := stem if n == 0 else f"{stem}-{n}") not in taken)
        return here.rename(self.path / "stale" / target)

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Append one measured point to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The measured points of a stage (or all); a torn last line, left by a crash, is passed over."""
        file = self.path / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
        points = []
        for number, line in enumerate(lines):
            try:
                point = json.loads(line) if line else None
            except json.JSONDecodeError as error:
                if number < len(lines) - 1 and any(lines[number + 1 :]):
                    raise OctadError(f"{file}, line {number + 1}: {error}; remove that line") from error
                continue
            if point and stage in (None, point["stage"]):
                points.append(point)
        return points

    def forget_metrics(self, stage: str, after_step: int = -1) -> None:
        """Drop a stage's points after `after_step`: a resumed run measures them again."""
        points = self.metrics()
        kept = [p for p in points if p["stage"] != stage or p["step"] <= after_step]
        if len(kept) < len(points) or (self.path / "metrics.jsonl").exists():
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(p) + "\n" for p in kept).encode())


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OctadError(f"{file} is torn or not JSON ({error}); restore it or start in another folder") from error
    if not isinstance(value, dict):
        raise OctadError(f"{file} holds {type(value).__name__}, not an object; start in another folder")
    return value
