"""`octad eval`: measure a model on benchmark tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from octad.benchmarks import Scores
    from octad.model_folder import FoundModel


def eval(
    model: Path,
    *,
    tasks: str = "",
    stage: str = "",
    limit: int | None = None,
    batch_size: int = 32,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
) -> None:
    """Measure a run's model, or any model folder, on lm-eval tasks.

    Parameters
    ----------
    model
        The folder of a run, or of a model in Hugging Face's layout.
    tasks
        A folder of lm-eval tasks (YAML and data), or names with commas between: of tasks in the run's own folder, or
        of those that lm-eval brings, which need a network. Without it, all of the run's own.
    stage
        Of a run: pretrain, sft, dpo or grpo; without it the newest that is finished.
    limit
        Take only so many documents of each task.
    batch_size
        Sequences a pass.
    out
        Write the results as JSON here too.
    """
    import json
    import math
    from dataclasses import asdict

    from octad_systems import write_atomically

    from octad.errors import OctadError
    from octad.model_folder import find_model

    found = find_model(model, stage)
    folder, names = _chosen(found, tasks)
    if out is not None and out.is_dir():
        raise OctadError(f"--out {out} is a folder; name a file in it, {out / 'results.json'}")
    scores = _measured(found, folder, names, limit, batch_size)
    print(f"{found.title}\n{_table(scores)}")
    if out is not None:
        plain: dict[str, Any] = {
            task: {
                metric: {key: None if math.isnan(number) else number for key, number in asdict(estimate).items()}
                for metric, estimate in metrics.items()
            }
            for task, metrics in scores.items()
        }
        content = {"model": found.title, "tasks": str(folder or ""), "limit": limit, "results": plain}
        write_atomically(out, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _chosen(found: FoundModel, tasks: str) -> tuple[Path | None, list[str]]:
    """The folder of tasks, if any, and the names asked for; no name means all of the folder."""
    from octad.errors import OctadError

    if tasks and Path(tasks).is_dir():
        return Path(tasks), []
    own = found.run / "evaluate" / "tasks" if found.run else None
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if own is not None and own.is_dir():
        return own, names
    if not names:
        what = f"{found.run} has no tasks of its own yet" if found.run else f"{found.folder} is no run"
        raise OctadError(f"{what}; give --tasks a folder of lm-eval tasks, or names of tasks")
    return None, names


def _measured(found: FoundModel, folder: Path | None, names: list[str], limit: int | None, batch_size: int) -> Scores:
    import torch

    from octad.benchmarks import evaluate_tasks
    from octad.text_model import TextModel

    text_model = TextModel.load(found.folder, "cuda" if torch.cuda.is_available() else "cpu")
    return evaluate_tasks(text_model, folder, names, limit=limit, batch_size=batch_size)


def _table(scores: Scores) -> str:
    """One line a metric; the standard error is behind the ±."""
    import math

    rows = [(task, metric, estimate) for task, metrics in scores.items() for metric, estimate in metrics.items()]
    first, second = max(len(task) for task, _, _ in rows), max(len(metric) for _, metric, _ in rows)
    lines = []
    for task, metric, estimate in rows:
        error = "" if math.isnan(estimate.error) else f" ± {estimate.error:.4f}"
        lines.append(f"{task:<{first}}  {metric:<{second}}  {estimate.value:>9.4f}{error}")
    return "\n".join(lines)
