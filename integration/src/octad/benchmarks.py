"""Benchmarks by lm-eval, without a network: the tasks of a run, or a folder of a person's own.

A task is a YAML file beside its data, as lm-eval reads it; the paths in it are relative to its folder. Any tool that
runs lm-eval tasks can run those of a run: `cd RUN/evaluate/tasks; lm_eval --include_path . --tasks octad_choice ...`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from octad_align import Task, preference_pairs
from octad_systems import write_atomically

from octad.chat_format import END
from octad.errors import OctadError
from octad.evaluation import Estimate
from octad.text_model import TextModel

if TYPE_CHECKING:
    from octad.lm_eval_model import OctadLM
    from octad.model import ChatModel

Scores = dict[str, dict[str, Estimate]]


def write_tasks(
    folder: Path, tasks: Sequence[Task], passages: Sequence[str], seed: int, max_new_tokens: int = 24
) -> None:
    """Write three tasks: `octad_instructions` and `octad_choice` from instructions, `octad_text` from passages.

    Args:
        folder: made where missing; its files of these names are replaced.
        tasks: held-out instructions.
        passages: held-out texts, taken as they are; empty ones are left out, and without any there is no `octad_text`.
        seed: decides the wrong answers and the order of the choices.
        max_new_tokens: of an answer.
    """
    pairs, rng = preference_pairs(tasks, seed), Random(seed)
    choices = []
    for pair in pairs:
        label = rng.randrange(2)
        answers = [pair.chosen + END, pair.rejected + END]
        choices.append({"prompt": pair.prompt, "choices": answers[::-1] if label else answers, "label": label})
    documents: dict[str, list[dict[str, Any]]] = {
        "octad_instructions": [{"prompt": t.prompt, "answer": t.answer, "operation": t.operation} for t in tasks],
        "octad_choice": choices,
        "octad_text": [{"text": passage} for passage in passages if passage],
    }
    shipped = files("octad") / "benchmark_tasks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in documents.items():
        if not lines:
            for suffix in (".jsonl", ".yaml"):
                (folder / name).with_suffix(suffix).unlink(missing_ok=True)
            continue
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_atomically(folder / f"{name}.jsonl", content)
        settings = (shipped / f"{name}.yaml").read_text(encoding="utf-8")
        write_atomically(folder / f"{name}.yaml", settings.replace("MAX_NEW_TOKENS", str(max_new_tokens)))
    write_atomically(folder / "judge.py", (shipped / "judge.py").read_text(encoding="utf-8"))


def run_benchmarks(model: ChatModel, tasks_folder: Path, limit: int | None = None) -> Scores:
    """Every task of a folder on one model: {task: {metric: estimate}}.

    Args:
        model: with its tokenizer and template.
        tasks_folder: YAML and data, as `write_tasks` or a person wrote them.
        limit: take the first `limit` documents of each task only.

    Raises:
        OctadError: no task, or one that cannot be read or run.
    """
    return evaluate_tasks(TextModel.of(model), tasks_folder, limit=limit)


def evaluate_tasks(
    text_model: TextModel,
    folder: Path | None,
    names: Sequence[str] = (),
    *,
    limit: int | None = None,
    batch_size: int = 32,
) -> Scores:
    """Tasks by lm-eval, with analytic standard errors; NaN where a metric has none.

    Args:
        text_model: is asked through its chat template, if it has one.
        folder: of tasks; None for lm-eval's own only.
        names: tasks or groups; none means every task of the folder. One that is not in the folder is lm-eval's own,
            whose data comes from the network or from Hugging Face's cache.
        limit: documents of each task.
        batch_size: sequences a pass.

    Raises:
        OctadError: no task, or one that cannot be read or run.

    Warns:
        UserWarning: contexts lost their beginning; says how many.
    """
    if limit is not None and limit < 1:
        raise OctadError(f"limit={limit}; take 1 document of each task or more")
    if folder is not None and not folder.is_dir():
        raise OctadError(f"{folder}: no such folder of tasks")
    with _quietly(), contextlib.chdir(folder or Path.cwd()):
        from octad.lm_eval_model import OctadLM

        lm = OctadLM(text_model, batch_size=batch_size)
        scores = _evaluate(lm, names, has_folder=folder is not None, limit=limit)
    if lm.num_cut:
        warnings.warn(
            f"{lm.num_cut} contexts were longer than the model's {lm.max_length} tokens and lost their beginning",
            stacklevel=2,
        )
    return scores


def _evaluate(lm: OctadLM, names: Sequence[str], *, has_folder: bool, limit: int | None) -> Scores:
    """Not `simple_evaluate`: that one seeds every global generator and asks git and pip about the machine."""
    from lm_eval import evaluate

    manager, wanted, is_local = _tasks(names, has_folder)
    with _named(wanted, is_local), _offline() if is_local else contextlib.nullcontext():
        loaded = manager.load(wanted)
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=1234)  # lm-eval's own
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
        found = evaluate(
            lm, loaded, limit=limit, bootstrap_iters=0, apply_chat_template=lm.text_model.template is not None
        )
    scores: Scores = {}
    for name, task in loaded["tasks"].items():
        scores[name] = _estimates(found["results"][name], found["samples"][name], task.aggregation())
    for name, values in found.get("groups", {}).items():
        scores[name] = _estimates(values, [], {})
    return scores


def _tasks(names: Sequence[str], has_folder: bool) -> tuple[Any, list[str], bool]:
    """Who knows the tasks, which are wanted, and whether all of them are in the present folder."""
    from lm_eval.tasks import TaskManager

    here = Path.cwd() if has_folder else None  # whole: lm-eval keeps what it read by path
    local = TaskManager(include_path=here, include_defaults=False)
    if not names and not local.all_subtasks:
        raise OctadError(f"{Path.cwd()} holds no lm-eval task: a YAML file with task, dataset_path and output_type")
    foreign = [name for name in names if name not in local.all_tasks]
    if not foreign:
        return local, list(names) or local.all_subtasks, True
    for name in foreign:
        if near := get_close_matches(name, local.all_tasks, 1, 0.85):
            raise OctadError(f"there is no task {name}; did you mean {near[0]}?")
    manager = TaskManager(include_path=here)  # indexing lm-eval's own takes half a minute
    if unknown := [name for name in foreign if name not in manager.all_tasks]:
        there = ", ".join(local.all_tasks)
        raise OctadError(f"no task {', '.join(unknown)} here{f' (there are {there})' if there else ''} or in lm-eval")
    return manager, list(names), False


@contextlib.contextmanager
def _named(wanted: Sequence[str], is_local: bool) -> Iterator[None]:
    """Whatever is wrong in a person's YAML and data, or with a network, is said with the names of the tasks."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("octad"):
            raise
        reason = " ".join(str(error).split())[:300]
        hint = "" if is_local else "; its data comes from the network the first time"
        raise OctadError(f"{', '.join(wanted)}: {type(error).__name__}: {reason}{hint}") from error


