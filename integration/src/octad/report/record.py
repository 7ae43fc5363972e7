"""What a run has written so far, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octad.errors import OctadError
from octad.evaluation import Estimate
from octad.recipe import Recipe
from octad.run_folder import RunFolder, StageRecord

STAGES = ("corpus", "tokenizer", "shards", "plan", "pretrain", "sft", "dpo", "grpo", "evaluate")
TRAINED = ("pretrain", "sft", "dpo", "grpo")
LABELS = {"pretrain": "base", "sft": "SFT", "dpo": "DPO", "grpo": "GRPO"}


@dataclass(frozen=True)
class RunRecord:
    """A run as its files tell it.

    Attributes:
        stages: records of the stages that have begun.
        results: `evaluate/results.json`, empty where there is none.
        points: the measured points of each training stage, in order.
        missing: what a whole run has and this one has not (yet), in words.
    """

    path: Path
    created: str
    version: str
    recipe: Recipe
    stages: Mapping[str, StageRecord]
    results: Mapping[str, Any]
    points: Mapping[str, Sequence[Mapping[str, Any]]]
    missing: tuple[str, ...]

    @classmethod
    def read(cls, folder: RunFolder) -> RunRecord:
        """Read a run folder, finished or not.

        Raises:
            OctadError: recipe.toml or metrics.jsonl cannot be read.
        """
        stages = {name: record for name in STAGES if (record := folder.stage(name)) is not None}
        results, problem = _results(folder.path / "evaluate" / "results.json", stages.get("evaluate"))
        points: dict[str, list[dict[str, Any]]] = {name: [] for name in TRAINED}
        for point in folder.metrics():
            points.setdefault(point["stage"], []).append(point)
        missing = [*(_state(name, stages.get(name)) for name in STAGES), problem]
        return cls(
            folder.path,
            str(folder.facts.get("created", "")),
            str(folder.facts.get("octad", "")),
            folder.recipe(),
            stages,
            results,
            points,
            tuple(line for line in missing if line),
        )

    def summary(self, stage: str) -> Mapping[str, Any]:
        """What a finished stage found; empty for any other."""
        record = self.stages.get(stage)
        return record.summary if record is not None and record.is_done else {}

    @property
    def seconds(self) -> float:
        """Time that the stages took, all together."""
        return sum(record.seconds for record in self.stages.values())

    @property
    def kinds(self) -> list[str]:
        """Kinds of held-out text, prose first."""
        models, shards = self.results.get("models", {}), self.summary("shards").get("tokens", {})
        found = {kind for model in models.values() for kind in model.get("bits_per_byte", {})}
        found |= {name.removeprefix("held_out-") for name in shards if name.startswith("held_out-")}
        return sorted(found, key=lambda kind: (kind != "prose", kind))


def estimate(value: Any) -> Estimate | None:
    """An Estimate from its JSON; None stays None."""
    return None if value is None else Estimate(float(value["value"]), float(value["error"]))


def _state(name: str, record: StageRecord | None) -> str:
    if record is None:
        return f"the stage {name} has not begun"
    return "" if record.is_done else f"the stage {name} is not finished"


def _results(file: Path, record: StageRecord | None) -> tuple[Mapping[str, Any], str]:
    """The results of a finished evaluation, or an empty mapping and why."""
    if record is None or not record.is_done:
        return {}, ""
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(results, dict):
            raise OctadError("not an object")
    except (OSError, ValueError) as error:
        return {}, f"evaluate/results.json cannot be read ({error})"
    return results, ""
