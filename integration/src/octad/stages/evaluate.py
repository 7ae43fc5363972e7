"""Evaluate: every stage's model on text and instructions that no stage has seen, beside models that only count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from octad_align import Task, generate_tasks
from octad_arch.classic import ByteNGram, byte_entropy
from octad_systems import write_atomically

from octad.documents import read_documents
from octad.evaluation import answer, bits_per_byte
from octad.model import ChatModel
from octad.pipeline import Context
from octad.stages.shards import open_shards

MODELS = ("pretrain", "sft", "dpo", "grpo")
EVALUATION_SEED = 3_000_003
NGRAM_ORDER = 5
NGRAM_BYTES = 4_000_000
SAMPLES = 8


def evaluate(context: Context) -> Mapping[str, Any]:
    """Write `results.json`: bits per byte and exact match with standard errors, samples, baselines."""
    settings = context.recipe.evaluate
    tasks = held_out_tasks(context)
    held_out = open_shards(context, "held_out")
    samples = [asdict(task) for task in tasks[:SAMPLES]]
    results: dict[str, Any] = {"baselines": baselines(context), "models": {}, "samples": samples}
    for number, name in enumerate(MODELS):
        context.reporter.update(number, len(MODELS), [name])
        model = ChatModel.load(context.path(name) / "model", context.processes.accelerator.device)
        answers = answer(model, tasks, settings.max_new_tokens)
        results["models"][name] = {
            "exact_match": asdict(answers.exact_match),
            "by_operation": answers.by_operation(),
            "answers": list(answers.texts[:SAMPLES]),
            "bits_per_byte": {
                kind: asdict(bits_per_byte(model.model, shards, settings.held_out_tokens, model.context))
                for kind, shards in held_out.items()
            },
        }
    write_atomically(context.path() / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    scores = " -> ".join(f"{results['models'][name]['exact_match']['value']:.3f}" for name in MODELS)
    return {"headline": f"exact match {scores}", "results": "results.json"}


def held_out_tasks(context: Context) -> tuple[Task, ...]:
    """Instructions whose operands no training stage has seen."""
    seed, limit = context.recipe.seed + EVALUATION_SEED, context.recipe.sft.max_items
    return generate_tasks(seed, context.recipe.evaluate.instructions, split="held_out", num_items=(2, limit))


def baselines(context: Context) -> dict[str, dict[str, float]]:
    """Bits per byte of models that only count: the entropy of bytes, and n-grams of the same training text."""
    text: dict[tuple[str, str], list[bytes]] = {}
    for side in ("train", "held_out"):
        for document in read_documents(context.path("corpus") / f"{side}.jsonl"):
            text.setdefault((side, document.kind), []).append(document.text.encode() + b"\n")
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({kind for side, kind in text if side == "held_out"}):
        unseen = b"".join(text["held_out", kind])[:NGRAM_BYTES]
        seen = b"".join(text.get(("train", kind), [unseen]))[:NGRAM_BYTES]
        ngram = ByteNGram.fit(seen, NGRAM_ORDER)
        found[kind] = {"byte entropy": byte_entropy(unseen), f"byte {NGRAM_ORDER}-gram": ngram.bits_per_byte(unseen)}
    return found
