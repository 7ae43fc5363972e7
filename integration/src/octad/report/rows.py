"""The headline table: baselines and stages, what each reaches and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from octad.evaluation import Estimate
from octad.report.record import LABELS, TRAINED, RunRecord, estimate


@dataclass(frozen=True)
class Row:
    """A baseline or a stage; what was not measured is None, or not there.

    Attributes:
        exact_match: share of held-out instructions answered right.
        change: the difference to the stage before, with its paired error.
        bits_per_byte: by kind of held-out text.
        share_of_peak: of what this machine's matrix products reach, 0 to 1.
    """

    name: str
    is_baseline: bool = False
    exact_match: Estimate | None = None
    change: Estimate | None = None
    bits_per_byte: Mapping[str, Estimate] = field(default_factory=dict)
    tokens: int | None = None
    seconds: float | None = None
    share_of_peak: float | None = None


def rows(record: RunRecord) -> list[Row]:
    """Baselines first, then the stages in order; a stage that is not there yet has an empty row."""
    baselines = record.results.get("baselines", {})
    found = [Row(name, is_baseline=True, bits_per_byte=_by_kind(kinds)) for name, kinds in baselines.items()]
    return found + [_stage(record, name) for name in TRAINED]


def _stage(record: RunRecord, name: str) -> Row:
    result: Mapping[str, Any] = record.results.get("models", {}).get(name, {})
    summary, stage = record.summary(name), record.stages.get(name)
    tokens = summary.get("tokens")
    if tokens is None and name == "pretrain" and summary:
        tokens = record.summary("plan").get("tokens")
    return Row(
        LABELS[name],
        exact_match=estimate(result.get("exact_match")),
        change=estimate(result.get("change")),
        bits_per_byte=_by_kind(result.get("bits_per_byte", {})),
        tokens=None if tokens is None else round(tokens),
        seconds=stage.seconds if stage is not None and stage.is_done else None,
        share_of_peak=summary.get("share_of_peak") or None,  # 0 stands for not known
    )


def _by_kind(values: Mapping[str, Any]) -> dict[str, Estimate]:
    return {kind: found for kind, value in values.items() if (found := estimate(value)) is not None}
