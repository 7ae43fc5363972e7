"""Judges answers as training did. lm-eval loads this file from the folder that the tasks are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from octad_align import Task, verify


def exact_match(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 where the answer is the right one and came to its end; `is_finished` is known of our own models only."""
    task = Task(doc["prompt"], doc["answer"], doc["operation"], 0)
    is_finished = getattr(results[0], "is_finished", True)
    return {"exact_match": verify(task, results[0]).value if is_finished else 0.0}
