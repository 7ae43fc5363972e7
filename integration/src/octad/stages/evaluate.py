"""Evaluate: every stage's model on text and instructions that no stage has seen, beside models that only count.

`results.json` holds the figures, `answers.jsonl` what each model answered to each instruction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from octad_align import Task, generate_tasks
from octad_arch.classic import ByteNGram
from octad_data import TokenShards
from octad_systems import machine, write_atomically

from octad.documents import read_documents
from octad.evaluation import (
    Answers,
    HeldOutText,
    answer,
    bits_per_byte,
    byte_entropy_per_byte,
    continue_text,
    ngram_bits_per_byte,
)
from octad.model import ChatModel
from octad.pipeline import Context
from octad.provenance import commit
from octad.stages.shards import open_shards

MODELS = ("pretrain", "sft", "dpo", "grpo")
EVALUATION_SEED = 3_000_003
NGRAM_ORDER = 5
NGRAM_BYTES = 4_000_000
# from easy to hard; the first instruction of each is shown, whatever the models answer
SHOWN_OPERATIONS = ("first", "uppercase", "nth", "replace", "sort_letters", "reverse", "count", "add")
CONTINUED_TOKENS = 48
BENCHMARK_TASKS = 200
PASSAGES_A_KIND, PASSAGE_CHARACTERS = 8, 1500


def evaluate(context: Context) -> Mapping[str, Any]:
    """Write `results.json`: bits per byte and exact match with standard errors, samples, baselines."""
    settings = context.recipe.evaluate
    tasks = held_out_tasks(context)
    shards = open_shards(context, "held_out")
    answers: dict[str, Answers] = {}
    results: dict[str, Any] = {"models": {}, "operations": dict(Counter(task.operation for task in tasks))}
    for number, name in enumerate(MODELS):
        context.reporter.update(number, len(MODELS), [name])
        model = ChatModel.load(context.path(name) / "model", context.processes.accelerator.device)
        texts = {kind: HeldOutText.of(s, model.chat.tokenizer, settings.held_out_tokens) for kind, s in shards.items()}
        before = answers[MODELS[number - 1]] if number else None
        answers[name] = answer(model, tasks, settings.max_new_tokens)
        results["models"][name] = {
            "exact_match": asdict(answers[name].exact_match),
            "change": asdict(answers[name].change_from(before)) if before else None,
            "by_operation": answers[name].by_operation(),
            "bits_per_byte": {kind: asdict(bits_per_byte(model.model, t, model.context)) for kind, t in texts.items()},
        }
        if number == 0:
            results["baselines"] = baselines(context, texts)
            results["continuations"] = continuations(model, shards, context.recipe.seed)
    results["samples"] = samples(tasks, answers)
    if settings.benchmarks:
        context.reporter.update(len(MODELS), len(MODELS), ["benchmarks"])
        results["benchmarks"] = benchmarks(context, model, tasks)
    results |= {"machine": asdict(machine()), "commit": commit()}
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(tasks, answers)]
    write_atomically(context.path() / "answers.jsonl", "".join(lines))
    write_atomically(context.path() / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    scores = " -> ".join(f"{results['models'][name]['exact_match']['value']:.3f}" for name in MODELS)
    return {"headline": f"exact match {scores}", "results": "results.json"}


def held_out_tasks(context: Context) -> tuple[Task, ...]:
    """Instructions whose operands no training stage has seen."""
    seed, limit = context.recipe.seed + EVALUATION_SEED, context.recipe.evaluate.max_items
    return generate_tasks(seed, context.recipe.evaluate.instructions, split="held_out", num_items=(2, limit))


def baselines(context: Context, texts: Mapping[str, HeldOutText]) -> dict[str, dict[str, Any]]:
    """Bits per byte of models that only count: the entropy of bytes, and n-grams of the same training text."""
    seen: dict[str, bytearray] = {}
    for document in read_documents(context.path("corpus") / "train.jsonl"):
        part = seen.setdefault(document.kind, bytearray())
        if len(part) < NGRAM_BYTES:
            part += document.text.encode() + b"\n"
    found: dict[str, dict[str, Any]] = {"byte entropy": {}, f"byte {NGRAM_ORDER}-gram": {}}
    for kind, text in sorted(texts.items()):
        # as many windows as the models' error is over
        windows = max(1, 2 * len(text.ids) // context.recipe.model.context)
        ngram = ByteNGram.fit(bytes(seen.get(kind) or b"".join(seen.values()))[:NGRAM_BYTES], NGRAM_ORDER)
        found["byte entropy"][kind] = asdict(byte_entropy_per_byte(text, windows))
        found[f"byte {NGRAM_ORDER}-gram"][kind] = asdict(ngram_bits_per_byte(ngram, text, windows))
    return found


def samples(tasks: Sequence[Task], answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """The first instruction of each of `SHOWN_OPERATIONS`, filled up with the first of the rest, and its answers."""
    first = [next((n for n, task in enumerate(tasks) if task.operation == o), None) for o in SHOWN_OPERATIONS]
    chosen = [number for number in first if number is not None]
    rest = (number for number in range(len(tasks)) if number not in chosen)
    chosen += islice(rest, len(SHOWN_OPERATIONS) - len(chosen))
    rows = list(_rows(tasks, answers))
    return [rows[number] for number in chosen]


def continuations(model: ChatModel, shards: Mapping[str, TokenShards], seed: int) -> list[dict[str, str]]:
    """How the base model goes on after the beginning of a held-out document of each kind, and how that does."""
    length = min(CONTINUED_TOKENS, model.context // 4)
    shown = []
    for kind, held_out in shards.items():
        long = (number for number in range(len(held_out)) if len(held_out.document(number)) >= 2 * length)
        if (number := next(long, None)) is None:
            continue
        ids = held_out.document(number)[: 2 * length].tolist()
        prompt, truth = ids[:length], ids[length:]
        start = [model.chat.end_of_text, *prompt]
        texts = {"prompt": model.chat.text(prompt), "truth": model.chat.text(truth)}
        shown.append({"kind": kind, **texts, "continuation": continue_text(model, start, length, seed)})
    return shown


def benchmarks(context: Context, model: ChatModel, tasks: Sequence[Task]) -> dict[str, Any]:
    """The last model through lm-eval, an independent judge; the tasks stay in `tasks/` for any other model."""
    from octad.benchmarks import run_benchmarks, write_tasks

    folder = context.path() / "tasks"
    write_tasks(
        folder,
        tasks[:BENCHMARK_TASKS],
        _passages(context.path("corpus") / "held_out.jsonl"),
        context.recipe.seed,
        context.recipe.evaluate.max_new_tokens,
    )
    found = run_benchmarks(model, folder)
    return {task: {name: asdict(estimate) for name, estimate in scores.items()} for task, scores in found.items()}


def _passages(file: Path) -> list[str]:
    counts: Counter[str] = Counter()
    passages = []
    for document in read_documents(file):
        if counts[document.kind] < PASSAGES_A_KIND and document.text.strip():
            counts[document.kind] += 1
            passages.append(document.text[:PASSAGE_CHARACTERS])
    return passages


def _rows(tasks: Sequence[Task], answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """One row an instruction, with what each model said and whether it was right."""
    return [
        {
            "operation": task.operation,
            "prompt": task.prompt,
            "answer": task.answer,
            "given": {name: said.texts[number] for name, said in answers.items()},
            "is_right": {name: said.is_right[number] for name, said in answers.items()},
        }
        for number, task in enumerate(tasks)
    ]
