"""DPO: right answers are preferred to plausible wrong ones, against the model that entered the stage."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from octad_align import PreferencePair, generate_tasks, preference_pairs, sequence_log_probs
from octad_optim import AdamW

from octad.batches import ShuffledRows, pad
from octad.chat_format import ChatTokenizer
from octad.model import ChatModel
from octad.objective import IGNORE, Batch, Dpo, DpoSettings, Objective
from octad.pipeline import Context
from octad.stages.pretrain import training_flops, wsd
from octad.training import Job, train

PAIRS = 12_000
TASK_SEED = 1_000_003  # other tasks than SFT saw, of the same training split


def dpo(context: Context) -> Mapping[str, Any]:
    """Train on preference pairs; the model lands in `model/`."""
    settings, processes, seed = context.recipe.dpo, context.processes, context.recipe.seed
    start = ChatModel.load(context.path("sft") / "model", processes.accelerator.device)
    tasks = generate_tasks(seed + TASK_SEED, PAIRS, num_items=(2, context.recipe.sft.max_items))
    pairs = preference_pairs(tasks, seed)
    objective = Dpo(start.model, DpoSettings(settings.beta, settings.nll_weight))
    reference = copy.deepcopy(objective).requires_grad_(False).eval()
    order = ShuffledRows(len(pairs), settings.batch_size, seed, processes)
    job = Job(
        objective,
        lambda trained: AdamW(trained.model.parameters(), lr=settings.learning_rate, weight_decay=0.0),
        partial(wsd, warmup=0.1, decay=0.5),
        lambda: DpoBatches(pairs, start.chat, reference, order),
        seconds=settings.seconds,
        steps=settings.steps,
        flops_per_token=training_flops(start.model.spec, 64) * 4 / 3,  # the reference's forward pass too
    )
    summary = train(context, job)
    if processes.is_main:
        start.save(context.path() / "model", context.path("tokenizer"))
    return {"headline": f"{summary['accuracy']:.1%} of pairs in order, {summary['steps']:,} steps", **summary}


class DpoBatches:
    """Chosen answers, then the rejected ones, with their log-probabilities under the frozen reference."""

    def __init__(
        self, pairs: Sequence[PreferencePair], chat: ChatTokenizer, reference: Objective, order: ShuffledRows
    ) -> None:
        self.pairs, self.chat, self.reference, self.order = pairs, chat, reference, order
        self.state_dict, self.load_state_dict = order.state_dict, order.load_state_dict

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """One padded batch of 2 x pairs rows."""
        pairs = [self.pairs[i] for i in self.order.rows(step)]
        chosen = [self.chat.answered(pair.prompt, pair.chosen) for pair in pairs]
        rejected = [self.chat.answered(pair.prompt, pair.rejected) for pair in pairs]
        device = next(self.reference.parameters()).device
        batch = {name: tensor.to(device) for name, tensor in pad(chosen + rejected, self.chat.end_of_text).items()}
        with torch.no_grad():
            log_probs = self.reference.log_probs(batch)
        return [{**batch, "reference": sequence_log_probs(log_probs, batch["targets"] != IGNORE)}]