def _estimates(
    values: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], aggregations: Mapping[str, Any]
) -> dict[str, Estimate]:
    """Estimates of one task by metric; where a task has several filters, by `metric (filter)`."""
    keys = [key for key, value in values.items() if "," in key and "_stderr," not in key and _is_number(value)]
    has_filters = len({key.partition(",")[2] for key in keys}) > 1
    estimates = {}
    for key in keys:
        metric, _, kind = key.partition(",")
        items = [sample[metric] for sample in samples if sample["filter"] == kind and metric in sample]
        how = getattr(aggregations.get(metric), "__name__", "")
        error = standard_error(how, items) if items else math.nan
        estimates[f"{metric} ({kind})" if has_filters else metric] = Estimate(float(values[key]), error)
    return estimates


def standard_error(aggregation: str, items: Sequence[Any]) -> float:
    """Standard error of one of lm-eval's aggregations over documents; NaN for one that has no formula here.

    mean: s / sqrt(n). bits_per_byte and weighted_perplexity are functions of the ratio r = sum x / sum w of
    log-likelihoods to sizes: s_r = sqrt(n / (n - 1) * sum (x - r w)^2) / sum w, carried through the function by its
    derivative. One document tells nothing of the spread: NaN.

    Source: Cochran, Sampling Techniques, 1977, eq. 6.13.
    """
    n = len(items)
    if n < 2:
        return math.nan
    if aggregation in ("mean", "perplexity"):
        values = np.asarray(items, dtype=np.float64)
        error = float(values.std(ddof=1)) / math.sqrt(n)
        return error * math.exp(-float(values.mean())) if aggregation == "perplexity" else error
    if aggregation in ("bits_per_byte", "weighted_perplexity"):
        x, w = np.asarray(items, dtype=np.float64).T
        ratio = x.sum() / w.sum()
        error = math.sqrt(n / (n - 1) * float(((x - ratio * w) ** 2).sum())) / float(w.sum())
        return error / math.log(2) if aggregation == "bits_per_byte" else error * math.exp(-float(ratio))
    return math.nan


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """lm-eval and datasets draw progress bars, print, log and warn; none of it is for the person who evaluates."""
    before, sink = (logging.root.manager.disable, sys.dont_write_bytecode), io.StringIO()
    logging.disable(logging.CRITICAL)
    sys.dont_write_bytecode = True  # of the Python files beside tasks: a folder of tasks is left as it is
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before[0])
        sys.dont_write_bytecode = before[1]


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Local data: nothing is asked of or told to a host, and no copy stays in a cache."""
    import datasets.config as settings

    cache = tempfile.mkdtemp(prefix="octad-tasks-")
    ours = {"HF_HUB_OFFLINE": True, "HF_UPDATE_DOWNLOAD_COUNTS": False, "HF_DATASETS_CACHE": Path(cache)}
    before = {name: getattr(settings, name) for name in ours}
    try:
        for name, value in ours.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
        shutil.rmtree(cache, ignore_errors=True)
