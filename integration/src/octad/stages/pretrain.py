"""Pretrain: next-token training of the planned size for the planned number of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from octad_arch import DecoderModel
from octad_data import BatchReader, TokenShards
from octad_optim import WSD, AdamW, muon_and_adamw, parameter_groups

from octad.account import training_flops
from octad.evaluation import HeldOutText, bits_per_byte
from octad.model import ChatModel, decoder
from octad.objective import Batch, NextToken, Objective
from octad.pipeline import Context
from octad.processes import Processes
from octad.recipe import PretrainRecipe, Recipe
from octad.stages.shards import open_shards
from octad.training import Job, train


def pretrain(context: Context) -> Mapping[str, Any]:
    """Train from scratch; the model lands in `model/`."""
    recipe, plan = context.recipe, context.summary("plan")
    spec = decoder(recipe.model, tuple(plan["size"]), context.summary("tokenizer")["vocab_size"])
    model = spec.build(generator=torch.Generator().manual_seed(recipe.seed))
    shards = open_shards(context, "train")
    summary = train(context, pretrain_job(recipe, model, shards, context.processes, steps=plan["steps"]))
    held_out = 0.0
    if context.processes.is_main:
        chat_model = ChatModel.of(model, context.path("tokenizer"))
        chat_model.save(context.path() / "model", context.path("tokenizer"))
        held_out = held_out_loss(recipe, chat_model, open_shards(context, "held_out"))
    speed = f", {summary['tokens_per_s']:,.0f} tok/s" if "tokens_per_s" in summary else ""
    return {"headline": f"held-out loss {held_out:.3f} nats a token{speed}", **summary, "held_out_loss": held_out}


def held_out_loss(recipe: Recipe, model: ChatModel, shards: Mapping[str, TokenShards]) -> float:
    """Cross-entropy in nats a token on held-out text, its kinds mixed as in training: what the scaling law predicts."""
    weights = {kind: recipe.shards.weights.get(kind, 1.0) * s.num_tokens for kind, s in shards.items()}
    losses = {}
    for kind, held_out in shards.items():
        text = HeldOutText.of(held_out, model.chat.tokenizer, recipe.evaluate.held_out_tokens)
        bits = bits_per_byte(model.model.eval(), text, model.context).value * text.size_bytes
        losses[kind] = bits * math.log(2) / max(1, len(text.ids) - 1)
    return sum(weights[kind] * losses[kind] for kind in shards) / sum(weights.values())


def pretrain_job(
    recipe: Recipe, model: DecoderModel, shards: Mapping[str, TokenShards], processes: Processes, steps: int
) -> Job:
    """The training of one model on the mix of shards."""
    settings, context = recipe.pretrain, recipe.model.context
    return Job(
        NextToken(model),
        partial(pretrain_optimizer, settings),
        partial(wsd, warmup=settings.warmup, decay=settings.decay),
        partial(PackedBatches, recipe, shards, processes),
        steps=steps,
        max_grad_norm=settings.max_grad_norm,
        flops_per_token=training_flops(model.spec, context),
    )


class PackedBatches:
    """Rows of `context + 1` tokens from every kind of document, mixed by weight; a slice of each batch a process."""

    def __init__(self, recipe: Recipe, shards: Mapping[str, TokenShards], processes: Processes) -> None:
        weights = {kind: recipe.shards.weights.get(kind, 1.0) * s.num_tokens for kind, s in shards.items()}
        sources = {shards[kind]: weight for kind, weight in weights.items() if weight > 0}
        settings, rank, world = recipe.pretrain, processes.rank, processes.world_size
        self.reader = BatchReader(sources, settings.batch_size, recipe.model.context, recipe.seed, rank, world)
        self.micro_batch_size = settings.micro_batch_size or settings.batch_size

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """The next batch in micro-batches."""
        rows = torch.from_numpy(next(self.reader))
        parts = torch.split(rows, self.micro_batch_size)
        return [{"tokens": part[:, :-1].contiguous(), "targets": part[:, 1:].contiguous()} for part in parts]

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands."""
        return self.reader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there."""
        self.reader.load_state_dict(state)


def pretrain_optimizer(settings: PretrainRecipe, objective: Objective) -> torch.optim.Optimizer:
    """Muon for hidden matrices and AdamW for the rest, or AdamW alone."""
    if settings.optimizer == "muon":
        return muon_and_adamw(objective.model, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    groups = parameter_groups(objective.model, weight_decay=settings.weight_decay)
    return AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))


def wsd(total: int, warmup: float, decay: float) -> Callable[[int], float]:
    """Warm-up, stable, decay, as shares of the steps."""
    rising = max(1, round(warmup * total))
    return WSD(total, warmup=rising, decay=min(total - rising, round(decay * total)))
