"""SFT: the base model learns to follow instructions from verified answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from octad_align import generate_tasks
from octad_optim import muon_and_adamw

from octad.account import training_flops
from octad.batches import Row, ShuffledRows, by_length, pad
from octad.chat_format import ChatTokenizer
from octad.model import ChatModel
from octad.objective import Batch, NextToken, Objective
from octad.pipeline import Context
from octad.stages.pretrain import wsd
from octad.training import Job, train

MICRO_BATCHES = 2


def sft(context: Context) -> Mapping[str, Any]:
    """Fine-tune the base model; the model lands in `model/`."""
    settings, processes = context.recipe.sft, context.processes
    start = ChatModel.load(context.path("pretrain") / "model", processes.accelerator.device)
    tasks = generate_tasks(context.recipe.seed, settings.instructions, num_items=(2, settings.max_items))
    rows = [start.chat.answered(task.prompt, task.answer) for task in tasks]
    order = ShuffledRows(len(rows), settings.batch_size, context.recipe.seed, processes)
    job = Job(
        NextToken(start.model),
        lambda objective: muon_and_adamw(objective.model, lr=settings.learning_rate, weight_decay=0.0),
        partial(wsd, warmup=0.05, decay=0.5),
        lambda: SftBatches(rows, start.chat, order),
        seconds=settings.seconds,
        steps=settings.steps,
        flops_per_token=training_flops(start.model.spec, 64),
    )
    summary = train(context, job)
    if processes.is_main:
        start.save(context.path() / "model", context.path("tokenizer"))
    return {
        "headline": f"loss {summary['loss']:.3f} over {summary['steps']:,} steps",
        "instructions": len(rows),
        **summary,
    }


class SftBatches:
    """Exchanges in another order each epoch; only the assistant's tokens are targets."""

    def __init__(self, rows: Sequence[Row], chat: ChatTokenizer, order: ShuffledRows) -> None:
        self.all_rows, self.chat, self.order = rows, chat, order
        self.state_dict, self.load_state_dict = order.state_dict, order.load_state_dict

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """Padded batches, exchanges of like length together."""
        rows = [self.all_rows[i] for i in self.order.rows(step)]
        return [pad(part, self.chat.end_of_text) for part in by_length(rows, MICRO_BATCHES, lambda row: len(row[0]))]
