"""Run records: one measured point of a training run, kept as one JSON line."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octad_scaling.errors import ScalingError, require_positive


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One measured point: a model of N parameters reached `loss` after D tokens.

    Args:
        parameters: N, > 0; say once for a study whether embeddings count, and keep to it.
        tokens: D, tokens trained on so far (repeated ones count again), > 0.
        loss: cross-entropy in nats a token, > 0.
        flops: C; left out, 6 * N * D (Kaplan et al. 2020, section 2.1).
        run: the run's name. Points of one name share their noise and are resampled together;
            a record without a name is a run of its own.
        unique_tokens: of the corpus; D / unique_tokens is the number of epochs.
        batch_size: tokens a step.
        learning_rate: the peak one.
        seed: of the run.
        step: optimiser steps taken.

    Raises:
        ScalingError: a value is not a finite number > 0 (seed and step: an integer >= 0).
    """

    parameters: float
    tokens: float
    loss: float
    flops: float | None = None
    run: str = ""
    unique_tokens: float | None = None
    batch_size: float | None = None
    learning_rate: float | None = None
    seed: int | None = None
    step: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
                # plain numbers: equal to what a file gives back, and JSON knows no other
                object.__setattr__(self, field.name, value.item())
        if not isinstance(self.run, str):
            raise ScalingError(f"RunRecord: run={self.run!r} must be a string; use run={str(self.run)!r}")
        require_positive("RunRecord", parameters=self.parameters, tokens=self.tokens, loss=self.loss)
        if self.flops is None:
            object.__setattr__(self, "flops", 6.0 * self.parameters * self.tokens)
        for name in ("flops", "unique_tokens", "batch_size", "learning_rate"):
            if getattr(self, name) is not None:
                require_positive("RunRecord", **{name: getattr(self, name)})
        for name in ("seed", "step"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ScalingError(f"RunRecord: {name}={value!r} must be an integer >= 0")


def read_records(path: str | Path) -> list[RunRecord]:
    """Every record of a file of JSON lines, in order.

    A run killed while writing leaves half a line at the end, without its newline: it is left out with one warning
    that counts it. Anything else that is wrong is an error, with its line number. Blank lines are skipped.

    Raises:
        ScalingError: a line is not a JSON object, lacks a field, has an unknown one or a wrong value.
        OSError: the file cannot be read.
    """
    lines = Path(path).read_bytes().split(b"\n")
    records, torn = [], 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                torn += 1
                continue
            raise ScalingError(f"{path}, line {number}: not JSON ({error}); repair or delete the line") from error
        try:
            records.append(_record(fields))
        except ScalingError as error:
            raise ScalingError(f"{path}, line {number}: {error}") from error
    if torn:
        warnings.warn(f"{path}: left out {torn} torn line at the end of the file", stacklevel=2)
    return records


def _record(fields: object) -> RunRecord:
    if not isinstance(fields, dict):
        raise ScalingError(f"a record is a JSON object, not {type(fields).__name__}")
    known = [field.name for field in dataclasses.fields(RunRecord)]
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(known)}"
            raise ScalingError(f"unknown field {name!r}; {hint}")
    for name in ("parameters", "tokens", "loss"):
        if name not in fields:
            raise ScalingError(f"the field {name!r} is missing; a record needs parameters, tokens and loss")
    return RunRecord(**fields)


def _line(record: RunRecord) -> bytes:
    fields = {name: value for name, value in dataclasses.asdict(record).items() if value is not None and value != ""}
    return json.dumps(fields).encode() + b"\n"


def write_records(path: str | Path, records: Iterable[RunRecord]) -> None:
    """Replace `path` by these records, one JSON line each; a crash leaves the old file or the new one, never half.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.writelines(_line(record) for record in records)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def append_records(path: str | Path, records: Iterable[RunRecord]) -> None:
    """Add records at the end of `path` (made where absent) and flush them to the disk.

    Half a line that a killed writer left at the end is cut off first, with a warning, so that it cannot spoil the next.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    with path.open("r+b" if path.exists() else "w+b") as file:
        content = file.read()
        tail = content[content.rfind(b"\n") + 1 :]
        if tail.strip() and not _is_json(tail):
            warnings.warn(f"{path}: cut off 1 torn line at the end of the file", stacklevel=2)
            file.truncate(len(content) - len(tail))
            tail = b""
        file.seek(0, os.SEEK_END)
        file.write((b"\n" if tail else b"") + b"".join(_line(record) for record in records))
        file.flush()
        os.fsync(file.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class RecordArrays:
    """Records as float64 columns of length n; `run` numbers the runs 0 .. num_runs - 1 in order of appearance."""

    parameters: NDArray[np.float64]
    tokens: NDArray[np.float64]
    loss: NDArray[np.float64]
    flops: NDArray[np.float64]
    run: NDArray[np.int64]

    @property
    def num_runs(self) -> int:
        """How many different runs there are."""
        return int(self.run.max()) + 1 if len(self.run) else 0


def as_arrays(records: Sequence[RunRecord]) -> RecordArrays:
    """The columns of `records`; unnamed records each get a run number of their own."""
    numbers: dict[str | int, int] = {}
    run = [numbers.setdefault(record.run or index, len(numbers)) for index, record in enumerate(records)]
    return RecordArrays(
        parameters=np.array([record.parameters for record in records], dtype=np.float64),
        tokens=np.array([record.tokens for record in records], dtype=np.float64),
        loss=np.array([record.loss for record in records], dtype=np.float64),
        flops=np.array([record.flops for record in records], dtype=np.float64),
        run=np.array(run, dtype=np.int64),
    )
