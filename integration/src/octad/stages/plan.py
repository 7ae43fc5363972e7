"""Plan: a scaling law and the measured speed of each candidate choose the size and the number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from octad_scaling import BESIROGLU_2024, Candidate, ChinchillaLaw, Plan, plan_for_time
from octad_systems import measure_peak

from octad.model import decoder
from octad.pipeline import Context
from octad.stages.pretrain import pretrain_job
from octad.stages.shards import open_shards
from octad.training import seconds_per_step


def make_plan(context: Context) -> Mapping[str, Any]:
    """Measure every candidate here, predict what each would reach in the time, and take the best.

    The law is the published one of large models on web text: it orders the candidates, but its losses
    are those of another corpus.
    """
    recipe = context.recipe
    law = BESIROGLU_2024
    sizes = {f"{d_model}x{layers}": (d_model, layers) for d_model, layers in recipe.model.sizes}
    candidates = [measure(context, name, size) for name, size in sizes.items()]
    shards = open_shards(context, "train")
    unique_tokens = sum(s.num_tokens for s in shards.values())
    plan = choose(law, candidates, context, unique_tokens)
    chosen, size = plan.chosen, sizes[plan.chosen.name]
    tokens_a_step = recipe.pretrain.batch_size * recipe.model.context
    steps = max(10, round(plan.tokens / tokens_a_step))
    shape = f"{chosen.parameters / 1e6:.2f} M parameters ({size[0]} wide, {size[1]} layers)"
    return {
        "headline": f"{shape}, {steps:,} steps",
        "size": size,
        "steps": steps,
        "tokens": steps * tokens_a_step,
        "predicted_loss": plan.loss,
        "reason": plan.reason,
        "law": asdict(law),
        "candidates": [
            {
                "name": outcome.candidate.name,
                "parameters": outcome.candidate.parameters,
                "tokens_per_s": outcome.candidate.tokens_per_s,
                "tokens": outcome.tokens,
                "loss": outcome.loss,
            }
            for outcome in plan.table
        ],
        "peak_flops_per_s": measure_peak(context.processes.accelerator.device, torch.float32).flops_per_s,
    }


def measure(context: Context, name: str, size: tuple[int, int]) -> Candidate:
    """A candidate with the speed at which this machine trains it."""
    recipe, device = context.recipe, context.processes.accelerator.device
    spec = decoder(recipe.model, size, context.summary("tokenizer")["vocab_size"])
    job = pretrain_job(recipe, spec.build(device), open_shards(context, "train"), context.processes, steps=1)
    tokens_per_s = recipe.pretrain.batch_size * recipe.model.context / seconds_per_step(job)
    context.reporter.note(f"plan: {name} trains at {tokens_per_s:,.0f} tok/s")
    return Candidate(name, spec.cost().parameters, tokens_per_s)


def choose(law: ChinchillaLaw, candidates: list[Candidate], context: Context, unique_tokens: int) -> Plan:
    """The candidate with the lowest predicted loss in the recipe's time, or for its number of tokens."""
    settings = context.recipe.pretrain
    if settings.tokens:  # the same question with time for exactly so many tokens
        candidates = [Candidate(c.name, c.parameters, settings.tokens) for c in candidates]
    seconds = 1.0 if settings.tokens else settings.seconds
    return plan_for_time(law, candidates, seconds, unique_tokens=unique_tokens, max_epochs=settings.epochs)
