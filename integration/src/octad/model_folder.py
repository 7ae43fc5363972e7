"""Which folder of weights a person means by a path: a run, one stage of it, or a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octad.errors import OctadError
from octad.run_folder import RunFolder

MODEL_STAGES = ("pretrain", "sft", "dpo", "grpo")


@dataclass(frozen=True)
class FoundModel:
    """A folder of weights, and the run and stage that it belongs to, if any."""

    folder: Path
    run: Path | None = None
    stage: str = ""

    @property
    def title(self) -> str:
        """For people: `runs/quickstart, grpo` or the folder."""
        return f"{self.run}, {self.stage}" if self.run else str(self.folder)


def find_model(path: Path, stage: str = "") -> FoundModel:
    """The model of a run's newest finished stage or of `stage`, or the model folder at `path`.

    Raises:
        OctadError: nothing is there, it is not finished, or it is of a layout that is not known.
    """
    if not path.is_dir():
        raise OctadError(f"{path}: no such folder; name a run, which `octad quickstart` makes, or a model folder")
    if (path / "run.json").is_file():
        return _of_run(RunFolder(path), stage)
    if (path / "stage.json").is_file() and (path.parent / "run.json").is_file():
        if stage not in ("", path.name):
            raise OctadError(f"{path} is the stage {path.name} of a run; name {path.parent} to choose {stage}")
        return _of_run(RunFolder(path.parent), path.name)
    if (path / "config.json").is_file():
        if stage:
            raise OctadError(f"{path} is a model folder, which has no stages; leave --stage {stage} away")
        return FoundModel(path)
    raise OctadError(
        f"{path} is neither a run (no run.json) nor a model folder (no config.json); name one that `octad run` made, "
        "or a folder in Hugging Face's layout"
    )


def finished_stages(run: RunFolder) -> list[str]:
    """Stages whose models are finished, in order."""
    return [name for name in MODEL_STAGES if _is_finished(run, name)]


def _of_run(run: RunFolder, stage: str) -> FoundModel:
    finished = finished_stages(run)
    there_are = f"finished are {', '.join(finished)}" if finished else "none is finished yet"
    if stage and stage not in MODEL_STAGES:
        raise OctadError(f"there is no stage {stage!r} that makes a model; {there_are} in {run.path}")
    if not finished:
        raise OctadError(f"{run.path} has no finished model yet; `{run.command}` continues it")
    if stage and stage not in finished:
        raise OctadError(f"the stage {stage} of {run.path} is not finished ({there_are}); `{run.command}` continues it")
    name = stage or finished[-1]
    return FoundModel(run.path / name / "model", run.path, name)


def _is_finished(run: RunFolder, name: str) -> bool:
    record = run.stage(name)
    return record is not None and record.is_done and (run.path / name / "model" / "config.json").is_file()
