"""Plan: a scaling law and the measured speed of each candidate choose the size and the number of steps.

The law L(N, D) = E + A N^-alpha + B D'^-beta is fitted to shipped measurements of small runs (or to a person's own);
D' discounts tokens that are seen again.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from octad_scaling import (
    Candidate,
    LawSample,
    Plan,
    Repetition,
    RunRecord,
    bootstrap,
    fit_chinchilla,
    plan_for_time,
    read_records,
)
from octad_systems import SystemsError, free_memory_bytes, measure_peak

from octad.account import training_bytes
from octad.errors import OctadError
from octad.model import decoder
from octad.pipeline import Context
from octad.recipe import Recipe
from octad.stages.pretrain import pretrain_job
from octad.stages.shards import open_shards
from octad.training import seconds_per_step

RESAMPLES = 300
MEASURED_VOCABULARY = 4096


def make_plan(context: Context) -> Mapping[str, Any]:
    """Measure every candidate here, predict what each would reach in the time, and take the best."""
    recipe = context.recipe
    sample = fitted_law(recipe.plan.measurements)
    sizes = {f"{d_model}x{layers}": (d_model, layers) for d_model, layers in recipe.model.sizes}
    candidates = [measure(context, name, size) for name, size in fitting(context, sizes).items()]
    unique_tokens = sum(shards.num_tokens for shards in open_shards(context, "train").values())
    plan = choose(sample, candidates, context, unique_tokens)
    chosen, size, vocab_size = plan.chosen, sizes[plan.chosen.name], context.summary("tokenizer")["vocab_size"]
    tokens_a_step = recipe.pretrain.batch_size * recipe.model.context
    steps = max(10, round(plan.tokens / tokens_a_step))
    shape = f"{chosen.parameters / 1e6:.2f} M parameters ({size[0]} wide, {size[1]} layers)"
    prediction = predict(recipe, sample, chosen.parameters, steps * tokens_a_step, unique_tokens)
    expected = f", loss {prediction['predicted_loss']:.2f} expected" if prediction else ""
    return {
        "headline": f"{shape}, {steps:,} steps{expected}",
        "size": size,
        "memory_bytes": training_bytes(decoder(recipe.model, size, vocab_size), recipe.pretrain),
        "steps": steps,
        "tokens": steps * tokens_a_step,
        **prediction,
        "reason": plan.reason,
        "law": asdict(sample.fit.law),
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


def fitted_law(measurements: str) -> LawSample:
    """The law of a file of run records, or of the shipped ones of that name, and how sure of it they leave us."""
    shipped = importlib.resources.files("octad") / "measurements" / f"{measurements}.jsonl"
    with importlib.resources.as_file(shipped) as file:
        path = file if file.is_file() else Path(measurements)
        if not path.is_file():
            raise OctadError(
                f"plan.measurements = {measurements!r} is neither shipped nor a file of run records in JSON lines"
            )
        records = [fresh(record) for record in read_records(path)]
    # so few runs that leaving some out would leave too few: their residuals are resampled instead
    return bootstrap(records, fit_chinchilla(records), resamples=RESAMPLES, method="residual")


def fresh(record: RunRecord) -> RunRecord:
    """The same point with its tokens counted at what they are worth to a run that sees each only once."""
    unique = record.unique_tokens
    if unique is None:
        return record
    return replace(record, tokens=float(Repetition().effective_tokens(record.tokens, unique)), flops=record.flops)


def predict(
    recipe: Recipe, sample: LawSample, parameters: float, tokens: float, unique_tokens: float
) -> dict[str, Any]:
    """The loss that the run should reach, and the interval that 19 of 20 runs should fall into.

    Nothing where the text or the vocabulary is not the measured one: the law then still orders the candidates, but
    its losses are those of other tokens.
    """
    measured = recipe.plan.measurements != "standard-library" or (
        recipe.corpus.source == "standard-library" and recipe.tokenizer.vocab_size == MEASURED_VOCABULARY
    )
    if not measured:
        return {}
    worth = float(Repetition().effective_tokens(tokens, unique_tokens))
    interval = sample.interval(parameters, worth)
    return {"predicted_loss": interval.centre, "predicted_interval": [interval.low, interval.high]}


def fitting(context: Context, sizes: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The sizes whose training step fits into the memory that is free now.

    Raises:
        OctadError: none does.
    """
    recipe, vocab_size = context.recipe, context.summary("tokenizer")["vocab_size"]
    free = free_bytes(context.processes.accelerator.device)
    needed = {
        name: training_bytes(decoder(recipe.model, size, vocab_size), recipe.pretrain) for name, size in sizes.items()
    }
    for name in sizes:
        if needed[name] > free:
            context.reporter.note(
                f"plan: {name} needs {needed[name] / 1e9:.1f} GB of memory; {free / 1e9:.1f} are free"
            )
    fits = {name: size for name, size in sizes.items() if needed[name] <= free}
    if not fits:
        raise OctadError(
            f"training needs at least {min(needed.values()) / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free; "
            "close other programs, set a smaller pretrain.micro_batch_size, or give smaller model.sizes"
        )
    return fits


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device; infinite where the system does not tell, which no plan should fail on."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(free_memory_bytes())
    except SystemsError:
        return math.inf


def measure(context: Context, name: str, size: Sequence[int]) -> Candidate:
    """A candidate with the speed at which this machine trains it."""
    recipe, device = context.recipe, context.processes.accelerator.device
    spec = decoder(recipe.model, (size[0], size[1]), context.summary("tokenizer")["vocab_size"])
    job = pretrain_job(recipe, spec.build(device), open_shards(context, "train"), context.processes, steps=1)
    tokens_per_s = recipe.pretrain.batch_size * recipe.model.context / seconds_per_step(job)
    context.reporter.note(f"plan: {name} trains at {tokens_per_s:,.0f} tok/s")
    return Candidate(name, spec.cost().parameters, tokens_per_s)


def choose(sample: LawSample, candidates: list[Candidate], context: Context, unique_tokens: int) -> Plan:
    """The candidate with the lowest predicted loss in the recipe's time, or for its number of tokens."""
    settings, law = context.recipe.pretrain, sample.fit.law
    if settings.tokens:  # the same question with time for exactly so many tokens
        candidates = [Candidate(c.name, c.parameters, settings.tokens) for c in candidates]
    seconds = 1.0 if settings.tokens else settings.seconds
    return plan_for_time(law, candidates, seconds, unique_tokens=unique_tokens, max_epochs=settings.epochs)
